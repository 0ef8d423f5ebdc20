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
leaves nothing, and one that committed keeps its decision for ever. Each stage has its own type
(:mod:`service.stages`), made only by its step: skipping one does not type-check. An unknown
account goes through the same steps as a known one, against a decoy. Any doubt denies.

The caller must still answer 503 to :class:`service.errors.Unavailable`, whereupon the terminal
asks again with the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from psycopg import Connection

from face_engine.calibration import Calibration
from service import attempts, policies
from service.audit import log
from service.audit.leaf import DecisionLeaf
from service.clock import Clock
from service.db import Database, Row
from service.desk import Desk, Limits
from service.enrolment import accounts
from service.faces import Comparer, accepted, agree, comparable, protect_face, read_faces
from service.keys import KeyRing
from service.ledger import store as ledger
from service.permission import permit
from service.stages import (
    Authenticated,
    Challenged,
    Claimed,
    Denied,
    Live,
    Opened,
    Permitted,
    Refused,
    Verified,
    refused,
)
from service.terminals import challenges
from service.terminals import store as terminals
from service.verification.liveness import check_report
from service.verification.pin import PinHasher, is_pin
from service.verification.policy import Policy
from service.verification.protection import new_data_key
from wire import envelope
from wire.denial import Denial
from wire.envelope import Signed
from wire.errors import SealError, WireError
from wire.messages import Decision, EnrolmentContext, Evidence, Outcome, Probe

_COUNTED = frozenset({Denial.NO_MATCH, Denial.PIN_MISSING, Denial.PIN_WRONG})


