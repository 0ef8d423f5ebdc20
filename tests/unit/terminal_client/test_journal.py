"""The journal of a cash machine: durable, chained, and strict about what it reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terminal_client.atm_report import report_of
from terminal_client.errors import StorageError
from terminal_client.journal import (
    Entry,
    Event,
    Journal,
    files_in,
    read_journal,
    verify_journal,
)
from wire.ids import AttemptId

DAY_MS = 24 * 3_600_000
NOON_MS = 1_800_014_400_000
ATTEMPT = AttemptId(bytes(range(16)))


def entry(event: Event, at_ms: int = NOON_MS, /, **changes: object) -> Entry:
    values = {"event": event, "at_ms": at_ms, "at_hand": {5000: 8}, "notes": {5000: 2}, **changes}
    if event is not Event.LOADED:
        values |= {"attempt": ATTEMPT, "amount_minor": 10_000, "currency": "EUR"}
    return Entry(**values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    journal = Journal(tmp_path)
    for at_ms in (NOON_MS, NOON_MS + 1, NOON_MS + DAY_MS, NOON_MS - 9 * DAY_MS):
        journal.append(entry(Event.ORDERED, at_ms))
    return tmp_path


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    said = [entry(Event.LOADED), entry(Event.HANDED, retracted={2000: 1})]
    journal = Journal(tmp_path)
    for each in said:
        journal.append(each)
    again = Journal(tmp_path)
    assert again.of(ATTEMPT) == [said[1]]
    (path,) = again.files
    assert read_journal(path) == said
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_clock_that_jumps_leaves_the_files_in_their_order(folder: Path) -> None:
    names = [path.name for path in files_in(folder)]
    assert names == ["000001.2027-01-15.log", "000002.2027-01-16.log", "000003.2027-01-06.log"]
    assert [len(entries) for _, entries in verify_journal(files_in(folder))] == [2, 1, 1]
    Journal(folder).append(entry(Event.HANDED, NOON_MS + DAY_MS))
    assert len(files_in(folder)) == 4
    assert len(Journal(folder).of(ATTEMPT)) == 2


@pytest.mark.parametrize("size", [1, 40, 64, 65, 80])
def test_a_half_written_end_is_dropped(folder: Path, size: int) -> None:
    path = files_in(folder)[-1]
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    path.write_bytes(whole + last[:size])
    Journal(folder)
    assert path.read_bytes() == whole


def test_a_half_written_new_file_is_dropped(folder: Path) -> None:
    (folder / "000004.2027-01-20.log").write_bytes(b"ab")
    journal = Journal(folder)
    assert len(journal.files) == 3
    journal.append(entry(Event.HANDED, NOON_MS + DAY_MS))
    assert list(verify_journal(files_in(folder)))


def test_every_changed_byte_is_found_and_named(folder: Path) -> None:
    path = files_in(folder)[0]
    whole = path.read_bytes()
    for place in range(0, len(whole) - 1, 7):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(StorageError, match=path.name):
            list(verify_journal(files_in(folder)))


def test_a_removed_line_and_a_removed_file_are_found(folder: Path) -> None:
    first, _, third = files_in(folder)
    head, one, two = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(head + two)
    with pytest.raises(StorageError, match="line 2"):
        read_journal(first)
    first.write_bytes(head + one + two)
    with pytest.raises(StorageError, match="does not follow"):
        list(verify_journal([first, third]))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=300))
def test_whatever_lies_there_is_read_or_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "000001.2027-01-15.log"
    path.write_bytes(raw)
    for read in (read_journal, lambda _: Journal(tmp_path)):
        try:
            read(path)
        except StorageError:
            continue


def test_a_disk_that_is_full_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(StorageError, match="No space"):
        journal.append(entry(Event.ORDERED))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([entry(Event.LOADED, notes={5000: 8})], ""),
        ([entry(Event.LOADED), entry(Event.LOADED)], "other notes than were left"),
        ([entry(Event.ORDERED)], "not settled"),
        ([entry(Event.ORDERED), entry(Event.SUSPECT, notes={})], "count them"),
        ([entry(Event.HANDED), entry(Event.HANDED, at_hand={5000: 6})], "a second time"),
        ([entry(Event.HANDED, notes={5000: 3})], "more was handed out"),
        ([entry(Event.STACKED), entry(Event.HANDED, notes={5000: 1})], "than were stacked"),
        ([entry(Event.ORDERED), entry(Event.STACKED), entry(Event.HANDED)], "other notes than"),
        ([entry(Event.ORDERED), entry(Event.HANDED, at_hand={5000: 6})], ""),
        (
            [
                entry(Event.ORDERED),
                entry(Event.STACKED, at_hand={5000: 6}),
                entry(Event.HANDED, at_hand={5000: 6}, notes={5000: 1}, retracted={5000: 1}),
            ],
            "",
        ),
    ],
)
def test_what_does_not_add_up_is_named(entries: list[Entry], said: str) -> None:
    found = report_of((f"line {number}", each) for number, each in enumerate(entries)).findings
    assert any(said in what for _, what in found) if said else found == []
