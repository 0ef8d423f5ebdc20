"""``countenance audit``: the authorization log.

Exit codes: 0 verified, 1 not, 2 usage, 4 the database is not available.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import click
from psycopg import Connection
from rich.table import Table

from countenance.arguments import as_json
from countenance.house import House, open_house
from countenance.output import console, emit_json, fail
from service.audit import log
from service.audit.notes import verifier_key
from service.audit.verify import AuditError, VerifierKey, verify_log, verify_receipt
from service.clock import unix_ms
from service.db import Row

RECEIPT_BYTES_MAX = 64 * 1024


@click.group()
def audit() -> None:
    """The authorization log."""


@audit.command()
@click.option("--key", help="The log's verifier key, from elsewhere than this machine.")
@click.option(
    "--kept",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint that you kept.",
)
@as_json
def verify(key: str | None, kept: Path | None, as_json: bool) -> None:
    """Recompute the log from its stored bytes and check every signature."""
    with open_house() as house:
        verifier = VerifierKey.parse(key or verifier_key(house.keys.log))
        try:
            with house.database.transaction() as conn:
                log.integrate(conn, house.keys.log, now_ms=unix_ms())
            with house.database.transaction() as conn:
                found = verify_log(
                    _entries(conn),
                    [
                        row[0]
                        for row in _rows(conn, "SELECT note FROM audit_checkpoints ORDER BY size")
                    ],
                    verifier,
                    waiting=[
                        row[0]
                        for row in _rows(
                            conn, "SELECT leaf FROM audit_entries WHERE position IS NULL"
                        )
                    ],
                    decided=[
                        row[0]
                        for row in _rows(
                            conn, "SELECT leaf_hash FROM attempts ORDER BY decided_at_ms"
                        )
                    ],
                    kept=kept.read_bytes() if kept else None,
                )
        except AuditError as error:
            if as_json:
                emit_json({"verified": False, "finding": str(error)})
            fail("The log does not verify", why=str(error), todo="keep the database as it is")
    if as_json:
        emit_json({"verified": True, "entries": found.size, "root": found.root.hex()})
    else:
        console.print(
            f"[green]✓[/] {found.size} entries, {found.checkpoints} checkpoints, "
            f"root {found.root.hex()}"
        )


@audit.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
@as_json
def list_entries(limit: int, as_json: bool) -> None:
    """The newest entries."""
    with open_house() as house, house.database.transaction() as conn:
        query = "SELECT position, leaf FROM audit_entries ORDER BY entry_id DESC LIMIT %s"
        rows = [(position, _read(leaf)) for position, leaf in conn.execute(query, (limit,))]
    if as_json:
        emit_json([{"position": position, **leaf} for position, leaf in rows])
        return
    table = Table("position", "kind", "what", "outcome")
    for position, leaf in rows:
        table.add_row(
            "waiting" if position is None else str(position),
            str(leaf.get("1")),
            str(leaf.get("3", "")),
            str(leaf.get("9") or leaf.get("4", "")),
        )
    console.print(table)


@audit.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
def export(target: Path) -> None:
    """Write the log as JSON lines: entries as they are stored, then the checkpoints."""
    with open_house() as house, house.database.transaction() as conn, target.open("w") as file:
        number = 0
        for position, leaf in _entries(conn):
            line = {"position": position, "leaf": b64encode(leaf).decode(), "says": _read(leaf)}
            file.write(json.dumps(line) + "\n")
            number += 1
        for (note,) in _rows(conn, "SELECT note FROM audit_checkpoints ORDER BY size"):
            file.write(json.dumps({"checkpoint": note.decode()}) + "\n")
        key = verifier_key(house.keys.log)
    console.print(f"[green]✓[/] {number} entries in {target}; the key is {key}", soft_wrap=True)


@audit.command()
@click.argument("receipt", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", required=True, help="The log's verifier key.")
def check(receipt: Path, key: str) -> None:
    """Verify a receipt, offline."""
    try:
        with receipt.open("rb") as file:
            position, leaf = verify_receipt(file.read(RECEIPT_BYTES_MAX), VerifierKey.parse(key))
    except AuditError as error:
        fail("The receipt does not verify", why=str(error))
    console.print(f"[green]✓[/] entry {position}: {_read(leaf)}")


@audit.command()
@click.argument("leaf_hash")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
def receipt(leaf_hash: str, target: Path) -> None:
    """Write the receipt of an entry, by the leaf hash that its decision names."""
    with open_house() as house, house.database.transaction() as conn:
        found = _receipt(house, conn, leaf_hash)
    if found is None:
        fail("There is no such entry, or no checkpoint covers it yet")
    target.write_bytes(found)
    console.print(f"[green]✓[/] {target}")


def _receipt(house: House, conn: Connection[Row], leaf_hash: str) -> bytes | None:
    try:
        digest = bytes.fromhex(leaf_hash)
    except ValueError:
        fail("A leaf hash has 64 hexadecimal digits", exit_code=2)
    log.integrate(conn, house.keys.log, now_ms=unix_ms())
    return log.receipt(conn, digest)


def _rows(conn: Connection[Row], query: Any) -> Iterator[Row]:
    """Row by row, however many there are."""
    with conn.cursor(name="audit") as cursor:
        cursor.execute(query)
        yield from cursor


def _entries(conn: Connection[Row]) -> Iterator[Any]:
    query = "SELECT position, leaf FROM audit_entries WHERE position IS NOT NULL ORDER BY position"
    yield from _rows(conn, query)


def _read(leaf: bytes) -> dict[str, Any]:
    """A leaf for display: bytes as hexadecimal, keys as in ``service/audit/leaf.py``."""
    try:
        found = cbor2.loads(leaf)
    except cbor2.CBORError:
        return {"leaf": b64encode(leaf).decode()}
    return {str(key): _show(value) for key, value in found.items()}


def _show(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_show(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _show(each) for key, each in value.items()}
    return value
