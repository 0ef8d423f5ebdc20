"""The main path of the service: from a terminal's evidence to a signed decision.

The steps, as they are numbered below:

 (1) parse strictly,
 (2) authenticate the terminal's signature,
 (3) an attempt seen before gets the same decision,
 (4) consume the challenge,
 (5) open the sealed probe,
 (6) liveness policy,
 (7) find the claimed account: consent, lockout,
 (8) open the reference and compare 1:1,
 (9) limits, schedule or balance,
(10) record decision, transfer or entry, and audit leaf,
(11) sign.

Guarantees: (3) to (11) are ONE database transaction, so an attempt that is cut off anywhere
leaves nothing, and one that committed keeps its decision for ever. Each stage has its own type,
made only by its step: skipping one does not type-check. An unknown account goes through the
same steps as a known one, against a decoy. Any doubt denies.

The caller must still answer 503 to :class:`service.errors.Unavailable`, whereupon the terminal
asks again with the same bytes.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeVar

import numpy as np
from psycopg import Connection

from face_engine.calibration import Calibration
from face_engine.match import compare
from face_engine.types import Embedding
from service import policies
from service.access import store as access
from service.audit import log
from service.audit.leaf import ConfirmationLeaf, DecisionLeaf
from service.clock import Clock
from service.db import Database, Row
from service.enrolment import accounts
from service.enrolment.accounts import Account, StoredReference
from service.keys import KeyRing
from service.ledger import store as ledger
from service.terminals import challenges, registration
from service.terminals import store as terminals
from service.terminals.challenges import IssuedChallenge
from service.terminals.store import Terminal
from service.verification.liveness import check_report
from service.verification.pin import PinHasher, is_pin
from service.verification.plan import draw_plan
from service.verification.policy import Policy, Tier
from service.verification.protection import Slot, new_data_key, protect, similarity
from wire import envelope
from wire.codec import Message
from wire.denial import Denial, Reason
from wire.envelope import Signed, Unverified
from wire.errors import SealError, SignatureError, WireError
from wire.ids import AccountId, ChallengeId, EntryId, TerminalId, TransferId
from wire.messages import (
    NONCE_BYTES,
    Acknowledgement,
    Challenge,
    ChallengeRequest,
    Completion,
    Confirmation,
    Context,
    Decision,
    EnrolmentContext,
    EntryContext,
    Evidence,
    Outcome,
    PaymentContext,
    Probe,
    Registered,
    Registration,
    WithdrawalContext,
)

CLOCK_SKEW_MAX_MS = 120_000
M = TypeVar("M", bound=Message)
_COUNTED = frozenset({Denial.NO_MATCH, Denial.PIN_MISSING, Denial.PIN_WRONG})


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that gets no decision: it could not be believed, or must wait."""

    denial: Denial | None
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Authenticated:
    """(2): the evidence was signed by this registered terminal."""

    evidence: Signed[Evidence]
    terminal: Terminal


@dataclass(frozen=True, slots=True)
class Challenged:
    """(4): it answers a challenge of ours, which is now used up."""

    authenticated: Authenticated
    challenge: IssuedChallenge
    policy: Policy
    tier: Tier


@dataclass(frozen=True, slots=True)
class Face:
    """The face by one model: one embedding, or the several of an enrolment."""

    calibration: Calibration
    embeddings: tuple[Embedding, ...]

    @property
    def model_id(self) -> bytes:
        return self.calibration.model_id


@dataclass(frozen=True, slots=True)
class Opened:
    """(5): what was sealed is readable, and by models that the policy accepts, best first."""

    challenged: Challenged
    probe: Probe
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class Live:
    """(6): the terminal reports a live person, as the policy asks."""

    opened: Opened


@dataclass(frozen=True, slots=True)
class Claimed:
    """(7): the account that was claimed, or the decoy; ``standing`` speaks against it."""

    live: Live
    account: Account
    standing: Denial | None


@dataclass(frozen=True, slots=True)
class Verified:
    """(8): it is the person, 1:1, by the model of ``face``."""

    claimed: Claimed
    face: Face


