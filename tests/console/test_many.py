"""A hundred thousand attempts: every page finds its rows by an index, stays light, and is quick."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from benchmarks.fill import fill
from service.db import Database
from service.operators.people import Role
from tests.ceremony.house import NOW_MS, House
from tests.console.visitor import Visitor
from tests.me.customer import Customer
from tests.postgres.conftest import database, server, template, url
from wire.ids import AccountId, AttemptId, MerchantId, TerminalId
from wire.messages import Purpose

__all__ = ["database", "server", "template", "url"]

ACCOUNTS, ATTEMPTS, DENIED, MERCHANTS = 500, 100_000, 5_000, 10
BYTES_MAX = 200_000
SECONDS_MAX = 1.0
BIG = {"attempts", "audit_entries", "postings", "transfers"}
"""The tables that grow with each attempt."""


@pytest.fixture
def busy(url: str) -> Iterator[House]:
    fill(url, accounts=ACCOUNTS, transfers=ACCOUNTS + ATTEMPTS, merchants=MERCHANTS, now_ms=NOW_MS)
    with psycopg.connect(url) as conn:
        deny(conn)
        conn.execute(
            "INSERT INTO audit_checkpoints (size, root, note, created_at_ms)"
            " VALUES (%s, %s, 'note', 1)",
            (ACCOUNTS + ATTEMPTS, bytes(32)),
        )
        conn.commit()
        conn.autocommit = True
        conn.execute("ANALYZE attempts")
    opened = Database.open(url)
    yield House(opened)
    opened.close()


def deny(conn: Connection[Any]) -> None:
    """Attempts that were denied, evenly over the last month; of each account some."""
    accounts = conn.execute("SELECT account_id FROM accounts ORDER BY 1").fetchall()
    first = conn.execute("SELECT terminal_id, decision FROM attempts LIMIT 1").fetchone()
    assert first is not None
    columns = (
        "attempt_id, terminal_id, purpose, evidence_digest, account_id, denial, decision,"
        " leaf_hash, decided_at_ms, expires_at_ms, factor"
    )
    with conn.cursor().copy(f"COPY attempts ({columns}) FROM STDIN") as copy:
        for number in range(DENIED):
            at_ms = NOW_MS - number * 30 * 86_400_000 // DENIED
            (account,) = accounts[number % ACCOUNTS]
            copy.write_row(
                (os.urandom(16), first[0], int(Purpose.PAYMENT), os.urandom(32), account,
                 "no_match", first[1], os.urandom(32), at_ms, at_ms, 1)
            )  # fmt: skip


@contextmanager
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, Any]]]:
    """Every statement that is sent meanwhile, with its values."""
    sent: list[tuple[Any, Any]] = []
    execute = Connection.execute

    def listen(conn: Connection[Any], query: Any, params: Any = None, **more: Any) -> Any:
        sent.append((query, params))
        return execute(conn, query, params, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "execute", listen)
        yield sent


def scanned(conn: Connection[Any], query: str, params: Any) -> set[str]:
    """Which big tables the statement's plan reads from one end to the other."""
    row = conn.execute(f"EXPLAIN (FORMAT JSON) {query}", params).fetchone()  # type: ignore[arg-type]
    assert row is not None
    plan = json.loads(row[0]) if isinstance(row[0], str) else row[0]

    def walk(node: dict[str, Any]) -> Iterator[str]:
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG:
            yield node["Relation Name"]
        for below in node.get("Plans", ()):
            yield from walk(below)

    return set(walk(plan[0]["Plan"]))


def console_paths(conn: Connection[Any]) -> list[str]:
    attempt, terminal, account, merchant = conn.execute(
        "SELECT attempt_id, terminal_id, account_id, merchant_id FROM attempts"
        " JOIN terminals USING (terminal_id) WHERE denial IS NULL LIMIT 1"
    ).fetchall()[0]
    shop = f"/console/merchants/{MerchantId(merchant)}"
    searches = (
        "", "?outcome=denied", "?denial=no_match", f"?account={AccountId(account)}",
        f"?terminal={TerminalId(terminal)}", "?purpose=payment&from=2026-12-01T00:00",
        f"?after={NOW_MS - 40 * 86_400_000}.{'00' * 16}",
    )  # fmt: skip
    return [
        "/console",
        *(f"/console/attempts{search}" for search in searches),
        f"/console/attempts/{AttemptId(attempt)}",
        "/console/accounts",
        f"/console/accounts/{AccountId(account)}",
        "/console/terminals",
        f"/console/terminals/{TerminalId(terminal)}",
        "/console/merchants",
        shop,
        f"{shop}?state=captured&from=2026-12-01T00:00",
        f"{shop}/payments/{AttemptId(attempt)}",
        "/console/policies",
        "/console/audit",
        "/console/audit?start=40000",
    ]


def test_every_page_and_a_download(busy: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with busy.database.transaction() as conn:
        query = "SELECT count(*) FROM attempts WHERE factor = %s"
        assert scanned(conn, query, (1,)) == {"attempts"}, "a plan without an index goes unnoticed"
        paths = console_paths(conn)
        account = conn.execute("SELECT account_id FROM accounts LIMIT 1").fetchall()[0][0]
    admin = Visitor.signed_in(busy, Role.ADMIN)
    customer = Customer.signed_in(busy, AccountId(account))
    visits: list[tuple[str, Callable[[str], Any]]] = [(path, admin.get) for path in paths]
    visits += [(path, customer.get) for path in ("/me", "/me/uses")]
    wrong, read = [], 0
    for path, get in visits:
        get(path)
        with heard(monkeypatch) as sent:
            began = time.perf_counter()
            answer = get(path)
            took = time.perf_counter() - began
        assert answer.status_code == 200, path
        if len(answer.data) > BYTES_MAX:
            wrong.append(f"{path} weighs {len(answer.data)} bytes")
        if took > SECONDS_MAX:
            wrong.append(f"{path} takes {took:.2f} s")
        with busy.database.transaction() as conn:
            for query, params in sent:
                if not str(query).lstrip().startswith(("SELECT", "WITH", "UPDATE")):
                    continue
                read += 1
                found = scanned(conn, query, params)
                if found:
                    wrong.append(f"{path} reads all of {found}: {query}")
    assert read > len(visits)
    assert not wrong, "\n".join(wrong)
    data = json.loads(customer.get("/me/data.json").data)
    assert len(data["uses"]) == (ATTEMPTS + DENIED) // ACCOUNTS
    assert len(data["movements"]) == ATTEMPTS // ACCOUNTS + 1
