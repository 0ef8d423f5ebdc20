"""Takes what a door reports: each record once, in the door's order, a leaf of the log each.

Guarantees: the same records again change nothing and are acknowledged alike. A gap, and a record
that is not the one which was kept under its number (an edited outbox, an old disk image), are
refused by name; nothing of such a message is kept, and there is an alarm until somebody
acknowledges it. What a door decided alone counts as if it had been decided here at the door's
time: entries, who is where, consecutive failures.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from psycopg import Connection

from access.lockout import Tallies
from service import policies
from service.access import events
from service.access import store as access
from service.alarms import Alarm, AlarmKind, raise_alarm, waits
from service.audit import log
from service.audit.leaf import DoorRecordLeaf
from service.db import Row
from service.enrolment import accounts
from service.keys import KeyRing
from service.operators import releases
from service.stages import Refused, refused
from service.terminals.store import Terminal
from service.verification.policy import Policy, Tier
from wire.denial import Denial
from wire.ids import AccountId, AttemptId, DoorId, EntryId, ReleaseId, TerminalId
from wire.messages import (
    DoorDecision,
    DoorEventKind,
    DoorEvents,
    DoorEventsKept,
    DoorFault,
    DoorRecord,
    EntryContext,
)

_ALARMS = {
    DoorEventKind.FORCED: AlarmKind.DOOR_FORCED,
    DoorEventKind.HELD_OPEN: AlarmKind.DOOR_HELD_OPEN,
    DoorEventKind.TAMPER: AlarmKind.TAMPER,
}
_FAULTS = {
    DoorFault.CLOCK_TURNED_BACK: AlarmKind.CLOCK_TURNED_BACK,
    DoorFault.RECORDS_FULL: AlarmKind.RECORDS_FULL,
}
"""All others are a bundle's."""


