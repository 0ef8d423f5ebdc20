"""The log as files: whole, of the length that was said before, and a part of it on paper."""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from base64 import a85decode

import pytest

from service.audit import log
from service.console import audit, audit_pdf
from service.operators.people import Role
from tests.ceremony.house import House, enrol, probe
from tests.console.visitor import Visitor
from wire.messages import PaymentContext, TerminalKind

ORDERS = ("Bäckerei 1", "茶馆 2", "مقهى 3")


@pytest.fixture
def auditor(house: House) -> Visitor:
    return Visitor.signed_in(house, Role.AUDITOR)


def fill(house: House) -> int:
    """Some entries, with orders in three scripts; how many."""
    enrol(house, 1)
    store = house.add_terminal(TerminalKind.STORE)
    for order in ORDERS:
        context = PaymentContext(
            amount_minor=500, currency="EUR", payee=house.merchant, order=order
        )
        store.attempt(context, probe(1))
    for number in range(12):
        house.operations.add_door(f"Door {number}")
    with house.database.transaction() as conn:
        log.integrate(conn, house.keys.log, now_ms=house.clock())
        return log.size_of(conn)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_is_whole_and_as_long_as_it_said(
    house: House, auditor: Visitor, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(audit, "BATCH", 5)
    assert int(auditor.get(f"/console/audit/export.{form}").headers["Content-Length"]) < 50
    size = fill(house)
    assert size > 3 * audit.BATCH
    answer = auditor.get(f"/console/audit/export.{form}")
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    if form == "jsonl":
        rows = [json.loads(line) for line in answer.text.splitlines()]
    else:
        rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["position"]) for row in rows] == list(range(size))
    with house.database.transaction() as conn:
        stored = conn.execute(
            "SELECT leaf, leaf_hash FROM audit_entries ORDER BY position"
        ).fetchall()
    assert [(row["leaf"], row["leaf_hash"]) for row in rows] == [
        (bytes(leaf).hex(), bytes(digest).hex()) for leaf, digest in stored
    ]


def test_what_is_added_meanwhile_is_not_in_it(house: House, auditor: Visitor) -> None:
    size = fill(house)
    answer = auditor.get("/console/audit/export.jsonl", buffered=False)
    parts = iter(answer.response)
    first = next(parts)
    house.operations.add_door("Late")
    with house.database.transaction() as conn:
        log.integrate(conn, house.keys.log, now_ms=house.clock())
    whole = b"".join([first, *parts])  # type: ignore[list-item]
    assert len(whole.splitlines()) == size
    assert len(whole) == answer.content_length
    answer.close()


DRAWN = re.compile(rb"/(F\d+) [\d.]+ Tf|\(((?:[^()\\]|\\.)*)\) Tj", re.DOTALL)
ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)


def written(document: bytes) -> list[str]:
    """The lines that the pages draw (ISO 32000-1, 7.3.4.2), each in its font's encoding."""
    song = re.search(rb"(\d+) 0 obj\s*<<\s*/BaseFont /STSong", document)
    wide = re.search(rb"/(F\d+) %s 0 R" % song[1], document) if song else None
    lines, font = [], b""
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", document, re.DOTALL):
        drawn = zlib.decompress(a85decode(stream.strip().removesuffix(b"~>")))
        for named, literal in DRAWN.findall(drawn):
            font = named or font
            if named:
                continue
            raw = ESCAPE.sub(
                lambda found: bytes([int(found[1], 8)]) if len(found[1]) == 3 else found[1],
                literal,
            )
            lines.append(raw.decode("utf-16-be" if wide and font == wide[1] else "cp1252"))
    return lines


def test_a_part_on_paper_names_each_entry(house: House, auditor: Visitor) -> None:
    size = fill(house)
    answer = auditor.get("/console/audit/export.pdf?start=2")
    assert answer.content_type == "application/pdf"
    assert answer.data.startswith(b"%PDF-")
    text = "\n".join(written(answer.data))
    with house.database.transaction() as conn:
        stored = conn.execute("SELECT leaf_hash FROM audit_entries ORDER BY position").fetchall()
    found = [bytes(digest).hex() in text for (digest,) in stored]
    assert found == [False] * 2 + [True] * (size - 2)
    assert ORDERS[0] in text
    assert ORDERS[1] in text
    assert ORDERS[2].encode("ascii", "backslashreplace").decode() in text


def test_paper_has_a_bound(house: House, auditor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(house)
    monkeypatch.setattr(audit_pdf, "ENTRIES_MAX", 3)
    lines = written(auditor.get("/console/audit/export.pdf").data)
    assert len([line for line in lines if re.fullmatch(r"\d+ [0-9a-f]{64}", line)]) == 3
    assert auditor.get("/console/audit/export.pdf?start=x").status_code == 200


@pytest.mark.parametrize("language", ["es", "zh"])
def test_paper_in_every_language(house: House, auditor: Visitor, language: str) -> None:
    fill(house)
    auditor.client.set_cookie("language", language)
    lines = written(auditor.get("/console/audit/export.pdf").data)
    assert lines[0] == {"es": "Registro de auditoría", "zh": "审计日志"}[language]
