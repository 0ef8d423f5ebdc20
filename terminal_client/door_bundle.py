"""What a door may decide alone, from a bundle and the records since: pure.

Guarantees: a bundle counts only if the pinned service signed it for this terminal and this door,
its roster opens with this terminal's key, its number is none that was passed already, and the time
is within its own. Faces are matched, rules applied and failures counted by the code that the
service uses. What a person did here since the bundle was issued counts, because every change of
state goes through a record (:meth:`Alone.replay`), which a restarted door replays.

The caller must write each decision's record down before it is acted on, and replay it.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from access.lockout import Lockout, Tallies, Tally
from access.rules import Facts, Grant, Mode, Passback, Presence, ZoneRules, decide
from access.schedule import Schedule, find_time_zone
from face_engine.match import dequantize, matches
from face_engine.types import Embedding
from terminal_client.keystore import Identity
from wire import blind, envelope
from wire.bundle import CLAIM_BYTES, Bundle, Roster, RosterPerson
from wire.denial import Denial
from wire.envelope import OpeningKey
from wire.errors import SealError, WireError
from wire.ids import AttemptId
from wire.messages import (
    REFERENCES_MAX,
    Direction,
    DoorDecision,
    DoorEventKind,
    DoorFault,
    DoorRecord,
)

CLOCK_TOLERANCE_MS = 120_000


@dataclass(frozen=True)
class Held:
    """A bundle that was accepted."""

    bundle: Bundle
    roster: Roster = field(repr=False)

    def fault_at(self, now_ms: int) -> DoorFault | None:
        """What speaks against deciding by it now."""
        if now_ms < self.bundle.issued_at_ms - CLOCK_TOLERANCE_MS:
            return DoorFault.CLOCK_TURNED_BACK
        return DoorFault.BUNDLE_STALE if now_ms >= self.bundle.expires_at_ms else None

    @cached_property
    def rules(self) -> ZoneRules:
        roster = self.roster
        return ZoneRules(
            mode=Mode(roster.mode),
            passback=Passback(roster.passback),
            passback_timeout_ms=roster.passback_timeout_ms,
            occupancy_max=roster.occupancy_max,
            two_person_ms=roster.two_person_ms,
        )

    @cached_property
    def grants(self) -> tuple[Grant, ...]:
        return tuple(
            Grant(
                schedule=Schedule.parse(each.schedule),
                time_zone=find_time_zone(each.time_zone),
                valid_from_ms=each.valid_from_ms,
                valid_until_ms=each.valid_until_ms,
                through_lockdown=each.through_lockdown,
            )
            for each in self.roster.grants
        )

    @cached_property
    def holidays(self) -> frozenset[date]:
        return frozenset(map(date.fromordinal, self.roster.holidays))

    @cached_property
    def lockout(self) -> Lockout:
        failures, hard_stop, first_delay_ms, longest_delay_ms = self.roster.lockout
        return Lockout(
            failures=failures,
            hard_stop=hard_stop,
            first_delay_ms=first_delay_ms,
            longest_delay_ms=longest_delay_ms,
        )

    @cached_property
    def by_claim(self) -> dict[bytes, RosterPerson]:
        return {each.claim: each for each in self.roster.people}

    @cached_property
    def by_name(self) -> dict[bytes, RosterPerson]:
        """Of somebody who has several claims one: they differ in nothing else."""
        return {each.person: each for each in self.roster.people}

    def find(self, claim: str) -> RosterPerson | None:
        secret = int.from_bytes(self.roster.claim_key)
        return self.by_claim.get(blind.digest(claim, secret)[:CLAIM_BYTES])


def open_bundle(
    raw: bytes, identity: Identity, key: OpeningKey, *, newest: int, now_ms: int
) -> Held | DoorFault:
    """The bundle, or the first thing that is wrong with it; ``newest`` is the highest number that
    the door ever had."""
    try:
        unverified = envelope.parse(raw, Bundle)
        bundle = envelope.verify(unverified, identity.service_key).message
    except WireError:
        return DoorFault.BUNDLE_TAMPERED
    if bundle.terminal != identity.terminal or bundle.door != identity.door:
        return DoorFault.BUNDLE_FOREIGN
    if bundle.number < newest:
        return DoorFault.BUNDLE_ROLLED_BACK
    try:
        held = Held(bundle, Roster.decode(key.unseal(bundle.sealed, bundle.binding)))
        _ = held.rules, held.grants, held.holidays, held.lockout, held.by_claim, held.by_name
    except (WireError, SealError, ValueError, TypeError):
        return DoorFault.BUNDLE_TAMPERED
    return held.fault_at(now_ms) or held


@dataclass(slots=True)
class Alone:
    """A bundle, and what happened here since. ``revoked`` are people of its roster, by name."""

    held: Held
    revoked: Set[bytes] = frozenset()
    _tallies: dict[bytes, Tallies] = field(default_factory=dict)
    _presences: dict[bytes, Presence | None] = field(default_factory=dict)
    _waits: dict[bytes, int] = field(default_factory=dict)
    _passing: dict[AttemptId, dict[bytes, Presence | None]] = field(default_factory=dict)

    def decide(
        self, claim: str, face: Embedding, direction: Direction, now_ms: int
    ) -> DoorDecision:
        """What becomes of an attempt; nothing is changed by it."""
        roster = self.held.roster
        person = self.held.find(claim)
        # Somebody whom the bundle does not have is compared, too, with nobody.
        matched = matches(self._scores(person, face), roster.threshold_micro / 1e6)
        if person is None:
            return self._denied(direction, None, Denial.ACCOUNT_UNKNOWN)
        if self._tally(person).face.is_locked(now_ms):
            return self._denied(direction, person, Denial.ACCOUNT_LOCKED)
        if not matched or face.model_id != roster.model_id:
            return self._denied(direction, person, Denial.NO_MATCH)
        if roster.factor.has_pin:
            return self._denied(direction, person, Denial.PIN_MISSING)
        companion = self._companion(person, now_ms) if direction is Direction.IN else None
        verdict = decide(self._facts(person, companion, direction, now_ms))
        if verdict.denial is not None:
            return self._denied(direction, person, verdict.denial)
        return DoorDecision(
            bundle=self.held.bundle.number,
            direction=direction,
            person=person.person,
            companion=companion,
            alarm=verdict.alarms[0] if verdict.alarms else None,
        )

    def replay(self, record: DoorRecord) -> None:
        """Takes what a record says into account; records come in their order."""
        decision, attempt = record.decision, record.attempt
        if record.event is DoorEventKind.NOT_OPENED and attempt in self._passing:
            self._presences |= self._passing.pop(attempt)
        if decision is None or attempt is None or decision.person is None:
            return
        person = self.held.by_name.get(decision.person)
        if person is None:
            return
        denial = Denial(decision.denial) if decision.denial else None
        self._tallies[person.person] = self._tally(person).after(
            denial,
            factor=self.held.roster.factor,
            lockout=self.held.lockout,
            pin_lockout=self.held.lockout,
            level=self.held.roster.level,
            now_ms=record.at_ms,
        )
        if denial is Denial.SECOND_PERSON_MISSING:
            self._waits[person.person] = record.at_ms
        if denial is None:
            people = [each for each in (decision.person, decision.companion) if each is not None]
            self._pass(attempt, people, decision.direction, record.at_ms)

    def passed(self, attempt: AttemptId, claim: str, direction: Direction, at_ms: int) -> None:
        """Somebody whom the service let in here while it could be asked."""
        person = self.held.find(claim)
        if person is not None:
            self._pass(attempt, [person.person], direction, at_ms)

    def _pass(
        self, attempt: AttemptId, people: Collection[bytes], direction: Direction, at_ms: int
    ) -> None:
        now = Presence(inside=direction is Direction.IN, since_ms=at_ms)
        self._passing = {attempt: {name: self._presence(name) for name in people}}
        for name in people:
            self._presences[name] = now
            self._waits.pop(name, None)

    def _scores(self, person: RosterPerson | None, face: Embedding) -> list[float]:
        """``REFERENCES_MAX`` comparisons in every case."""
        size = self.held.roster.dimensions
        raw = person.references if person is not None else b""
        own = np.zeros((REFERENCES_MAX, size), np.int8)
        found: NDArray[np.int8] = np.frombuffer(raw, np.int8).reshape(-1, size)[:REFERENCES_MAX]
        own[: len(found)] = found
        if face.vector.size != size:
            return []
        return [float(score) for score in (dequantize(own) @ face.vector)[: len(found)]]

    def _facts(
        self, person: RosterPerson, companion: bytes | None, direction: Direction, now_ms: int
    ) -> Facts:
        granted = () if person.person in self.revoked else person.grants
        return Facts(
            zone=self.held.rules,
            direction=direction,
            at_ms=now_ms,
            grants=tuple(self.held.grants[each] for each in granted),
            holidays=self.held.holidays,
            visit_until_ms=person.visit_until_ms,
            presence=self._presence(person.person),
            others_inside=self._others_inside({person.person, companion}),
            companion_at_ms=None if companion is None else self._waits[companion],
        )

    def _others_inside(self, but: Set[bytes | None]) -> int:
        if self.held.rules.occupancy_max is None:
            return 0
        return self.held.roster.others_inside + sum(
            name not in but and self._is_inside(name) for name in self.held.by_name
        )

    def _is_inside(self, name: bytes) -> bool:
        presence = self._presence(name)
        return presence is not None and presence.inside

    def _companion(self, person: RosterPerson, now_ms: int) -> bytes | None:
        """The last other one who was verified here and only waits for a second person."""
        within_ms = self.held.rules.two_person_ms
        if within_ms is None:
            return None
        waiting = [
            (at_ms, other)
            for other, at_ms in self._waits.items()
            if other != person.person and other not in self.revoked and at_ms > now_ms - within_ms
        ]
        return max(waiting)[1] if waiting else None

    def _tally(self, person: RosterPerson) -> Tallies:
        told = Tallies(face=Tally(person.failures or 0, person.locked_until_ms or 0))
        return self._tallies.get(person.person, told)

    def _presence(self, name: bytes) -> Presence | None:
        if name in self._presences:
            return self._presences[name]
        person = self.held.by_name.get(name)
        if person is None or person.inside is None or person.since_ms is None:
            return None
        return Presence(inside=person.inside, since_ms=person.since_ms)

    def _denied(
        self, direction: Direction, person: RosterPerson | None, denial: Denial
    ) -> DoorDecision:
        return DoorDecision(
            bundle=self.held.bundle.number,
            direction=direction,
            person=person.person if person is not None else None,
            denial=denial,
        )