class Authorizer(Desk):
    """Decides; what stands before and after a decision is the :class:`Desk`'s."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        calibrations: Mapping[bytes, Calibration],
        clock: Clock,
        *,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(database, keys, calibrations, clock, limits=limits)
        self._comparer = Comparer(keys, calibrations)
        self._pins = PinHasher(keys.pins)
        self._policies: dict[int, Policy] = {}

    def authorize(self, raw: bytes) -> bytes | Refused:
        """The signed decision on one attempt; the same evidence always gets the same bytes."""
        try:
            unverified = envelope.parse(raw, Evidence)  # (1)
        except WireError as error:
            return refused(Denial.MALFORMED, str(error))
        with self._database.transaction() as conn:
            terminal = self._authenticate(conn, unverified, unverified.message.terminal)  # (2)
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
        if isinstance(challenged.evidence.context, EnrolmentContext):
            return self._enrol(conn, live, now_ms)
        claimed = self._claim(conn, live, now_ms)  # (7)
        verified = self._verify(conn, claimed, now_ms)  # (8)
        if isinstance(verified, Denied):
            return verified
        permitted = permit(conn, verified, now_ms)  # (9)
        if isinstance(permitted, Denied):
            return permitted
        return replace(permitted, enrolled_model=self._succeed(conn, verified, now_ms))

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

    def _open(self, challenged: Challenged) -> Opened | Denied:
        evidence = challenged.evidence
        calibrations = accepted(self._calibrations, challenged.policy)
        if evidence.model_id not in {each.model_id for each in calibrations}:
            return Denied(Denial.MODEL_NOT_ACCEPTED)
        if not challenged.policy.accepts(evidence.source):
            return Denied(Denial.SOURCE_NOT_ACCEPTED)
        try:
            opened = self._keys.opening.unseal(evidence.sealed, evidence.binding)
            probe = Probe.decode(opened)
            faces = read_faces(evidence.model_id, probe, calibrations)
        except (SealError, WireError, ValueError):
            return Denied(Denial.PROBE_UNREADABLE)
        enrolling = isinstance(evidence.context, EnrolmentContext)
        if len(probe.embeddings) > 1 and not enrolling:
            return Denied(Denial.PROBE_UNREADABLE)
        return Opened(challenged, probe, faces)

    def _claim(self, conn: Connection[Row], live: Live, now_ms: int) -> Claimed:
        probe, faces = live.opened.probe, live.opened.faces
        account = accounts.lock_by_claim(conn, self._keys.claim_hash(probe.claim))
        if account is None:
            return Claimed(live, self._comparer.decoy, faces[0], Denial.ACCOUNT_UNKNOWN)
        face, standing = comparable(account, faces), None
        if account.state != "active":
            standing = Denial.ACCOUNT_SUSPENDED
        elif account.consent_version is None:
            standing = Denial.CONSENT_MISSING
        elif account.locked_until_ms > now_ms:
            standing = Denial.ACCOUNT_LOCKED
        elif face is None:
            standing = Denial.REFERENCE_MISSING
        return Claimed(live, account, face or faces[0], standing)

    def _verify(self, conn: Connection[Row], claimed: Claimed, now_ms: int) -> Verified | Denied:
        """Compares in every case, so that the time does not tell why it was denied."""
        account, challenged = claimed.account, claimed.live.opened.challenged
        face, pin = self._comparer.compare(claimed), self._check_pin(claimed)
        denial = claimed.standing or face or pin
        failures, locked_until_ms = account.failures, account.locked_until_ms
        if denial is None:
            failures, locked_until_ms = 0, 0
        elif denial in _COUNTED:
            failures += 1
            locked_until_ms = challenged.policy.lockout.locked_until_ms(
                failures, level=challenged.challenge.level, now_ms=now_ms
            )
        accounts.set_failures(
            conn, account.account, failures=failures, locked_until_ms=locked_until_ms
        )
        if denial is None:
            return Verified(claimed)
        return Denied(denial, None if denial is Denial.ACCOUNT_UNKNOWN else account.account)

    def _check_pin(self, claimed: Claimed) -> Denial | None:
        opened, account = claimed.live.opened, claimed.account
        if not opened.challenged.challenge.pin_required:
            return None
        pin = opened.probe.pin
        if pin is None or not is_pin(pin):
            return Denial.PIN_MISSING
        matches = self._pins.verify(account.pin_hash, pin, account.account)
        return None if matches else Denial.PIN_WRONG

    def _enrol(self, conn: Connection[Row], live: Live, now_ms: int) -> Permitted | Denied:
        """(7) to (9) for an enrolment: a new claim, references of one person, a wallet."""
        opened, challenged = live.opened, live.opened.challenged
        context, probe, policy = challenged.evidence.context, opened.probe, challenged.policy
        if not isinstance(context, EnrolmentContext):
            raise RuntimeError("not an enrolment")
        account, claim_hash = context.account, self._keys.claim_hash(probe.claim)
        if context.consent_version != policy.consent_version:
            return Denied(Denial.CONSENT_MISSING)
        if probe.pin is not None and not is_pin(probe.pin):
            return Denied(Denial.PIN_MISSING)
        if accounts.claim_taken(conn, claim_hash, account):
            return Denied(Denial.CLAIM_TAKEN)
        if not all(agree(face, challenged.tier) for face in opened.faces):
            return Denied(Denial.REFERENCES_DISAGREE)
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
                for reference in protect_face(account, face, probe, data_key, self._keys)
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
        if best is verified.claimed.face or account.wrapped_key is None:
            return None
        data_key = self._keys.unwrap(account.wrapped_key, account.account)
        if data_key is None:
            return None
        references = protect_face(account.account, best, opened.probe, data_key, self._keys)
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
        attempts.store(conn, evidence, decision, signed.raw, account=verdict.account, denial=denial)
        return signed.raw


def _recall(conn: Connection[Row], found: Authenticated) -> bytes | Refused | None:
    earlier = attempts.find(conn, found.evidence.message.attempt)
    if earlier is None:
        return None
    if earlier.evidence_digest != found.evidence.digest:
        return refused(Denial.ATTEMPT_ID_REUSED, "this attempt id was used for other evidence")
    return earlier.decision


def _require_live(opened: Opened, now_ms: int) -> Live | Denied:
    challenge = opened.challenged.challenge
    denial = check_report(
        opened.challenged.evidence.liveness,
        plan=challenge.plan,
        level=challenge.level,
        elapsed_ms=now_ms - challenge.issued_at_ms,
    )
    return Live(opened) if denial is None else Denied(denial)
