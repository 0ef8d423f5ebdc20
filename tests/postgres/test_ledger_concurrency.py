"""Many at once: nothing is moved twice, nothing deadlocks, one merchant does not stop the rest."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import Connection

from service.db import TRIES_MAX, Database, Row
from service.errors import Collided
from service.ledger import store
from service.ledger.check import check_balances
from service.ledger.limits import Ceiling, Limits
from service.ledger.rules import CloseRefusal, Refusal
from wire.denial import Denial
from wire.ids import AccountId, MerchantId, TerminalId, TransferId
from wire.money import Money

ACCOUNTS = [AccountId(bytes([number]) * 16) for number in range(6)]
MERCHANT, TERMINAL = MerchantId(b"m" * 16), TerminalId(b"t" * 16)
START_MINOR = 1000
THREADS = 12


def euro(amount_minor: int) -> Money:
    return Money(amount_minor=amount_minor, currency="EUR")


@pytest.fixture
def funded(database: Database) -> Database:
    with database.transaction() as conn:
        store.open_merchant(conn, MERCHANT, "EUR")
        store.open_cassette(conn, TERMINAL, "EUR")
        for account in ACCOUNTS:
            store.open_wallet(conn, account, "EUR")
            top_up(conn, account, START_MINOR)
    return database


def top_up(conn: Connection[Row], account: AccountId, amount_minor: int) -> Refusal | None:
    money = euro(amount_minor)
    return store.top_up(conn, transfer=TransferId.new(), account=account, money=money, now_ms=1)


def pay(
    conn: Connection[Row],
    account: AccountId,
    amount_minor: int,
    transfer: TransferId | None = None,
    *,
    lives_ms: int | None = None,
    limits: Limits | None = None,
) -> Denial | None:
    return store.pay(
        conn,
        transfer=transfer or TransferId.new(),
        account=account,
        merchant=MERCHANT,
        money=euro(amount_minor),
        now_ms=2,
        lives_ms=lives_ms,
        terminal=TERMINAL if limits else None,
        limits=limits or Limits(),
    )


def at_once(database: Database, work: list[Callable[[Connection[Row]], object]]) -> list[object]:
    """Each in a transaction of its own, none of which is run again."""

    def one(each: Callable[[Connection[Row]], object]) -> object:
        with database.transaction() as conn:
            return each(conn)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, work))


def test_every_kind_of_transfer_with_one_merchant_never_deadlocks(funded: Database) -> None:
    """:class:`Collided` would come out: nothing is tried again here."""
    chance = random.Random(7)  # the order of threads is not the seed's
    seen: list[TransferId] = []

    def one(conn: Connection[Row]) -> object:
        account, transfer = chance.choice(ACCOUNTS), TransferId.new()
        old, amount_minor = chance.choice(seen or [transfer]), chance.randint(1, 90)
        seen.append(transfer)
        acts: list[Callable[[], object]] = [
            lambda: pay(conn, account, amount_minor, transfer),
            lambda: pay(conn, account, amount_minor, transfer, lives_ms=chance.randint(1, 50)),
            lambda: store.post(conn, old, now_ms=chance.randint(2, 60)),
            lambda: store.post(conn, old, now_ms=3, amount_minor=amount_minor),
            lambda: store.void(conn, old, now_ms=3),
            lambda: store.refund(
                conn, transfer=transfer, of=old, money=euro(amount_minor), now_ms=4
            ),
            lambda: len(store.expire_holds(conn, now_ms=chance.randint(2, 60))),
            lambda: top_up(conn, account, amount_minor),
        ]
        return chance.choice(acts)()

    outcomes = Counter(at_once(funded, [one] * 600))
    assert outcomes[None] > 100
    with funded.transaction() as conn:
        assert check_balances(conn) == ()


def test_many_at_once_never_overdraw(funded: Database) -> None:
    outcomes = at_once(funded, [lambda conn: pay(conn, ACCOUNTS[0], 30)] * 60)
    assert Counter(outcomes) == {None: START_MINOR // 30, Denial.INSUFFICIENT_FUNDS: 27}
    with funded.transaction() as conn:
        assert check_balances(conn) == ()


def test_many_at_once_never_pass_the_accounts_limit(funded: Database) -> None:
    limits = Limits(account=Ceiling(day_minor=100))
    outcomes = at_once(funded, [lambda conn: pay(conn, ACCOUNTS[0], 30, limits=limits)] * 24)
    assert Counter(outcomes) == {None: 3, Denial.ACCOUNT_DAY_LIMIT: 21}


def test_one_id_at_once_moves_money_once(funded: Database) -> None:
    transfer = TransferId.new()

    def one(number: int) -> Denial | None:
        account = ACCOUNTS[number % 2]
        return funded.run(lambda conn: pay(conn, account, 100, transfer))

    with ThreadPoolExecutor(THREADS) as pool:
        outcomes = Counter(pool.map(one, range(24)))
    assert outcomes == {None: 12, Denial.ATTEMPT_ID_REUSED: 12}
    with funded.transaction() as conn:
        assert store.earned_minor(conn, MERCHANT) == 100
        assert check_balances(conn) == ()


def test_two_captures_at_once_capture_once(funded: Database) -> None:
    transfer = TransferId.new()
    with funded.transaction() as conn:
        assert pay(conn, ACCOUNTS[0], 100, transfer, lives_ms=1000) is None
    captures = [
        lambda conn, part=part: store.post(conn, transfer, now_ms=3, amount_minor=part)
        for part in (40, 60) * 6
    ]
    assert Counter(at_once(funded, captures)) == {None: 6, CloseRefusal.POSTED: 6}
    with funded.transaction() as conn:
        assert store.earned_minor(conn, MERCHANT) in (40, 60)
        assert check_balances(conn) == ()


def test_refunds_at_once_give_back_what_was_posted(funded: Database) -> None:
    paid = TransferId.new()
    with funded.transaction() as conn:
        assert pay(conn, ACCOUNTS[0], 100, paid) is None

    def refund(conn: Connection[Row]) -> Refusal | None:
        money = euro(30)
        return store.refund(conn, transfer=TransferId.new(), of=paid, money=money, now_ms=3)

    outcomes = Counter(at_once(funded, [refund] * 12))
    assert outcomes == {None: 3, Refusal.REFUND_ABOVE_POSTED: 9}
    with funded.transaction() as conn:
        assert store.earned_minor(conn, MERCHANT) == 10
        assert check_balances(conn) == ()


def test_one_merchants_payments_do_not_wait_for_each_other(funded: Database) -> None:
    with funded.transaction() as slow, funded.transaction() as quick:
        assert pay(slow, ACCOUNTS[0], 100) is None
        quick.execute("SET LOCAL lock_timeout = '1s'")
        assert pay(quick, ACCOUNTS[1], 100) is None


def crossing(funded: Database) -> Callable[[int], int]:
    """Two transactions that lock two wallets in opposite orders: one of them must give way."""
    both_locked, tries = threading.Barrier(2), Counter[int]()

    def one(number: int) -> int:
        def work(conn: Connection[Row]) -> int:
            tries[number] += 1
            for place in (number, 1 - number):
                conn.execute(
                    "UPDATE ledger_accounts SET held_minor = held_minor WHERE owner = %s",
                    (ACCOUNTS[place].raw,),
                )
                if tries[number] == 1 and place == number:
                    both_locked.wait(10)
            return tries[number]

        return funded.run(work)

    return one


def test_a_deadlock_is_tried_again(funded: Database) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(crossing(funded), (0, 1))) == [1, 2]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (psycopg.errors.DeadlockDetected, Collided),
        (psycopg.errors.SerializationFailure, Collided),
        (psycopg.errors.UniqueViolation, psycopg.errors.UniqueViolation),
    ],
)
def test_tries_have_a_bound(
    funded: Database, error: type[Exception], told: type[Exception]
) -> None:
    tries = []

    def work(conn: Connection[Row]) -> None:
        tries.append(conn)
        raise error

    with pytest.raises(told):
        funded.run(work)
    assert len(tries) == TRIES_MAX


def test_what_is_no_collision_is_not_tried_again(funded: Database) -> None:
    tries = []

    def work(conn: Connection[Row]) -> None:
        tries.append(conn)
        conn.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        funded.run(work)
    assert len(tries) == 1
