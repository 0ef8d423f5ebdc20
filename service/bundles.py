"""Makes what a door may decide by while it cannot ask, and says whether it still holds.

Guarantees: a bundle holds those alone who are granted at that door, active, and consented; no
claim, account id, PIN, nor a reference that the account's card must open. What is read is at least
as new as the revision that the bundle is kept under, so whatever changes later is noticed. Who lost
a right, or had it changed, since a bundle was issued is named until the door has a newer one.

The caller must ask for one bundle at a time, and in no transaction: with thousands of people it
takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field, replace
from hashlib import sha256

from psycopg import Connection

from access.rules import OFFLINE_MS_MAX
from face_engine.calibration import Calibration
from face_engine.match import QUANTIZED_MARGIN, quantize
from service import policies
from service.access import events, roster
from service.access.roster import Gate, Passer, Right
from service.db import Database, Row
from service.enrolment import accounts
from service.enrolment.accounts import RosteredAccount, StoredReference
from service.faces import accepted
from service.keys import KeyRing
from service.stages import Refused, refused
from service.terminals import standing
from service.terminals.standing import DIGEST_BYTES, People
from service.terminals.store import Terminal
from service.verification.policy import Policy, Tier
from service.verification.protection import unprotect
from wire import codec, envelope
from wire.bundle import (
    BUNDLE_BYTES_MAX,
    CLAIM_BYTES,
    GRANTS_OF_ONE_MAX,
    PEOPLE_MAX,
    REVOKED_MAX,
    Bundle,
    BundleRequest,
    Roster,
    RosterGrant,
    RosterPerson,
)
from wire.denial import Denial
from wire.envelope import SealKey, Signed
from wire.errors import WireError
from wire.ids import AccountId, DoorId, TerminalId
from wire.messages import REFERENCES_MAX, Direction, EntryContext

UINT_MAX = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """``revoked``: whose rights changed, by their place in the roster; None: all of it is void.
    ``renew``: a newer one would say something else."""

    renew: bool
    revoked: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """All that a bundle says but who the people are."""

    gate: Gate
    policy_version: int
    policy: Policy
    tier: Tier
    calibration: Calibration
    threshold_micro: int

    @property
    def digest(self) -> bytes:
        parts = (
            self.policy_version,
            self.calibration.model_id,
            self.threshold_micro,
            self.gate.zone.raw,
            [str(each) for each in astuple(self.gate.rules)],
            [day.toordinal() for day in self.gate.holidays],
        )
        return sha256(codec.encode(parts)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What the database says, as one look saw it."""

    revision: int
    sequence: int
    terms: _Terms
    passers: Mapping[AccountId, Passer]
    accounts: list[RosteredAccount]
    references: Mapping[AccountId, list[StoredReference]] = field(repr=False)
    whereabouts: Mapping[AccountId, tuple[bool, int]]