def keep_events(
    conn: Connection[Row], terminal: Terminal, message: DoorEvents, *, keys: KeyRing, now_ms: int
) -> DoorEventsKept | Refused:
    door = terminal.door
    if door is None:
        return refused(Denial.CONTEXT_CHANGED, "not a door's terminal")
    last, first = events.lock_chain(conn, terminal.terminal), message.records[0].sequence
    if first > last + 1:
        return _alarmed(conn, terminal, Denial.RECORDS_MISSING, now_ms)
    kept = events.heads(conn, terminal.terminal, first - 1, first - 1 + len(message.records))
    chain = {first - 1: message.previous}
    chain |= {
        record.sequence: head for record, head in zip(message.records, message.heads, strict=True)
    }
    end = message.records[-1].sequence
    written = chain[end] == message.head
    if not written or any(chain[sequence] != head for sequence, head in kept.items()):
        return _alarmed(conn, terminal, Denial.RECORDS_CHANGED, now_ms)
    new = [record for record in message.records if record.sequence > last]
    keeper = _Keeper.open(conn, terminal.terminal, door, new, keys, now_ms)
    for record in new:
        keeper.keep(record, chain[record.sequence])
    return DoorEventsKept(terminal=terminal.terminal, sequence=end, head=chain[end])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """Whom a decision names; None where it is nobody, or nobody who exists."""

    account: AccountId | None = None
    companion: AccountId | None = None

    @property
    def people(self) -> list[AccountId]:
        return [each for each in (self.account, self.companion) if each is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keeper:
    conn: Connection[Row]
    terminal: TerminalId
    door: DoorId
    keys: KeyRing
    tallies: dict[AccountId, Tallies]
    policy: Policy | None
    now_ms: int

    @classmethod
    def open(
        cls,
        conn: Connection[Row],
        terminal: TerminalId,
        door: DoorId,
        records: list[DoorRecord],
        keys: KeyRing,
        now_ms: int,
    ) -> _Keeper:
        """Locks everybody who is named before any zone, as a decision here does."""
        decisions = [each.decision for each in records if each.decision]
        names = {
            name for each in decisions for name in (each.person, each.companion) if name is not None
        }
        tallies: dict[AccountId, Tallies] = {}
        policy = None
        if names:
            found = [keys.account_named(name, terminal) for name in names]
            tallies = accounts.lock_tallies(conn, found)
            _, policy = policies.latest(conn, keys.signing, now_ms=now_ms)
        return cls(
            conn=conn,
            terminal=terminal,
            door=door,
            keys=keys,
            tallies=tallies,
            policy=policy,
            now_ms=now_ms,
        )

    def keep(self, record: DoorRecord, head: bytes) -> None:
        decision = record.decision
        named = self._named(decision) if decision else _Named()
        events.keep(
            self.conn,
            self.terminal,
            self.door,
            record,
            head,
            account=named.account,
            now_ms=self.now_ms,
        )
        leaf = DoorRecordLeaf(
            at_ms=self.now_ms,
            terminal=self.terminal,
            door=self.door,
            record=record,
            head=head,
            account=named.account,
            companion=named.companion,
        )
        log.append(self.conn, leaf.encode())
        if decision is not None:
            self._count(record, decision, named)
        elif record.attempt is not None:
            self._close(record, record.attempt)
        for kind in _alarms(record):
            self._raise(kind, record, named)

    def _named(self, decision: DoorDecision) -> _Named:
        account, companion = (
            self.keys.account_named(name, self.terminal) if name else None
            for name in (decision.person, decision.companion)
        )
        return _Named(
            account=account if account in self.tallies else None,
            companion=companion if companion in self.tallies else None,
        )

    def _count(self, record: DoorRecord, decision: DoorDecision, named: _Named) -> None:
        account, attempt, at_ms = named.account, record.attempt, min(record.at_ms, self.now_ms)
        if account is None or attempt is None or self.policy is None:
            return
        denial = _denial(decision)
        context = EntryContext(door=self.door, direction=decision.direction)
        tier = self.policy.tier_for(context)
        if tier is not None:
            self._tally(account, denial, tier, at_ms)
        if denial is Denial.SECOND_PERSON_MISSING:
            access.wait_for_second(self.conn, account, self.door, at_ms=at_ms)
        if denial is None:
            access.take_down_entry(
                self.conn,
                EntryId(attempt.raw),
                people=named.people,
                door=self.door,
                direction=decision.direction,
                at_ms=at_ms,
            )

    def _tally(self, account: AccountId, denial: Denial | None, tier: Tier, at_ms: int) -> None:
        if self.policy is None:
            return
        before = self.tallies[account]
        after = before.after(
            denial,
            factor=tier.factor,
            lockout=self.policy.lockout,
            pin_lockout=self.policy.pin_lockout,
            level=tier.liveness,
            now_ms=at_ms,
        )
        if after != before:
            self.tallies[account] = after
            accounts.set_tallies(self.conn, account, after)

    def _close(self, record: DoorRecord, attempt: AttemptId) -> None:
        """The first word on an entry, or on a release by hand, stands; a door has one on its own
        alone."""
        opened, entry = record.event is DoorEventKind.OPENED, EntryId(attempt.raw)
        if not opened and record.event is not DoorEventKind.NOT_OPENED:
            return
        at_ms = min(record.at_ms, self.now_ms)
        if access.is_entry_of(self.conn, entry, self.door):
            access.close_entry(self.conn, entry, opened=opened, at_ms=at_ms)
        else:
            release = ReleaseId(attempt.raw)
            releases.close(self.conn, release, self.door, opened=opened, at_ms=at_ms)

    def _raise(self, kind: AlarmKind, record: DoorRecord, named: _Named) -> None:
        alarm = Alarm(
            kind=kind,
            at_ms=self.now_ms,
            terminal=self.terminal,
            door=self.door,
            attempt=record.attempt,
            account=named.account,
        )
        raise_alarm(self.conn, alarm)


def _denial(decision: DoorDecision) -> Denial | None:
    """What an unknown name stands for is no entry either."""
    if decision.denial is None:
        return None
    with suppress(ValueError):
        return Denial(decision.denial)
    return Denial.MALFORMED


def _alarms(record: DoorRecord) -> list[AlarmKind]:
    found = [_ALARMS[record.event]] if record.event in _ALARMS else []
    if record.fault is not None:
        found.append(_FAULTS.get(record.fault, AlarmKind.BUNDLE_REFUSED))
    if record.decision is not None and record.decision.alarm == AlarmKind.ANTI_PASSBACK:
        found.append(AlarmKind.ANTI_PASSBACK)
    return found


def alarm_once(conn: Connection[Row], terminal: Terminal, kind: AlarmKind, *, now_ms: int) -> None:
    """One alarm is enough, however often the terminal asks."""
    if not waits(conn, kind, terminal.terminal):
        alarm = Alarm(kind=kind, at_ms=now_ms, terminal=terminal.terminal, door=terminal.door)
        raise_alarm(conn, alarm)


def _alarmed(conn: Connection[Row], terminal: Terminal, denial: Denial, now_ms: int) -> Refused:
    alarm_once(conn, terminal, AlarmKind(denial), now_ms=now_ms)
    return refused(denial, "these records do not continue those that were kept")
