"""What a machine's journal of a day adds up to, and where it does not: named to the line.

Pure: entries in, figures out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from terminal_client.journal import Entry, Event, Notes, total
from wire.ids import AttemptId


@dataclass(slots=True)
class DayReport:
    """``findings`` pair the journal's line with what does not add up."""

    ordered: int = 0
    given: dict[AttemptId, int] = field(default_factory=dict)
    notes_loaded: Counter[int] = field(default_factory=Counter)
    notes_given: Counter[int] = field(default_factory=Counter)
    notes_retracted: Counter[int] = field(default_factory=Counter)
    at_hand: Notes | None = None
    findings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def given_minor(self) -> int:
        return total(self.notes_given)


def report_of(lines: Iterable[tuple[str, Entry]]) -> DayReport:
    """``lines`` are entries with where they stand, such as ``000012.2026-11-25.log:7``."""
    report = DayReport()
    open_at: dict[AttemptId, str] = {}
    moved: dict[AttemptId, Notes] = {}
    for place, entry in lines:
        expected = _expected(report.at_hand, entry, moved)
        if expected is not None and _plain(expected) != _plain(entry.at_hand):
            report.findings.append((place, "the cassettes hold other notes than were left in them"))
        report.at_hand = entry.at_hand
        if entry.event is Event.LOADED:
            report.notes_loaded.update(entry.notes)
        attempt = entry.attempt
        if attempt is None:
            continue
        if entry.event is Event.ORDERED:
            report.ordered += 1
            open_at[attempt] = place
        elif entry.event is Event.STACKED:
            moved[attempt] = entry.notes
        elif entry.event is Event.HANDED:
            open_at.pop(attempt, None)
            if attempt in report.given:
                report.findings.append((place, "handed out a second time"))
            if attempt in moved and _sum(entry) != _plain(moved[attempt]):
                report.findings.append((place, "other notes were handed out than were stacked"))
            if entry.given_minor > entry.amount_minor:
                report.findings.append((place, "more was handed out than was approved"))
            report.given[attempt] = report.given.get(attempt, 0) + entry.given_minor
            report.notes_given.update(entry.notes)
            report.notes_retracted.update(entry.retracted)
        elif entry.event is Event.SUSPECT:
            open_at.pop(attempt, None)
            report.findings.append((place, "the unit cannot say where the notes went: count them"))
    report.findings += [
        (place, "not settled yet: countenance terminal reconcile") for place in open_at.values()
    ]
    return report


def _expected(before: Notes | None, entry: Entry, moved: dict[AttemptId, Notes]) -> Notes | None:
    """What the cassettes should hold after ``entry``; None where that is not known."""
    if entry.event is Event.LOADED:
        return entry.notes
    if before is None or entry.event is Event.SUSPECT:
        return None
    gone = {}
    if entry.event is Event.STACKED:
        gone = _plain(entry.notes)
    elif entry.event is Event.HANDED and entry.attempt not in moved:
        gone = _sum(entry)  # after a power cut between the stacker and the journal
    return {value: number - gone.get(value, 0) for value, number in before.items()}


def _sum(entry: Entry) -> dict[int, int]:
    return _plain(Counter(entry.notes) + Counter(entry.retracted))


def _plain(notes: Notes) -> dict[int, int]:
    return {value: number for value, number in notes.items() if number}
