"""Settlements: a day is its postings, settled once, and the proof finds what is not."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from hashlib import sha256

import psycopg
import pytest
from click.testing import CliRunner

from countenance.cli import main
from service.payments import settlement
from service.payments.settlement import DAY_MS, GRACE_MS, Line, day_of, number_of
from tests.api.client import problem_of
from tests.api.shop import Shop, shop
from tests.ceremony.house import payment, probe

__all__ = ["shop"]


def settle(shop: Shop) -> int:
    """As the task does; returns how many days it settled."""
    now_ms = shop.house.clock()
    with shop.house.database.transaction() as conn:
        days = settlement.due(conn, now_ms=now_ms)
        for merchant, day in days:
            settlement.settle(conn, merchant, day, now_ms=now_ms)
    return len(days)


def tomorrow(shop: Shop, days: int = 1) -> date:
    """Moves the clock to where the day that it is in may be settled; returns that day."""
    clock = shop.house.clock
    today = day_of(clock.now_ms)
    clock.now_ms = (number_of(today) + days) * DAY_MS + GRACE_MS
    return today


def test_days_are_their_postings_and_sum_to_what_was_earned(shop: Shop) -> None:
    path = f"/merchants/{shop.house.merchant}/settlements"
    held = shop.authorized(order="=1+1")
    paid = shop.captured()
    shop.act(paid, "refunds", {"amount_minor": 700})
    assert shop.till.attempt(payment(shop.house, 1200), probe(1)).approved
    assert settle(shop) == settlement.CATCH_UP_DAYS
    assert problem_of(shop.api.get(f"{path}/{day_of(shop.house.clock())}")) == "not_found"
    first = tomorrow(shop)
    shop.act(held, "capture", {"amount_minor": 2500})
    assert settle(shop) == 1
    one = shop.api.get(f"{path}/{first}").json
    assert (one["payments"], one["payments_minor"]) == (2, 6200)
    assert (one["refunds"], one["refunds_minor"], one["net_minor"]) == (1, -700, 5500)
    second = tomorrow(shop)
    assert settle(shop) == 1
    two = shop.api.get(f"{path}/{second}").json
    assert (two["payments_minor"], two["net_minor"]) == (2500, 2500)
    assert shop.money()[2] == one["net_minor"] + two["net_minor"]
    rows = []
    for day, told in ((first, one), (second, two)):
        answer = shop.api.get(f"{path}/{day}/file")
        assert answer.mimetype == "text/csv"
        assert sha256(answer.data).hexdigest() == told["file_sha256"]
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert sum(int(row["amount_minor"]) for row in rows) == told["net_minor"]
    assert [row["order"] for row in rows] == ["'=1+1"]
    assert rows[0]["payment_intent"] == held["payment_intent"]
    listed = shop.api.get(f"{path}?limit=1").json
    assert [each["day"] for each in listed["items"]] == [str(second)]
    after = shop.api.get(f"{path}?limit=1&before={listed['next']}").json
    assert [each["day"] for each in after["items"]] == [str(first)]
    with shop.house.database.transaction() as conn:
        assert settlement.prove(conn) == []


def test_a_day_is_settled_once_however_often_and_at_once(shop: Shop) -> None:
    shop.captured()
    day = tomorrow(shop)
    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(settle, shop) for _ in range(6)]
        assert max(each.result() for each in done) > 0
    assert settle(shop) == 0
    with shop.house.database.transaction() as conn:
        first = settlement.find(conn, shop.house.merchant, day)
        again = settlement.settle(conn, shop.house.merchant, day, now_ms=shop.house.clock() + 5)
        found = settlement.lines(conn, shop.house.merchant, day)
    assert first == again
    assert first is not None
    assert sha256(settlement.write_file(found).encode()).digest() == first.digest


def test_a_worker_that_was_away_catches_up(shop: Shop) -> None:
    shop.captured()
    first = tomorrow(shop)
    shop.captured()
    tomorrow(shop, days=2)
    assert settle(shop) >= 3
    path = f"/merchants/{shop.house.merchant}/settlements"
    days = [first + timedelta(days=each) for each in range(3)]
    nets = [shop.api.get(f"{path}/{day}").json["net_minor"] for day in days]
    assert nets == [5000, 5000, 0]


def test_a_day_that_is_not_over_is_not_settled(shop: Shop) -> None:
    today, merchant = day_of(shop.house.clock()), shop.house.merchant
    ends_ms = (number_of(today) + 1) * DAY_MS + GRACE_MS
    with shop.house.database.transaction() as conn:
        assert settlement.settle(conn, merchant, today, now_ms=ends_ms - 1) is None
        assert settlement.settle(conn, merchant, today, now_ms=ends_ms) is not None


def test_the_proof_names_a_merchant_whose_settlements_are_not_its_money(shop: Shop) -> None:
    tomorrow(shop)
    settle(shop)
    shop.house.clock.now_ms -= DAY_MS
    shop.captured()
    with shop.house.database.transaction() as conn:
        (found,) = settlement.prove(conn)
    assert found.merchant == shop.house.merchant
    assert (found.settled_minor, found.posted_minor) == (0, 5000)
    with pytest.raises(psycopg.Error), shop.house.database.transaction() as conn:
        conn.execute("UPDATE settlements SET payments = 9")


def test_days_that_are_none_are_refused(shop: Shop) -> None:
    path = f"/merchants/{shop.house.merchant}/settlements"
    for day in ("2027-1-5", "20270105", "2027-02-30", "x", "1969-12-31", "2027-01-05T00"):
        assert problem_of(shop.api.get(f"{path}/{day}")) == "invalid"
    assert problem_of(shop.api.get(f"{path}?before=2027-1-1")) == "invalid"


def test_a_file_is_csv_whatever_an_order_is_called() -> None:
    line = Line(
        at="2027-01-15T08:00:00.000Z",
        kind="payment",
        transfer="tra_x",
        payment_intent="",
        order='=cmd("x"), A',
        amount_minor=-5,
        currency="EUR",
    )
    assert settlement.write_file([line]) == (
        "at,kind,transfer,payment_intent,order,amount_minor,currency\r\n"
        '2027-01-15T08:00:00.000Z,payment,tra_x,,"\'=cmd(""x""), A",-5,EUR\r\n'
    )


def test_the_commands(
    shop: Shop, url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTENANCE_DATABASE_URL", url)
    monkeypatch.setenv("COUNTENANCE_HOME", str(tmp_path))
    shop.house.clock.now_ms += 60_000
    paid, day = shop.captured(), day_of(shop.house.clock())
    with shop.house.database.transaction() as conn:
        settlement.settle(conn, shop.house.merchant, day, now_ms=shop.house.clock() + 2 * DAY_MS)

    def run(*words: str) -> str:
        result = CliRunner().invoke(main, ["settlement", *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "50.00" in run("list", str(shop.house.merchant))
    assert paid["payment_intent"] in run("file", str(shop.house.merchant), str(day))
    assert "settled" in run("make")
    assert "what was posted" in run("check")