@dataclass(frozen=True, slots=True)
class Permitted:
    """(9): the money is reserved or moved, the door may open, or the account exists."""

    account: AccountId
    result: bytes
    lives_ms: int
    enrolled_model: bytes | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    denial: Denial
    account: AccountId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often a terminal may ask: a bucket of ``burst``, refilled by ``per_minute``."""

    per_minute: int = 60
    burst: int = 20


class Authorizer:
    """Composes the domains; they do not know each other."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        calibrations: Mapping[bytes, Calibration],
        clock: Clock,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._database = database
        self._keys = keys
        self._calibrations = calibrations
        self._clock = clock
        self._limits = limits or Limits()
        self._pins = PinHasher(keys.pins)
        self._policies: dict[int, Policy] = {}
        self._decoys = {
            model_id: _decoy(calibration, keys) for model_id, calibration in calibrations.items()
        }

    def register(self, raw: bytes) -> Signed[Registered] | Refused:
        """Binds a new terminal's key to the terminal that the one-time code was made for."""
        try:
            unverified = envelope.parse(raw, Registration)
            request = envelope.verify(unverified, unverified.message.public_key).message
        except SignatureError as error:
            return _refused(Denial.SIGNATURE_INVALID, str(error))
        except WireError as error:
            return _refused(Denial.MALFORMED, str(error))
        with self._database.transaction() as conn:
            terminal = terminals.register(
                conn,
                code_hash=registration.code_hash(request.code, self._keys.claims),
                kind=request.kind,
                public_key=request.public_key,
                now_ms=self._clock(),
            )
        if terminal is None:
            return _refused(Denial.TERMINAL_UNKNOWN, "the code is wrong, used or expired")
        answer = Registered(
            terminal=terminal.terminal,
            service_key=self._keys.signing.public,
            kind=terminal.kind,
            merchant=terminal.merchant,
            door=terminal.door,
        )
        return envelope.sign(answer, self._keys.signing)

    def challenge(self, raw: bytes) -> Signed[Challenge] | Refused:
        """Issues a single-use challenge for one context to one terminal."""
        try:
            unverified = envelope.parse(raw, ChallengeRequest)
        except WireError as error:
            return _refused(Denial.MALFORMED, str(error))
        now_ms, request = self._clock(), unverified.message
        with self._database.transaction() as conn:
            terminal = self._terminal(conn, unverified, unverified.message.terminal)
            if isinstance(terminal, Refused):
                return terminal
            if abs(request.requested_at_ms - now_ms) > CLOCK_SKEW_MAX_MS:
                return _refused(Denial.CHALLENGE_EXPIRED, "the terminal's clock is wrong")
            if not terminals.take_token(
                conn,
                terminal.terminal,
                per_minute=self._limits.per_minute,
                burst=self._limits.burst,
                now_ms=now_ms,
            ):
                return Refused(None, Reason.TOO_MANY_REQUESTS, "wait a few seconds")
            version, policy = policies.latest(conn, self._keys.signing, now_ms=now_ms)
            tier = policy.tier_for(request.context)
            if tier is None:
                return _refused(Denial.LIMIT_EXCEEDED, "the amount is above the limit")
            if not _belongs(terminal, request.context):
                return _refused(Denial.CONTEXT_CHANGED, "not this terminal's to ask for")
            challenge = self._draw(terminal, request.context, policy, tier, now_ms)
            challenges.store_challenge(conn, challenge, policy_version=version, now_ms=now_ms)
        return envelope.sign(challenge, self._keys.signing)

    def _draw(
        self, terminal: Terminal, context: Context, policy: Policy, tier: Tier, now_ms: int
    ) -> Challenge:
        nonce = secrets.token_bytes(NONCE_BYTES)
        seal_key = self._keys.opening.public
        return Challenge(
            challenge=ChallengeId.new(),
            nonce=nonce,
            terminal=terminal.terminal,
            context=context,
            expires_at_ms=now_ms + policy.challenge_ttl_ms,
            level=tier.liveness,
            plan=draw_plan(nonce, tier.liveness),
            model_ids=tuple(each.model_id for each in self._accepted(policy)),
            pin_required=tier.pin,
            seal_suite=seal_key.suite,
            seal_key=seal_key.raw,
        )

    def authorize(self, raw: bytes) -> bytes | Refused:
        """The signed decision on one attempt; the same evidence always gets the same bytes."""
        try:
            unverified = envelope.parse(raw, Evidence)  # (1)
        except WireError as error:
            return _refused(Denial.MALFORMED, str(error))
        with self._database.transaction() as conn:
            terminal = self._terminal(conn, unverified, unverified.message.terminal)  # (2)
            if isinstance(terminal, Refused):
                return terminal
            authenticated = Authenticated(Signed(unverified.message, unverified.kid, raw), terminal)
            counter = terminals.lock_counter(conn, terminal.terminal)
            earlier = _recall(conn, authenticated)  # (3)
            if earlier is not None:
                return earlier
            now_ms = self._clock()
            with conn.pipeline():  # what needs no answer does not wait for one
                challenged = self._consume(conn, authenticated, counter, now_ms)  # (4)
                verdict = self._judge(conn, challenged, now_ms)  # (5) to (9)
                return self._record(conn, authenticated, challenged, verdict, now_ms)  # (10), (11)

    def _judge(
        self, conn: Connection[Row], challenged: Challenged | Denied, now_ms: int
    ) -> Permitted | Denied:
        if isinstance(challenged, Denied):
            return challenged
        opened = self._open(challenged)  # (5)
        if isinstance(opened, Denied):
            return opened
        live = _require_live(opened, now_ms)  # (6)
        if isinstance(live, Denied):
            return live
        if isinstance(challenged.authenticated.evidence.message.context, EnrolmentContext):
            return self._enrol(conn, live, now_ms)
        claimed = self._claim(conn, live, now_ms)  # (7)
        verified = self._verify(conn, claimed, now_ms)  # (8)
        if isinstance(verified, Denied):
            return verified
        permitted = self._permit(conn, verified, now_ms)  # (9)
        if isinstance(permitted, Denied):
            return permitted
        return replace(permitted, enrolled_model=self._succeed(conn, verified, now_ms))

    def _terminal(
        self,
        conn: Connection[Row],
        unverified: Unverified[M],
        claimed: TerminalId,
    ) -> Terminal | Refused:
        """(2): the registered terminal whose key signed; revoked ones are told so."""
        terminal = terminals.find(conn, claimed)
        if (
            terminal is None
            or terminal.public_key is None
            or unverified.kid != terminal.terminal.raw
        ):
            return _refused(Denial.TERMINAL_UNKNOWN, "register this terminal")
        try:
            envelope.verify(unverified, terminal.public_key)
        except SignatureError as error:
            return _refused(Denial.SIGNATURE_INVALID, str(error))
        if terminal.revoked:
            return _refused(Denial.TERMINAL_REVOKED, "this terminal was revoked")
        return terminal

    def _consume(
        self, conn: Connection[Row], found: Authenticated, counter: int, now_ms: int
    ) -> Challenged | Denied:
        evidence = found.evidence.message
        challenge = challenges.consume(conn, evidence, evidence.attempt, now_ms=now_ms)
        if evidence.counter <= counter:
            return Denied(Denial.COUNTER_NOT_INCREASED)
        terminals.advance_counter(conn, found.terminal.terminal, evidence.counter)
        if isinstance(challenge, Denial):
            return Denied(challenge)
        policy = self._policy(conn, challenge.policy_version)
        tier = policy.tier_for(evidence.context)
        if tier is None:
            return Denied(Denial.LIMIT_EXCEEDED)
        return Challenged(found, challenge, policy, tier)

    def _policy(self, conn: Connection[Row], version: int) -> Policy:
        """A version never changes, so its signature is checked once."""
        if version not in self._policies:
            self._policies[version] = policies.load(conn, version, self._keys.signing)
        return self._policies[version]

    def _accepted(self, policy: Policy) -> list[Calibration]:
        """The calibrations of the policy's packs, best first."""
        by_pack = {each.pack: each for each in self._calibrations.values()}
        return [by_pack[pack] for pack in policy.packs if pack in by_pack]

    def _open(self, challenged: Challenged) -> Opened | Denied:
        evidence = challenged.authenticated.evidence.message
        accepted = self._accepted(challenged.policy)
        if evidence.model_id not in {each.model_id for each in accepted}:
            return Denied(Denial.MODEL_NOT_ACCEPTED)
        if not challenged.policy.accepts(evidence.source):
            return Denied(Denial.SOURCE_NOT_ACCEPTED)
        try:
            opened = self._keys.opening.unseal(evidence.sealed, evidence.binding)
            probe = Probe.decode(opened)
            faces = _read_faces(evidence.model_id, probe, accepted)
        except (SealError, WireError, ValueError):
            return Denied(Denial.PROBE_UNREADABLE)
        enrolling = isinstance(evidence.context, EnrolmentContext)
        if len(probe.embeddings) > 1 and not enrolling:
            return Denied(Denial.PROBE_UNREADABLE)
        return Opened(challenged, probe, faces)

    def _claim(self, conn: Connection[Row], live: Live, now_ms: int) -> Claimed:
        probe = live.opened.probe
        account = accounts.lock_by_claim(conn, self._keys.claim_hash(probe.claim))
        if account is None:
            decoy = self._decoys[live.opened.faces[0].model_id]
            return Claimed(live, decoy, Denial.ACCOUNT_UNKNOWN)
        standing = None
        if account.state != "active":
            standing = Denial.ACCOUNT_SUSPENDED
        elif account.consent_version is None:
            standing = Denial.CONSENT_MISSING
        elif account.locked_until_ms > now_ms:
            standing = Denial.ACCOUNT_LOCKED
        elif _comparable(account, live.opened) is None:
            standing = Denial.REFERENCE_MISSING
        return Claimed(live, account, standing)

    def _verify(self, conn: Connection[Row], claimed: Claimed, now_ms: int) -> Verified | Denied:
        """Compares in every case, so that the time does not tell why it was denied."""
        opened = claimed.live.opened
        denial = claimed.standing
        face = _comparable(claimed.account, opened) or opened.faces[0]
        for found in (self._compare(claimed, face), self._check_pin(claimed)):
            denial = denial or found
        account, known = claimed.account, claimed.standing is not Denial.ACCOUNT_UNKNOWN
        failures, locked_until_ms = account.failures, account.locked_until_ms
        if denial is None:
            failures, locked_until_ms = 0, 0
        elif denial in _COUNTED:
            failures += 1
            locked_until_ms = opened.challenged.policy.lockout.locked_until_ms(
                failures, level=opened.challenged.challenge.level, now_ms=now_ms
            )
        accounts.set_failures(
            conn, account.account, failures=failures, locked_until_ms=locked_until_ms
        )
        if denial is not None:
            return Denied(denial, account.account if known else None)
        return Verified(claimed, face)

    def _compare(self, claimed: Claimed, face: Face) -> Denial | None:
        opened, account = claimed.live.opened, claimed.account
        data_key = account.wrapped_key and self._keys.unwrap(account.wrapped_key, account.account)
        found = [
            similarity(
                reference.ciphertext,
                face.embeddings[0],
                reference.slot,
                data_key=data_key or bytes(32),
                holder_share=opened.probe.holder_share,
                transform_key=self._keys.transforms,
            )
            for reference in _references(account, face.model_id)
        ]
        scores = [score for score in found if score is not None]
        if not scores:
            return Denial.REFERENCE_UNREADABLE
        threshold = face.calibration.threshold_for(opened.challenged.tier.fmr)
        return None if max(scores) >= threshold else Denial.NO_MATCH

    def _check_pin(self, claimed: Claimed) -> Denial | None:
        opened, account = claimed.live.opened, claimed.account
        if not opened.challenged.challenge.pin_required:
            return None
        pin = opened.probe.pin
        if pin is None or not is_pin(pin):
            return Denial.PIN_MISSING
        matches = self._pins.verify(account.pin_hash, pin, account.account)
        return None if matches else Denial.PIN_WRONG

    def _permit(self, conn: Connection[Row], verified: Verified, now_ms: int) -> Permitted | Denied:
        account = verified.claimed.account.account
        challenged = verified.claimed.live.opened.challenged
        evidence, policy = challenged.authenticated.evidence.message, challenged.policy
        transfer, lives_ms = TransferId(evidence.attempt.raw), policy.challenge_ttl_ms
        context = evidence.context
        if isinstance(context, PaymentContext):
            denial = ledger.pay(
                conn,
                transfer=transfer,
                account=account,
                merchant=context.payee,
                money=context.money,
                now_ms=now_ms,
            )
        elif isinstance(context, WithdrawalContext):
            lives_ms = policy.hold_ttl_ms // 2
            denial = ledger.hold(
                conn,
                transfer=transfer,
                account=account,
                terminal=evidence.terminal,
                money=context.money,
                now_ms=now_ms,
                expires_at_ms=now_ms + policy.hold_ttl_ms,
            )
        elif isinstance(context, EntryContext):
            denial = access.refuse(conn, account=account, door=context.door, at_ms=now_ms)
            if denial is None:
                access.command_entry(
                    conn,
                    EntryId(evidence.attempt.raw),
                    account=account,
                    door=context.door,
                    direction=context.direction,
                    at_ms=now_ms,
                )
        else:
            raise RuntimeError("an enrolment is not permitted here")
        if denial is not None:
            return Denied(denial, account)
        return Permitted(account, evidence.attempt.raw, lives_ms)

    def _enrol(self, conn: Connection[Row], live: Live, now_ms: int) -> Permitted | Denied:
        """(7) to (9) for an enrolment: a new claim, references of one person, a wallet."""
        opened = live.opened
        context = opened.challenged.authenticated.evidence.message.context
        if not isinstance(context, EnrolmentContext):
            raise RuntimeError("not an enrolment")
        account, probe, policy = context.account, opened.probe, opened.challenged.policy
        claim_hash = self._keys.claim_hash(probe.claim)
        if accounts.claim_taken(conn, claim_hash, account):
            return Denied(Denial.CLAIM_TAKEN)
        if context.consent_version != policy.consent_version:
            return Denied(Denial.CONSENT_MISSING)
        if not all(_agree(face, opened.challenged.tier) for face in opened.faces):
            return Denied(Denial.REFERENCES_DISAGREE)
        if probe.pin is not None and not is_pin(probe.pin):
            return Denied(Denial.PIN_MISSING)
        data_key = new_data_key()
        accounts.create(
            conn,
            account,
            claim_hash=claim_hash,
            consent_version=context.consent_version,
            wrapped_key=self._keys.wrap(data_key, account),
            holder_mode=probe.holder_share is not None,
            pin_hash=self._pins.hash(probe.pin, account) if probe.pin else None,
            references=[
                reference
                for face in opened.faces
                for reference in _protect(account, face, probe, data_key, self._keys)
            ],
            now_ms=now_ms,
        )
        ledger.open_wallet(conn, account, policy.currency)
        return Permitted(account, account.raw, policy.challenge_ttl_ms)

    def _succeed(self, conn: Connection[Row], verified: Verified, now_ms: int) -> bytes | None:
        """Enrols a better model's view of the face that was just verified by a lesser one.

        Returns the new reference's model.
        """
        opened, account = verified.claimed.live.opened, verified.claimed.account
        best = opened.faces[0]
        if best is verified.face or account.wrapped_key is None:
            return None
        data_key = self._keys.unwrap(account.wrapped_key, account.account)
        if data_key is None:
            return None
        references = _protect(account.account, best, opened.probe, data_key, self._keys)
        accounts.add_references(conn, references, now_ms=now_ms)
        return best.model_id

    def _record(
        self,
        conn: Connection[Row],
        found: Authenticated,
        challenged: Challenged | Denied,
        verdict: Permitted | Denied,
        now_ms: int,
    ) -> bytes:
        evidence = found.evidence.message
        denial = verdict.denial if isinstance(verdict, Denied) else None
        outcome = Outcome.APPROVED if isinstance(verdict, Permitted) else Outcome.DENIED
        version = challenged.challenge.policy_version if isinstance(challenged, Challenged) else 0
        leaf = DecisionLeaf(
            at_ms=now_ms,
            attempt=evidence.attempt,
            terminal=evidence.terminal,
            context=evidence.context,
            evidence_digest=found.evidence.digest,
            policy_version=version,
            outcome=outcome,
            denial=denial,
            account=verdict.account,
            enrolled_model=verdict.enrolled_model if isinstance(verdict, Permitted) else None,
        )
        decision = Decision(
            attempt=evidence.attempt,
            evidence_digest=found.evidence.digest,
            context=evidence.context,
            outcome=outcome,
            reason=denial.reason if denial else None,
            result=verdict.result if isinstance(verdict, Permitted) else None,
            decided_at_ms=now_ms,
            expires_at_ms=now_ms + (verdict.lives_ms if isinstance(verdict, Permitted) else 0),
            leaf_hash=log.append(conn, leaf.encode()),  # (10)
        )
        signed = envelope.sign(decision, self._keys.signing)  # (11)
        conn.execute(
            """INSERT INTO attempts (attempt_id, terminal_id, purpose, evidence_digest,
            account_id, denial, decision, leaf_hash, decided_at_ms, expires_at_ms)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            (
                evidence.attempt.raw,
                evidence.terminal.raw,
                int(evidence.purpose),
                found.evidence.digest,
                verdict.account.raw if verdict.account else None,
                denial,
                signed.raw,
                decision.leaf_hash,
                now_ms,
                decision.expires_at_ms,
            ),
        )
        return signed.raw

    def confirm(self, raw: bytes) -> Signed[Acknowledgement] | Refused:
        """Takes what a terminal did with an approval; the first word on it stands."""
        try:
            unverified = envelope.parse(raw, Confirmation)
        except WireError as error:
            return _refused(Denial.MALFORMED, str(error))
        confirmation = unverified.message
        with self._database.transaction() as conn:
            terminal = self._terminal(conn, unverified, unverified.message.terminal)
            if isinstance(terminal, Refused):
                return terminal
            row = conn.execute(
                """SELECT purpose, completion FROM attempts WHERE attempt_id = %s
                AND terminal_id = %s AND denial IS NULL FOR UPDATE""",
                (confirmation.attempt.raw, terminal.terminal.raw),
            ).fetchone()
            if row is None:
                return _refused(Denial.MALFORMED, "no approved attempt of this terminal")
            completion = Completion(row[1]) if row[1] else None
            if completion is None:
                completion = confirmation.completion
                self._complete(conn, confirmation)
        answer = Acknowledgement(attempt=confirmation.attempt, completion=completion)
        return envelope.sign(answer, self._keys.signing)

    def _complete(self, conn: Connection[Row], confirmation: Confirmation) -> None:
        now_ms, attempt = self._clock(), confirmation.attempt
        done = confirmation.completion is Completion.COMPLETED
        conn.execute(
            "UPDATE attempts SET completion = %s, confirmed_at_ms = %s WHERE attempt_id = %s",
            (int(confirmation.completion), now_ms, attempt.raw),
        )
        finding = None
        if ledger.is_withdrawal(conn, TransferId(attempt.raw)):
            close = ledger.post if done else ledger.void
            finding = close(conn, TransferId(attempt.raw), now_ms=now_ms)
        access.close_entry(conn, EntryId(attempt.raw), opened=done, at_ms=now_ms)
        leaf = ConfirmationLeaf(
            at_ms=now_ms,
            attempt=attempt,
            completion=confirmation.completion,
            finding=finding,
        )
        log.append(conn, leaf.encode())


def _refused(denial: Denial, detail: str) -> Refused:
    return Refused(denial, denial.reason, detail)


def _belongs(terminal: Terminal, context: Context) -> bool:
    """Whether a terminal may ask for this context at all."""
    if isinstance(context, PaymentContext):
        return terminal.merchant == context.payee
    if isinstance(context, EntryContext):
        return terminal.door == context.door
    return isinstance(context, WithdrawalContext) == (terminal.kind.name == "ATM") and (
        isinstance(context, EnrolmentContext) == (terminal.kind.name == "ENROLMENT")
    )


def _recall(conn: Connection[Row], found: Authenticated) -> bytes | Refused | None:
    row = conn.execute(
        "SELECT evidence_digest, decision FROM attempts WHERE attempt_id = %s",
        (found.evidence.message.attempt.raw,),
    ).fetchone()
    if row is None:
        return None
    if row[0] != found.evidence.digest:
        return _refused(Denial.ATTEMPT_ID_REUSED, "this attempt id was used for other evidence")
    return bytes(row[1])


def _require_live(opened: Opened, now_ms: int) -> Live | Denied:
    challenge = opened.challenged.challenge
    denial = check_report(
        opened.challenged.authenticated.evidence.message.liveness,
        plan=challenge.plan,
        level=challenge.level,
        elapsed_ms=now_ms - challenge.issued_at_ms,
    )
    return Live(opened) if denial is None else Denied(denial)


def _embedding(numbers: bytes, calibration: Calibration) -> Embedding:
    vector = np.frombuffer(numbers, "<f4").astype(np.float32)
    if vector.size != calibration.dimensions:
        raise ValueError("another number of dimensions")
    return Embedding(vector=vector, model_id=calibration.model_id)


def _references(account: Account, model_id: bytes) -> list[StoredReference]:
    return [each for each in account.references if each.slot.model_id == model_id]


def _read_faces(model_id: bytes, probe: Probe, accepted: list[Calibration]) -> tuple[Face, ...]:
    """The face by each model that it was sent in, best first; raises :class:`ValueError`."""
    sent = {model_id: probe.embeddings}
    if probe.successor is not None:
        if probe.successor.model_id == model_id:
            raise ValueError("a model that succeeds itself")
        sent[probe.successor.model_id] = (probe.successor.embedding,)
    if not sent.keys() <= {each.model_id for each in accepted}:
        raise ValueError("a model that is not accepted")
    return tuple(
        Face(each, tuple(_embedding(numbers, each) for numbers in sent[each.model_id]))
        for each in accepted
        if each.model_id in sent
    )


def _comparable(account: Account, opened: Opened) -> Face | None:
    """The best model's face that the account has a reference for."""
    return next((face for face in opened.faces if _references(account, face.model_id)), None)


def _agree(face: Face, tier: Tier) -> bool:
    """Whether an enrolment's embeddings are of one person."""
    threshold, first = face.calibration.threshold_for(tier.fmr), face.embeddings[0]
    return all(compare(first, other) >= threshold for other in face.embeddings[1:])


def _protect(
    account: AccountId, face: Face, probe: Probe, data_key: bytes, keys: KeyRing
) -> list[StoredReference]:
    slots = [
        Slot(account=account, model_id=face.model_id, version=version)
        for version in range(1, len(face.embeddings) + 1)
    ]
    return [
        StoredReference(
            slot=slot,
            ciphertext=protect(
                embedding,
                slot,
                data_key=data_key,
                holder_share=probe.holder_share,
                transform_key=keys.transforms,
            ),
        )
        for slot, embedding in zip(slots, face.embeddings, strict=True)
    ]


def _decoy(calibration: Calibration, keys: KeyRing) -> Account:
    """Stands in for an account that does not exist; nobody's face matches it."""
    account, data_key = AccountId(sha256(b"decoy").digest()[:16]), new_data_key()
    numbers = np.random.default_rng().normal(size=calibration.dimensions)
    vector = (numbers / np.linalg.norm(numbers)).astype(np.float32)
    slot = Slot(account=account, model_id=calibration.model_id, version=1)
    ciphertext = protect(
        Embedding(vector=vector, model_id=calibration.model_id),
        slot,
        data_key=data_key,
        holder_share=None,
        transform_key=keys.transforms,
    )
    return Account(
        account=account,
        state="active",
        consent_version="",
        wrapped_key=keys.wrap(data_key, account),
        pin_hash=None,
        failures=0,
        locked_until_ms=0,
        references=(StoredReference(slot=slot, ciphertext=ciphertext),),
    )
