"""What counts towards a limit, from the rows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from service.db import Database
from service.ledger import store
from service.ledger.limits import DAY_MS, Ceiling, Limits, Velocity
from wire.denial import Denial
from wire.ids import AccountId, MerchantId, TerminalId, TransferId
from wire.money import Money

ACCOUNT, OTHER = AccountId(b"a" * 16), AccountId(b"b" * 16)
MERCHANT, ELSEWHERE = MerchantId(b"m" * 16), MerchantId(b"n" * 16)
TILL, TILL_2, ATM = TerminalId(b"t" * 16), TerminalId(b"u" * 16), TerminalId(b"v" * 16)
NOON_MS = int(datetime(2027, 3, 15, 12, tzinfo=UTC).timestamp() * 1000)
MIDNIGHT_MS = NOON_MS + DAY_MS // 2
APRIL_MS = int(datetime(2027, 4, 1, tzinfo=UTC).timestamp() * 1000)
DAY = Limits(account=Ceiling(day_minor=100))


def euro(amount_minor: int) -> Money:
    return Money(amount_minor=amount_minor, currency="EUR")


@pytest.fixture
def till(database: Database) -> Till:
    with database.transaction() as conn:
        for merchant in (MERCHANT, ELSEWHERE):
            store.open_merchant(conn, merchant, "EUR")
        store.open_cassette(conn, ATM, "EUR")
        for account in (ACCOUNT, OTHER):
            store.open_wallet(conn, account, "EUR")
            store.top_up(
                conn, transfer=TransferId.new(), account=account, money=euro(10_000), now_ms=1
            )
    return Till(database)


class Till:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.last = TransferId.new()

    def pay(
        self,
        amount_minor: int,
        limits: Limits,
        now_ms: int = NOON_MS,
        *,
        account: AccountId = ACCOUNT,
        merchant: MerchantId = MERCHANT,
        terminal: TerminalId = TILL,
        lives_ms: int | None = None,
    ) -> Denial | None:
        self.last = TransferId.new()
        with self.database.transaction() as conn:
            return store.pay(
                conn,
                transfer=self.last,
                account=account,
                merchant=merchant,
                money=euro(amount_minor),
                now_ms=now_ms,
                lives_ms=lives_ms,
                terminal=terminal,
                limits=limits,
            )

    def withdraw(self, amount_minor: int, limits: Limits) -> Denial | None:
        self.last = TransferId.new()
        with self.database.transaction() as conn:
            return store.hold(
                conn,
                transfer=self.last,
                account=ACCOUNT,
                terminal=ATM,
                money=euro(amount_minor),
                now_ms=NOON_MS,
                expires_at_ms=NOON_MS + 10,
                limits=limits,
            )


def test_a_day_ends_at_midnight_of_utc(till: Till) -> None:
    assert till.pay(60, DAY) is None
    assert till.pay(41, DAY, MIDNIGHT_MS - 1) is Denial.ACCOUNT_DAY_LIMIT
    assert till.pay(40, DAY, MIDNIGHT_MS - 1) is None
    assert till.pay(100, DAY, MIDNIGHT_MS) is None
    assert till.pay(1, DAY, MIDNIGHT_MS) is Denial.ACCOUNT_DAY_LIMIT
    assert till.pay(100, DAY, account=OTHER) is None


def test_a_month_ends_with_its_last_day(till: Till) -> None:
    month = Limits(account=Ceiling(month_minor=100))
    assert till.pay(60, month) is None
    assert till.pay(41, month, APRIL_MS - 1) is Denial.ACCOUNT_MONTH_LIMIT
    assert till.pay(40, month, APRIL_MS - 1) is None
    assert till.pay(100, month, APRIL_MS) is None


def test_a_velocity_looks_back_from_now(till: Till) -> None:
    velocity = Limits(
        velocity=(Velocity(transfers=2, within_ms=1000), Velocity(transfers=3, within_ms=5000))
    )
    assert till.pay(1, velocity, NOON_MS) is None
    assert till.pay(1, velocity, NOON_MS + 1) is None
    assert till.pay(1, velocity, NOON_MS + 999) is Denial.ACCOUNT_VELOCITY
    assert till.pay(1, velocity, NOON_MS + 1000) is None
    assert till.pay(1, velocity, NOON_MS + 4999) is Denial.ACCOUNT_VELOCITY
    assert till.pay(1, velocity, NOON_MS + 5000) is None
    assert till.pay(1, velocity, NOON_MS, account=OTHER) is None


def test_what_was_given_back_counts_no_more_and_what_was_posted_counts(till: Till) -> None:
    assert till.pay(100, DAY, lives_ms=10) is None
    assert till.pay(1, DAY) is Denial.ACCOUNT_DAY_LIMIT
    with till.database.transaction() as conn:
        assert store.void(conn, transfer_of(till, 100), now_ms=NOON_MS) is None
    assert till.pay(100, DAY, lives_ms=10) is None
    with till.database.transaction() as conn:
        assert len(store.expire_holds(conn, now_ms=NOON_MS + 10)) == 1
    assert till.pay(100, DAY, lives_ms=10) is None
    with till.database.transaction() as conn:
        assert store.post(conn, till.last, now_ms=NOON_MS, amount_minor=30) is None
    assert till.pay(71, DAY) is Denial.ACCOUNT_DAY_LIMIT
    assert till.pay(70, DAY) is None


def transfer_of(till: Till, amount_minor: int) -> TransferId:
    with till.database.transaction() as conn:
        row = conn.execute(
            "SELECT transfer_id FROM transfers WHERE amount_minor = %s AND state = 'pending'",
            (amount_minor,),
        ).fetchone()
    assert row is not None
    return TransferId(row[0])


def test_payments_and_withdrawals_are_counted_apart(till: Till) -> None:
    assert till.pay(100, DAY) is None
    assert till.withdraw(100, DAY) is None
    assert till.withdraw(1, DAY) is Denial.ACCOUNT_DAY_LIMIT


@pytest.mark.parametrize(
    ("ceiling", "now_ms", "denials"),
    [
        (
            Ceiling(day_minor=100),
            MIDNIGHT_MS,
            (Denial.MERCHANT_DAY_LIMIT, Denial.TERMINAL_DAY_LIMIT),
        ),
        (
            Ceiling(month_minor=100),
            APRIL_MS,
            (Denial.MERCHANT_MONTH_LIMIT, Denial.TERMINAL_MONTH_LIMIT),
        ),
    ],
)
def test_a_merchants_limit_is_that_of_its_terminals_together(
    till: Till, ceiling: Ceiling, now_ms: int, denials: tuple[Denial, Denial]
) -> None:
    merchant, terminal = Limits(merchant=ceiling), Limits(terminal=ceiling)
    assert till.pay(60, merchant) is None
    assert till.pay(41, merchant, now_ms - 1, account=OTHER, terminal=TILL_2) is denials[0]
    assert till.pay(41, terminal, now_ms - 1, account=OTHER) is denials[1]
    assert till.pay(41, terminal, now_ms - 1, account=OTHER, terminal=TILL_2) is None
    assert till.pay(100, merchant, now_ms - 1, merchant=ELSEWHERE) is None
    assert till.pay(100, merchant, now_ms) is None
    assert till.pay(1, merchant, now_ms) is denials[0]


def test_an_atm_has_a_limit_of_its_own(till: Till) -> None:
    limits = Limits(terminal=Ceiling(day_minor=100))
    assert till.withdraw(100, limits) is None
    assert till.withdraw(1, limits) is Denial.TERMINAL_DAY_LIMIT


def test_a_limit_is_told_before_the_missing_money(till: Till) -> None:
    assert till.pay(10_001, DAY) is Denial.ACCOUNT_DAY_LIMIT
    assert till.pay(10_001, Limits()) is Denial.INSUFFICIENT_FUNDS
