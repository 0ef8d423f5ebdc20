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

Without a face, (6) has nobody to be alive and (8) checks the PIN alone: :mod:`service.card`.

Guarantees: (3) to (11) are ONE database transaction, so an attempt that is cut off anywhere
leaves nothing, and one that committed keeps its decision for ever. Only where a processor has the
account's money it is two (ADR 0010): (9) reserves the money, the first commits, the processor is
asked, and (10) and (11) are the second; whatever is cut off in between is decided once by the
terminal that asks again, or denied and undone by a task. Each stage has its own type
(:mod:`service.stages`), made only by its step: skipping one does not type-check. An unknown
account goes through the same steps as a known one, against a decoy. Any doubt denies.

The caller must still answer 503 to :class:`service.errors.Unavailable`, whereupon the terminal
asks again with the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from psycopg import Connection, Cursor

from face_engine.calibration import Calibration
from service import attempts, decisions, policies, reservations
from service.attempts import StoredAttempt
from service.card import CardJudge
from service.clock import Clock
from service.db import Database, Row
from service.decisions import Decided
from service.desk import Limits
from service.door_desk import DoorDesk
from service.enrolling import bring_up_to_date, enrol_face
from service.enrolment import accounts
from service.faces import Comparer, accepted, comparable, read_faces
from service.funding.processor import Processors
from service.keys import KeyRing
from service.permission import permit
from service.settlement import Settlement
from service.stages import (
    Authenticated,
    Challenged,
    Claimed,
    Denied,
    E,
    Live,
    Opened,
    Permitted,
    Refused,
    Reserved,
    Tried,
    Verified,
    refused,
)
from service.terminals import challenges
from service.terminals import store as terminals
from service.verification.liveness import check_report
from service.verification.pin import PinHasher
from service.verification.policy import Policy
from wire import envelope
from wire.denial import Denial
from wire.envelope import Signed, Unverified
from wire.errors import SealError, WireError
from wire.messages import CardEvidence, Decision, EnrolmentContext, Evidence, Probe

Judge = Callable[[Connection[Row], Challenged[E], int], Permitted | Reserved | Denied]