class Bundler:
    def __init__(
        self, database: Database, keys: KeyRing, calibrations: Mapping[bytes, Calibration]
    ) -> None:
        self._database = database
        self._keys = keys
        self._calibrations = calibrations

    def make(
        self, terminal: Terminal, request: BundleRequest, *, now_ms: int
    ) -> Signed[Bundle] | Refused:
        """A new bundle, sealed to the key that the terminal asks for."""
        door = terminal.door
        if door is None:
            return refused(Denial.CONTEXT_CHANGED, "not a door's terminal")
        with self._database.transaction() as conn:
            found = self._look(conn, terminal, door, request.model_id, now_ms)
        if isinstance(found, Refused):
            return found
        expires_at_ms = now_ms + found.terms.gate.rules.offline_ms
        content, rows = self._roster(terminal.terminal, found)
        with self._database.transaction() as conn:
            number = standing.issue(
                conn,
                terminal.terminal,
                issued_at_ms=now_ms,
                model_id=request.model_id,
                revision=found.revision,
                header=found.terms.digest,
                people=rows,
            )
        clear = Bundle(
            terminal=terminal.terminal,
            door=door,
            nonce=request.nonce,
            number=number,
            issued_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
            sequence=found.sequence,
            sealed=b"-",
        )
        try:
            seal_key = SealKey(request.seal_suite, request.seal_key)
            sealed = seal_key.seal(content.encode(), clear.binding)
        except WireError:
            return refused(Denial.MALFORMED, "not a seal key")
        if len(sealed) > BUNDLE_BYTES_MAX:
            return refused(Denial.BUNDLE_UNAVAILABLE, "too many faces for one bundle")
        return envelope.sign(replace(clear, sealed=sealed), self._keys.signing)

    def look(
        self, conn: Connection[Row], terminal: TerminalId, door: DoorId, number: int
    ) -> Standing:
        """How the bundle of this number stands now."""
        revision = roster.revision(conn)
        if standing.holds_at(conn, terminal, number) == revision:
            return Standing(renew=False, revoked=())
        issued = standing.find_issued(conn, terminal, number)
        if issued is None:
            return Standing(renew=True, revoked=None)
        terms = self._terms(conn, door, issued.model_id, issued.issued_at_ms)
        if isinstance(terms, Refused) or terms.digest != issued.header:
            return Standing(renew=True, revoked=None)
        passers = self._passers(conn, door, terms, issued.issued_at_ms)
        now = set(_rows(accounts.rostered(conn, passers), passers))
        gone = tuple(place for place, row in enumerate(issued.people) if row not in now)
        if not gone and len(now) == len(issued.people):
            standing.still_holds(conn, terminal, number, revision)
            return Standing(renew=False, revoked=())
        return Standing(renew=True, revoked=gone if len(gone) <= REVOKED_MAX else None)

    def _look(
        self,
        conn: Connection[Row],
        terminal: Terminal,
        door: DoorId,
        model_id: bytes,
        now_ms: int,
    ) -> _Found | Refused:
        # First of all: a change that commits while the rest is read is then newer than this.
        revision = roster.revision(conn)
        terms = self._terms(conn, door, model_id, now_ms)
        if isinstance(terms, Refused):
            return terms
        passers = self._passers(conn, door, terms, now_ms)
        # Before whereabouts and tallies: they hold what these records say, and maybe more.
        sequence = events.last(conn, terminal.terminal)
        found = accounts.rostered(conn, passers)
        if len(found) > PEOPLE_MAX:
            return refused(Denial.BUNDLE_UNAVAILABLE, f"more than {PEOPLE_MAX} people are granted")
        return _Found(
            revision=revision,
            sequence=sequence,
            terms=terms,
            passers=passers,
            accounts=found,
            references=accounts.references_of(conn, [each.account for each in found], model_id),
            whereabouts=roster.whereabouts(conn, terms.gate.zone),
        )

    def _terms(
        self, conn: Connection[Row], door: DoorId, model_id: bytes, now_ms: int
    ) -> _Terms | Refused:
        gate = roster.find_gate(conn, door, now_ms=now_ms, until_ms=now_ms + OFFLINE_MS_MAX)
        if gate is None:
            return refused(Denial.DOOR_UNKNOWN, "no such door")
        if not gate.rules.offline_ms:
            return refused(Denial.BUNDLE_UNAVAILABLE, "this door never decides alone")
        version, policy = policies.latest(conn, self._keys.signing, now_ms=now_ms)
        tier = policy.tier_for(EntryContext(door=door, direction=Direction.IN))
        calibration = {each.model_id: each for each in accepted(self._calibrations, policy)}.get(
            model_id
        )
        if tier is None or calibration is None:
            return refused(Denial.MODEL_NOT_ACCEPTED, "the policy does not accept this model")
        threshold = calibration.threshold_for(tier.fmr) + QUANTIZED_MARGIN
        return _Terms(
            gate=gate,
            policy_version=version,
            policy=policy,
            tier=tier,
            calibration=calibration,
            threshold_micro=math.ceil(threshold * 1e6),
        )

    def _passers(
        self, conn: Connection[Row], door: DoorId, terms: _Terms, now_ms: int
    ) -> dict[AccountId, Passer]:
        until_ms = now_ms + terms.gate.rules.offline_ms
        return roster.passers(conn, door, now_ms=now_ms, until_ms=until_ms)

    def _roster(self, terminal: TerminalId, found: _Found) -> tuple[Roster, People]:
        """The roster of everybody whose reference opens; what is kept of all, the others last."""
        table, listed, unseen = _Grants(), [], []
        people = []
        rows = _rows(found.accounts, found.passers)
        for account, row in zip(found.accounts, rows, strict=True):
            faces = self._faces(account, found)
            if not faces:
                unseen.append(row)
                continue
            listed.append(row)
            passer = found.passers[account.account]
            inside, since_ms = found.whereabouts.get(account.account, (None, None))
            people.append(
                RosterPerson(
                    person=self._keys.door_name(account.account, terminal),
                    claim=self._keys.door_claim(account.blinded, terminal)[:CLAIM_BYTES],
                    grants=table.places(passer),
                    references=faces,
                    visit_until_ms=passer.visit_until_ms,
                    inside=inside,
                    since_ms=since_ms,
                    failures=account.face.failures or None,
                    locked_until_ms=account.face.locked_until_ms or None,
                )
            )
        known = {account for account, _ in listed}
        others = sum(
            inside for account, (inside, _) in found.whereabouts.items() if account not in known
        )
        terms, rules = found.terms, found.terms.gate.rules
        content = Roster(
            model_id=terms.calibration.model_id,
            dimensions=terms.calibration.dimensions,
            threshold_micro=terms.threshold_micro,
            factor=terms.tier.factor,
            level=terms.tier.liveness,
            claim_key=self._keys.door_claim_key(terminal),
            mode=rules.mode.value,
            passback=rules.passback.value,
            passback_timeout_ms=rules.passback_timeout_ms,
            occupancy_max=rules.occupancy_max,
            two_person_ms=rules.two_person_ms,
            others_inside=others,
            holidays=tuple(day.toordinal() for day in terms.gate.holidays),
            lockout=astuple(terms.policy.lockout),
            grants=tuple(table.grants),
            people=tuple(people),
        )
        return content, (*listed, *unseen)

    def _faces(self, account: RosteredAccount, found: _Found) -> bytes:
        data_key = self._keys.unwrap(account.wrapped_key, account.account)
        references = found.references.get(account.account, [])[:REFERENCES_MAX]
        if data_key is None:
            return b""
        opened = (
            unprotect(
                each.ciphertext,
                each.slot,
                data_key=data_key,
                holder_share=None,
                transform_key=self._keys.transforms,
            )
            for each in references
        )
        return b"".join(quantize(vector).tobytes() for vector in opened if vector is not None)


class _Grants:
    """The roster's list of grants: of thousands of people most have the same few."""

    def __init__(self) -> None:
        self._places: dict[Right, int] = {}

    @property
    def grants(self) -> list[RosterGrant]:
        return [
            RosterGrant(
                schedule=schedule,
                time_zone=time_zone,
                valid_from_ms=max(from_ms, 0),
                valid_until_ms=min(until_ms, UINT_MAX),
                through_lockdown=through,
            )
            for schedule, time_zone, from_ms, until_ms, through in self._places
        ]

    def places(self, passer: Passer) -> tuple[int, ...]:
        own = dict.fromkeys(passer.rights[:GRANTS_OF_ONE_MAX])
        return tuple(self._places.setdefault(right, len(self._places)) for right in own)


def _rows(found: Iterable[RosteredAccount], passers: Mapping[AccountId, Passer]) -> People:
    """What is compared later: the account, and a digest of its claim and its rights."""
    return tuple((each.account, _digest(each.blinded, passers[each.account])) for each in found)


def _digest(blinded: bytes, passer: Passer) -> bytes:
    parts = [blinded, str(passer.visit_until_ms), [list(right) for right in passer.rights]]
    return sha256(codec.encode(parts)).digest()[:DIGEST_BYTES]
