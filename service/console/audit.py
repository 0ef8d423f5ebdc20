"""The authorization log: verified in the page, and exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, cast

from flask import Response, abort, g, request, stream_with_context

from service.audit import log
from service.audit.leaf import (
    ActLeaf,
    AlarmLeaf,
    ConfirmationLeaf,
    DecisionLeaf,
    DoorRecordLeaf,
)
from service.audit.notes import verifier_key
from service.audit.verify import AuditError, VerifierKey, verify_receipt
from service.console import audit_pdf
from service.console.frame import TEXTS, operations, page, show
from service.operators import records
from service.operators.people import Role
from texts import translator
from wire import codec
from wire.codec import Message

READERS = frozenset({Role.ADMIN, Role.AUDITOR})
ROWS = 50
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Written:
    """One form of the export: ASCII, and each row as long as its position and leaf make it."""

    content_type: str
    head: str
    row: Callable[[int, bytes, bytes], str]


FORMS = {
    "jsonl": Written(
        "application/jsonl",
        "",
        lambda position, leaf, digest: (
            f'{{"position": {position}, "leaf_hash": "{digest.hex()}", "leaf": "{leaf.hex()}"}}\n'
        ),
    ),
    "csv": Written(
        "text/csv; charset=utf-8",
        "position,leaf_hash,leaf\r\n",
        lambda position, leaf, digest: f"{position},{digest.hex()},{leaf.hex()}\r\n",
    ),
}
LEAVES: dict[object, type[Message]] = {
    "decision": DecisionLeaf,
    "confirmation": ConfirmationLeaf,
    "act": ActLeaf,
    "alarm": AlarmLeaf,
    "door": DoorRecordLeaf,
}
UNTOLD = frozenset({"nonce"})


@page("/audit", READERS)
def audit() -> Response:
    acts = operations()
    text = request.args.get("start", "")
    with acts.database.transaction() as conn:
        size, note = log.size_of(conn), log.latest_checkpoint(conn)
        asked = _number(text)
        start = max(size - ROWS, 0) if asked is None else asked
        entries = records.list_entries(conn, start=start, limit=ROWS)
    rows = [(position, digest.hex(), leaf_text(leaf)) for position, leaf, digest in entries]
    return show(
        "audit.html",
        size=size,
        note=note.decode() if note else "",
        rows=rows[::-1],
        print_max=audit_pdf.ENTRIES_MAX,
        older=max(start - ROWS, 0) if start else None,
        newer=start + ROWS if start + ROWS < size else None,
    )


def leaf_text(leaf: bytes) -> str:
    """The leaf's fields by name: ids, amounts and outcomes, never a claim or a name."""
    kind = LEAVES.get(codec.decode(leaf).get(1))
    if kind is None:
        return leaf.hex()
    return ", ".join(f"{name} {value}" for name, value in _told(kind.decode(leaf)))


def _told(message: Message) -> Iterator[tuple[str, object]]:
    # Every message is a dataclass, which its base class cannot say.
    for each in fields(cast("Any", message)):
        value = getattr(message, each.name)
        if isinstance(value, Message):
            yield from _told(value)
        elif isinstance(value, Enum):
            yield each.name, value.name.lower()
        elif value is not None and each.name not in UNTOLD:
            yield each.name, value.hex() if isinstance(value, bytes) else value


@page("/audit/<leaf_hash>/verify", READERS, methods=("POST",))
def verify_entry(leaf_hash: str) -> Response:
    """Proves that the entry is in the log, by its inclusion proof and the signed checkpoint."""
    acts = operations()
    try:
        digest = bytes.fromhex(leaf_hash)
    except ValueError:
        abort(404)
    with acts.database.transaction() as conn:
        receipt = log.receipt(conn, digest)
    if receipt is None:
        return show("verified.html", leaf_hash=leaf_hash, waiting=True)
    try:
        index, leaf = verify_receipt(receipt, VerifierKey.parse(verifier_key(acts.keys.log)))
    except AuditError as error:
        return show("verified.html", leaf_hash=leaf_hash, wrong=str(error))
    return show(
        "verified.html",
        leaf_hash=leaf_hash,
        index=index,
        leaf=leaf_text(leaf),
        receipt=receipt.decode(),
    )


@page("/audit/export.pdf", READERS)
def print_audit() -> Response:
    """A part of the log on paper, from the entry that is asked for on."""
    acts, texts = operations(), translator(TEXTS, g.language)
    start = _number(request.args.get("start", "")) or 0
    with acts.database.transaction() as conn:
        size, note = log.size_of(conn), log.latest_checkpoint(conn)
        entries = records.list_entries(conn, start=start, limit=audit_pdf.ENTRIES_MAX)
    say = texts["_"]
    last = entries[-1][0] if entries else start
    facts = (
        (say("Log"), acts.keys.log.name),
        (say("Key that verifies it"), verifier_key(acts.keys.log)),
        (
            say("Entries"),
            say("%(first)s to %(last)s of %(size)s", first=start, last=last, size=size),
        ),
        (say("Printed at (UTC)"), texts["moment"](acts.clock())),
        (say("Proof"), say("this paper proves nothing: verify entries by countenance audit")),
    )
    document = audit_pdf.render(
        say("Audit log"),
        facts,
        note.decode() if note else "",
        ((position, digest.hex(), leaf_text(leaf)) for position, leaf, digest in entries),
        page=say("Page"),
    )
    return _attached(Response(document, content_type="application/pdf"), "pdf")


@page("/audit/export.<form>", READERS)
def export_audit(form: str) -> Response:
    """The log up to now as JSON lines or CSV, streamed: it takes no memory. How long it will be is
    said before, so that the browser shows how far it is, and notices one that was broken off."""
    if form not in FORMS:
        abort(404)
    with operations().database.transaction() as conn:
        count, digits, leaves = records.measure_entries(conn)
    written = FORMS[form]
    head, row = len(written.head), len(written.row(0, b"", bytes(32))) - 1
    response = Response(
        stream_with_context(_lines(written, count)), content_type=written.content_type
    )
    response.content_length = head + count * row + digits + 2 * leaves
    return _attached(response, form)


def _attached(response: Response, form: str) -> Response:
    response.headers["Content-Disposition"] = f"attachment; filename=countenance-audit.{form}"
    return response


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


def _lines(written: Written, count: int) -> Iterator[str]:
    acts, start = operations(), 0
    yield written.head
    while start < count:
        with acts.database.transaction() as conn:
            entries = records.list_entries(conn, start=start, limit=min(BATCH, count - start))
        for position, leaf, digest in entries:
            yield written.row(position, leaf, digest)
        start = entries[-1][0] + 1
