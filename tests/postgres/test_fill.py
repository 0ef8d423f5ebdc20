from __future__ import annotations

import psycopg
import pytest

from benchmarks.fill import PAID_MINOR, TOP_UP_MINOR, fill
from service.clock import unix_ms
from service.ledger.check import check, totals

_SCHEMA = (
    "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " ORDER BY 1, 2",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
)


@pytest.mark.parametrize("checked", [True, False], ids=["by every rule", "in bulk"])
def test_what_is_made_in_bulk_is_a_ledger_without_discrepancies(url: str, checked: bool) -> None:
    accounts, payments, merchants = 30, 170, 7
    with psycopg.connect(url) as conn:
        before = [conn.execute(query).fetchall() for query in _SCHEMA]
    fill(
        url,
        accounts=accounts,
        transfers=accounts + payments,
        merchants=merchants,
        now_ms=unix_ms(),
        checked=checked,
    )
    with psycopg.connect(url) as conn:
        assert [conn.execute(query).fetchall() for query in _SCHEMA] == before
        assert check(conn) == ()
        found = {total.kind: (total.accounts, total.balance_minor) for total in totals(conn)}
        assert found == {
            "funding": (1, -accounts * TOP_UP_MINOR),
            "merchant": (merchants, payments * PAID_MINOR),
            "wallet": (accounts, accounts * TOP_UP_MINOR - payments * PAID_MINOR),
        }
        days = conn.execute("SELECT sum(transfers), sum(amount_minor) FROM terminal_days")
        assert days.fetchone() == (payments, payments * PAID_MINOR)
