"""Holds the API's pages to one cost: far back and of rare merchants as the newest of all; and the
console's to 200 kB and a second, in a browser that was never there.

    python -m benchmarks.pages

Fills an embedded PostgreSQL with 200,000 attempts and payments of 300 merchants, one of which
has only the 99 oldest; prints the median time of a page of 50 as a ratio to the newest page's,
and exits 1 when one is above ``RATIO_MAX``. Then fills another with 100,000 attempts, and prints
what each page of the console and of /me weighs and takes until it stands in Chromium, from an empty
cache; exits 1 when one is above ``BYTES_MAX`` or ``MS_MAX``.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from threading import Thread

import click
import psycopg
from playwright.sync_api import Browser, StorageState, sync_playwright
from psycopg import Connection
from werkzeug.serving import BaseWSGIServer, make_server

from service import codes
from service.db import Database, Row
from service.embedded import open_embedded
from service.keys import KeyRing
from service.migrate import migrate
from service.operators import people, records
from service.operators.pages import FIRST, Cursor
from service.operators.people import Role
from service.operators.records import Wanted
from tests.browser.cold import crowd, load
from tests.browser.console_house import Busy
from tests.browser.tours import full_paths
from tests.ceremony.house import House
from wire import envelope
from wire.ids import AttemptId, MerchantId
from wire.messages import Decision, Outcome, PaymentContext

RATIO_MAX = 5.0
ROUNDS = 40
BYTES_MAX, MS_MAX, LOADS = 200_000, 1_000.0, 5
OLD = Cursor(60_000, b"\xff" * 16)
FILL = """
SET session_replication_role = replica;
INSERT INTO merchants SELECT decode(lpad(to_hex(i), 32, '0'), 'hex'), 'm', 'EUR', i
    FROM generate_series(1, 300) i;
INSERT INTO ledger_accounts (kind, owner, currency) SELECT 'merchant', merchant_id, 'EUR'
    FROM merchants;
INSERT INTO terminals (terminal_id, kind, name, merchant_id, created_at_ms)
    SELECT merchant_id, 1, 't', merchant_id, 1 FROM merchants;
INSERT INTO attempts SELECT decode(md5(i::text), 'hex'),
    decode(lpad(to_hex(CASE WHEN i < 100 THEN 300 ELSE i % 299 + 1 END), 32, '0'), 'hex'), 1,
    sha256(i::text::bytea), NULL, CASE WHEN i % 5 = 0 THEN 'no_match' END, DECISION,
    sha256(('leaf' || i)::bytea), i, 0 FROM generate_series(1, 200000) i;
INSERT INTO transfers (transfer_id, kind, state, debit, credit, amount_minor, created_at_ms,
    closed_at_ms) SELECT attempt_id, 'payment', 'posted', 0, ledger_account_id, 5,
    decided_at_ms, 1 FROM attempts JOIN ledger_accounts ON owner = terminal_id;
ANALYZE;
"""
Read = Callable[[Connection[Row]], object]


@click.command()
def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o711)
        with open_embedded(home, durable=False) as url:
            migrate(url)
            with psycopg.connect(url) as conn:
                conn.execute(FILL.replace("DECISION", f"'\\x{decision().hex()}'"))
            database = Database.open(url, size=1)
            held = measure(database)
            database.close()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o711)
        with open_embedded(home, durable=False) as url:
            migrate(url)
            held = open_pages(url) and held
    sys.exit(0 if held else 1)


def open_pages(url: str) -> bool:
    crowd(url, accounts=500, transfers=100_500, merchants=10)
    database, held = Database.open(url, size=16), True
    busy, listening = serve(House(database))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        state = sign_in(browser, busy)
        paths = full_paths(busy) | {"me": "/me", "me-uses": "/me/uses"}
        for name, path in paths.items():
            loads = [load(browser, busy.url + path, state) for _ in range(LOADS)]
            ms, weight = median(each.ms for each in loads), loads[0].sent_bytes
            held = held and ms <= MS_MAX and weight <= BYTES_MAX
            print(f"{name:20} {weight / 1000:6.1f} kB {ms:6.0f} ms")
        browser.close()
    listening.shutdown()
    database.close()
    return held


def serve(house: House) -> tuple[Busy, BaseWSGIServer]:
    """In threads of this process, as no service in production would be."""
    listening = make_server("127.0.0.1", 0, house.app, threaded=True)
    Thread(target=listening.serve_forever, daemon=True).start()
    return Busy.open(house, lambda _: f"http://localhost:{listening.port}"), listening


def sign_in(browser: Browser, busy: Busy) -> StorageState:
    """An admin of the console and a customer, in one browser."""
    context = browser.new_context()
    house, session = busy.house, codes.new_session()
    operator, _ = busy.add_operator(Role.ADMIN)
    digest = codes.secret_hash("console-session", session, house.keys.claims)
    with house.database.transaction() as conn:
        people.begin_session(conn, operator, digest, enrolling=False, now_ms=house.clock())
    context.add_cookies([{"name": "console", "value": session, "url": f"{busy.url}/console"}])
    page = context.new_page()
    page.goto(busy.customer_link(busy.account))
    page.locator("form[data-code] button").click()
    page.wait_for_url(f"{busy.url}/me")
    state = context.storage_state()
    context.close()
    return state


def decision() -> bytes:
    """One signed decision on a payment: they all have it."""
    said = Decision(
        attempt=AttemptId.new(),
        evidence_digest=bytes(32),
        context=PaymentContext(amount_minor=5, currency="EUR", payee=MerchantId.new(), order="A"),
        outcome=Outcome.APPROVED,
        reason=None,
        result=bytes(16),
        decided_at_ms=1,
        expires_at_ms=1,
        leaf_hash=bytes(32),
    )
    return envelope.sign(said, KeyRing.ephemeral().signing).raw


def payments(merchant: int, after: Cursor = FIRST) -> Read:
    found = MerchantId(merchant.to_bytes(16, "big"))
    return lambda conn: records.list_payments(conn, found, after=after, limit=50)


def attempts(merchant: int | None, after: Cursor = FIRST) -> Read:
    return lambda conn: records.list_attempts(
        conn,
        Wanted(merchant=MerchantId(merchant.to_bytes(16, "big")) if merchant else None),
        after=after,
        limit=50,
    )


def measure(database: Database) -> bool:
    held = True
    for name, newest, others in (
        (
            "attempts",
            attempts(None),
            {"far back": attempts(None, OLD), "busy": attempts(7), "rare": attempts(300)},
        ),
        ("payments", payments(7), {"far back": payments(7, OLD), "rare": payments(300)}),
    ):
        newest_s = median_s(database, newest)
        print(f"{name}: the newest page takes {newest_s * 1e3:.2f} ms")
        for which, read in others.items():
            ratio = median_s(database, read) / newest_s
            held = held and ratio <= RATIO_MAX
            print(f"  {which:10} {ratio:5.2f} x that, at most {RATIO_MAX}")
    return held


def median_s(database: Database, read: Read) -> float:
    times = []
    for _ in range(ROUNDS):
        with database.transaction() as conn:
            began = time.perf_counter()
            read(conn)
            times.append(time.perf_counter() - began)
    return median(times)


if __name__ == "__main__":
    main()