class Authorizer(DoorDesk):
    """Decides; what stands before and after a decision, and beside it, is the desks'."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        calibrations: Mapping[bytes, Calibration],
        clock: Clock,
        *,
        limits: Limits | None = None,
        processors: Processors | None = None,
    ) -> None:
        super().__init__(database, keys, calibrations, clock, limits=limits)
        self._settlement = Settlement(database, keys, processors or {}, clock)
        self._comparer = Comparer(keys, calibrations)
        self._pins = PinHasher(keys.pins)
        self._cards = CardJudge(keys, self._pins, self._comparer.decoy)
        self._policies: dict[int, Policy] = {}

    def authorize(self, raw: bytes) -> Decided | Refused:
        """The signed decision on one attempt; the same evidence always gets the same bytes."""
        return self._answer(raw, Evidence, self._judge)

    def authorize_card(self, raw: bytes) -> Decided | Refused:
        """The same for an attempt without a face."""
        return self._answer(raw, CardEvidence, self._judge_card)

    def _answer(self, raw: bytes, kind: type[E], judge: Judge[E]) -> Decided | Refused:
        try:
            unverified = envelope.parse(raw, kind)  # (1)
        except WireError as error:
            return refused(Denial.MALFORMED, str(error))
        decided = self._database.run(
            lambda conn: self._decide(conn, unverified, judge), pipelined=True
        )
        if isinstance(decided, Reserved):
            return self._settlement.decide(decided)  # (10), (11), once the processor was heard
        return decided

    def _decide(
        self, conn: Connection[Row], unverified: Unverified[E], judge: Judge[E]
    ) -> Decided | Refused | Reserved:
        evidence = unverified.message
        terminal = self._authenticate(conn, unverified, evidence.terminal)  # (2)
        if isinstance(terminal, Refused):
            return terminal
        authenticated = Authenticated(Signed(evidence, unverified.kid, unverified.raw), terminal)
        # Asked together, answered together; who comes second waits here for the first.
        advanced = terminals.advance_counter(conn, terminal.terminal, evidence.counter)
        earlier = attempts.find(conn, evidence.attempt)
        challenge = challenges.lock(conn, evidence.challenge)
        recalled = _recall(conn, authenticated, earlier())  # (3)
        if recalled is not None:
            return recalled
        now_ms = self._clock()
        challenged = self._consume(conn, authenticated, advanced(), challenge, now_ms)  # (4)
        if isinstance(challenged, Denied):
            return self._record(conn, authenticated.tried(None), challenged, now_ms)
        verdict = judge(conn, challenged, now_ms)  # (5) to (9)
        if isinstance(verdict, Reserved):
            reservations.store(conn, verdict, now_ms=now_ms)
            return verdict
        return self._record(conn, challenged.tried, verdict, now_ms)

    def _record(
        self, conn: Connection[Row], tried: Tried, verdict: Permitted | Denied, now_ms: int
    ) -> Signed[Decision]:
        """(10), (11)"""
        return decisions.record(conn, self._keys.signing, tried, verdict, now_ms=now_ms)

    def _judge(
        self, conn: Connection[Row], challenged: Challenged[Evidence], now_ms: int
    ) -> Permitted | Reserved | Denied:
        opened = self._open(challenged)  # (5)
        if isinstance(opened, Denied):
            return opened
        live = _require_live(opened, now_ms)  # (6)
        if isinstance(live, Denied):
            return live
        if challenged.authenticated.terminal.camera is None:
            evidence = challenged.evidence
            terminals.pin_camera(conn, evidence.terminal, evidence.liveness.camera)
        if isinstance(challenged.evidence.context, EnrolmentContext):
            return enrol_face(conn, self._keys, self._pins, live, now_ms)  # (7) to (9)
        claimed = self._claim(conn, live, now_ms)  # (7)
        verified = self._verify(conn, claimed, now_ms)  # (8)
        if isinstance(verified, Denied):
            return verified
        permitted = permit(conn, verified, now_ms)  # (9)
        if isinstance(permitted, Denied):
            return permitted
        return _enrolling(permitted, bring_up_to_date(conn, self._keys, verified, now_ms))

    def _judge_card(
        self, conn: Connection[Row], challenged: Challenged[CardEvidence], now_ms: int
    ) -> Permitted | Reserved | Denied:
        opened = self._cards.open(challenged)  # (5)
        if isinstance(opened, Denied):
            return opened
        if isinstance(challenged.evidence.context, EnrolmentContext):
            return self._cards.enrol(conn, opened, now_ms)
        claimed = self._cards.claim(conn, opened)  # (7)
        verified = self._cards.verify(conn, claimed, now_ms)  # (8)
        if isinstance(verified, Denied):
            return verified
        return permit(conn, verified, now_ms)  # (9)

    def _consume(
        self,
        conn: Connection[Row],
        found: Authenticated[E],
        advanced: bool,
        locked: Cursor[Row],
        now_ms: int,
    ) -> Challenged[E] | Denied:
        evidence = found.evidence.message
        challenge = challenges.consume(conn, locked, evidence, now_ms=now_ms)
        if not advanced:
            return Denied(Denial.COUNTER_NOT_INCREASED)
        if isinstance(challenge, Denial):
            return Denied(challenge)
        return Challenged(found, challenge, self._policy(conn, challenge.policy_version))

    def _policy(self, conn: Connection[Row], version: int) -> Policy:
        """A version never changes, so its signature is checked once."""
        if version not in self._policies:
            self._policies[version] = policies.load(conn, version, self._keys.signing)
        return self._policies[version]

    def _open(self, challenged: Challenged[Evidence]) -> Opened | Denied:
        evidence = challenged.evidence
        tier = challenged.policy.tier_for(evidence.context)
        if tier is None:
            return Denied(Denial.LIMIT_EXCEEDED)
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
        return Opened(challenged, tier, probe, faces)

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
        elif account.tallies.face.is_locked(now_ms):
            standing = Denial.ACCOUNT_LOCKED
        elif face is None:
            standing = Denial.REFERENCE_MISSING
        return Claimed(live, account, face or faces[0], standing)

    def _verify(self, conn: Connection[Row], claimed: Claimed, now_ms: int) -> Verified | Denied:
        """Compares in every case, so that the time does not tell why it was denied."""
        account, challenged = claimed.account, claimed.live.opened.challenged
        face, (pin, duress) = self._comparer.compare(claimed), self._check_pin(claimed, now_ms)
        denial = claimed.standing or face or pin
        tallies = account.tallies.after(
            denial,
            factor=challenged.challenge.factor,
            lockout=challenged.policy.lockout,
            pin_lockout=challenged.policy.pin_lockout,
            level=challenged.challenge.level,
            now_ms=now_ms,
        )
        if denial is not None or tallies != account.tallies:
            accounts.set_tallies(conn, account.account, tallies)
        if denial is None:
            return Verified(claimed, duress)
        return Denied(denial, None if denial is Denial.ACCOUNT_UNKNOWN else account.account)

    def _check_pin(self, claimed: Claimed, now_ms: int) -> tuple[Denial | None, bool]:
        """What speaks against the PIN, and whether it is the one for duress."""
        opened, account = claimed.live.opened, claimed.account
        if not opened.challenged.challenge.factor.has_pin:
            return None, False
        denial, duress = self._pins.judge(
            account.pin_hash, account.duress_hash, opened.probe.pin, account.account
        )
        return Denial.PIN_LOCKED if account.tallies.pin.is_locked(now_ms) else denial, duress


def _enrolling(permitted: Permitted | Reserved, model: bytes | None) -> Permitted | Reserved:
    if isinstance(permitted, Reserved):
        return replace(permitted, permitted=replace(permitted.permitted, enrolled_model=model))
    return replace(permitted, enrolled_model=model)


def _recall(
    conn: Connection[Row], found: Authenticated[E], earlier: StoredAttempt | None
) -> bytes | Refused | Reserved | None:
    if earlier is None:
        return None
    if earlier.evidence_digest != found.evidence.digest:
        return refused(Denial.ATTEMPT_ID_REUSED, "this attempt id was used for other evidence")
    return earlier.decision or reservations.find(conn, found.evidence.message.attempt)


def _require_live(opened: Opened, now_ms: int) -> Live | Denied:
    challenge = opened.challenged.challenge
    denial = check_report(
        opened.challenged.evidence.liveness,
        plan=challenge.plan,
        level=challenge.level,
        elapsed_ms=now_ms - challenge.issued_at_ms,
        camera=opened.challenged.authenticated.terminal.camera,
    )
    return Live(opened) if denial is None else Denied(denial)
