from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from psycopg import Connection

from service.db import Database, Row
from service.ledger import store
from service.ledger.rules import BALANCE_MINOR_MAX, CloseRefusal, Wallet
from wire.denial import Denial
from wire.ids import AccountId, MerchantId, TerminalId, TransferId
from wire.money import Money

ACCOUNT, MERCHANT, TERMINAL = AccountId(b"a" * 16), MerchantId(b"m" * 16), TerminalId(b"t" * 16)


def euro(amount_minor: int) -> Money:
    return Money(amount_minor=amount_minor, currency="EUR")


@pytest.fixture
def funded(database: Database) -> Database:
    with database.transaction() as conn:
        open_all(conn)
        assert top_up(conn, 1000) is None
    return database


def open_all(conn: Connection[Row]) -> None:
    store.open_wallet(conn, ACCOUNT, "EUR")
    store.open_merchant(conn, MERCHANT, "EUR")
    store.open_cassette(conn, TERMINAL, "EUR")


def top_up(conn: Connection[Row], amount_minor: int) -> Denial | None:
    return store.top_up(
        conn, transfer=TransferId.new(), account=ACCOUNT, money=euro(amount_minor), now_ms=1
    )


def pay(conn: Connection[Row], amount_minor: int) -> Denial | None:
    return store.pay(
        conn,
        transfer=TransferId.new(),
        account=ACCOUNT,
        merchant=MERCHANT,
        money=euro(amount_minor),
        now_ms=2,
    )


def hold(
    conn: Connection[Row], amount_minor: int, transfer: TransferId, expires_at_ms: int = 100
) -> Denial | None:
    return store.hold(
        conn,
        transfer=transfer,
        account=ACCOUNT,
        terminal=TERMINAL,
        money=euro(amount_minor),
        now_ms=2,
        expires_at_ms=expires_at_ms,
    )


def test_a_payment_moves_money_once(funded: Database) -> None:
    with funded.transaction() as conn:
        assert pay(conn, 300) is None
        assert pay(conn, 701) is Denial.INSUFFICIENT_FUNDS
        assert pay(conn, 700) is None
        assert store.wallet_of(conn, ACCOUNT) == Wallet(
            currency="EUR", balance_minor=0, held_minor=0
        )
        assert store.earned_minor(conn, MERCHANT) == 1000
        assert store.check(conn) == ()


def test_unknown_payees_and_other_currencies_are_refused(funded: Database) -> None:
    dollars = Money(amount_minor=1, currency="USD")
    with funded.transaction() as conn:
        common = {"transfer": TransferId.new(), "account": ACCOUNT, "now_ms": 1}
        unknown = store.pay(conn, merchant=MerchantId.new(), money=euro(1), **common)
        assert unknown is Denial.MERCHANT_UNKNOWN
        other = store.pay(conn, merchant=MERCHANT, money=dollars, **common)
        assert other is Denial.CURRENCY_MISMATCH
        assert store.top_up(conn, money=dollars, **common) is Denial.CURRENCY_MISMATCH
        nobody = common | {"account": AccountId.new()}
        assert store.pay(conn, merchant=MERCHANT, money=euro(1), **nobody) is (
            Denial.CURRENCY_MISMATCH
        )


def test_a_wallet_that_would_overflow_is_not_topped_up(funded: Database) -> None:
    with funded.transaction() as conn:
        refusals = [
            store.top_up(
                conn, transfer=TransferId.new(), account=ACCOUNT, money=euro(10**15), now_ms=1
            )
            for _ in range(10)
        ]
        assert refusals == [None] * 9 + [Denial.LIMIT_EXCEEDED]
        wallet = store.wallet_of(conn, ACCOUNT)
        assert wallet is not None
        room = BALANCE_MINOR_MAX - wallet.balance_minor
        for amount_minor, refusal in ((room + 1, Denial.LIMIT_EXCEEDED), (room, None)):
            common = {"transfer": TransferId.new(), "account": ACCOUNT, "now_ms": 1}
            assert store.top_up(conn, money=euro(amount_minor), **common) is refusal
        assert store.check(conn) == ()


@pytest.mark.parametrize(("close", "balance"), [(store.post, 400), (store.void, 1000)])
def test_a_hold_is_closed_once(funded: Database, close: object, balance: int) -> None:
    transfer = TransferId.new()
    with funded.transaction() as conn:
        assert hold(conn, 600, transfer) is None
        assert pay(conn, 401) is Denial.INSUFFICIENT_FUNDS
        assert close(conn, transfer, now_ms=3) is None
        assert close(conn, transfer, now_ms=4) is None
        other = store.void if close is store.post else store.post
        assert other(conn, transfer, now_ms=5) in (CloseRefusal.POSTED, CloseRefusal.VOIDED)
        assert store.post(conn, TransferId.new(), now_ms=5) is CloseRefusal.UNKNOWN
        wallet = store.wallet_of(conn, ACCOUNT)
        assert wallet is not None
        assert (wallet.balance_minor, wallet.held_minor) == (balance, 0)
        assert store.check(conn) == ()


def test_holds_expire_and_then_cannot_be_posted(funded: Database) -> None:
    early, late = TransferId.new(), TransferId.new()
    with funded.transaction() as conn:
        assert hold(conn, 100, early, 50) is None
        assert hold(conn, 100, late, 51) is None
        assert store.expire_holds(conn, now_ms=50) == 1
        assert store.expire_holds(conn, now_ms=50) == 0
        assert store.post(conn, early, now_ms=52) is CloseRefusal.EXPIRED
        assert store.post(conn, late, now_ms=52) is None
        assert store.check(conn) == ()


def test_a_transfer_id_is_used_once(funded: Database) -> None:
    transfer = TransferId.new()

    def twice() -> None:
        with funded.transaction() as conn:
            assert hold(conn, 1, transfer) is None
            hold(conn, 2, transfer)

    with pytest.raises(psycopg.errors.UniqueViolation):
        twice()


def test_many_at_once_never_overdraw_and_never_deadlock(funded: Database) -> None:
    def one(number: int) -> Denial | None:
        with funded.transaction() as conn:
            if number % 3:
                return pay(conn, 30)
            transfer = TransferId.new()
            denied = hold(conn, 30, transfer)
            if denied is None and number % 2:
                store.post(conn, transfer, now_ms=3)
            return denied

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(one, range(120)))
    assert outcomes.count(None) == 1000 // 30
    assert set(outcomes) == {None, Denial.INSUFFICIENT_FUNDS}
    with funded.transaction() as conn:
        assert store.check(conn) == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_accounts SET balance_minor = -1 WHERE kind = 'wallet'",
        "UPDATE ledger_accounts SET held_minor = 1001 WHERE kind = 'wallet'",
        "UPDATE transfers SET amount_minor = 1",
        "UPDATE transfers SET state = 'voided'",
        "DELETE FROM transfers",
        "TRUNCATE transfers CASCADE",
        "UPDATE postings SET amount_minor = 1",
        "DELETE FROM postings",
        "INSERT INTO postings SELECT transfer_id, ledger_account_id, 5 FROM transfers,"
        " ledger_accounts WHERE ledger_accounts.kind = 'merchant'",
        "INSERT INTO transfers (transfer_id, kind, state, debit, credit, amount_minor,"
        " created_at_ms, closed_at_ms) SELECT decode(repeat('07', 16), 'hex'), 'payment',"
        " 'posted', 1, 2, 5, 1, 1",
    ],
)
def test_the_database_itself_refuses(funded: Database, url: str, statement: str) -> None:
    def run() -> None:
        with psycopg.connect(url) as conn:
            conn.execute(statement)
            conn.commit()

    with pytest.raises((psycopg.errors.RaiseException, psycopg.errors.CheckViolation)):
        run()


class LedgerMachine(RuleBasedStateMachine):
    """The ledger against a model in plain Python."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.account = AccountId.new()
        self.balance = 0
        self.paid_before = 0
        self.pending: dict[TransferId, int] = {}
        with self.database.transaction() as conn:
            store.open_wallet(conn, self.account, "EUR")
            self.paid_before = store.earned_minor(conn, MERCHANT)
        self.paid = 0

    @rule(amount=st.integers(1, 500))
    def top_up(self, amount: int) -> None:
        with self.database.transaction() as conn:
            done = store.top_up(
                conn,
                transfer=TransferId.new(),
                account=self.account,
                money=euro(amount),
                now_ms=1,
            )
        assert done is None
        self.balance += amount

    @rule(amount=st.integers(1, 500))
    def pay(self, amount: int) -> None:
        with self.database.transaction() as conn:
            denied = store.pay(
                conn,
                transfer=TransferId.new(),
                account=self.account,
                merchant=MERCHANT,
                money=euro(amount),
                now_ms=1,
            )
        affordable = self.balance - sum(self.pending.values()) >= amount
        assert denied is (None if affordable else Denial.INSUFFICIENT_FUNDS)
        if affordable:
            self.balance -= amount
            self.paid += amount

    @rule(amount=st.integers(1, 500))
    def hold(self, amount: int) -> None:
        transfer = TransferId.new()
        with self.database.transaction() as conn:
            denied = store.hold(
                conn,
                transfer=transfer,
                account=self.account,
                terminal=TERMINAL,
                money=euro(amount),
                now_ms=1,
                expires_at_ms=2**50,
            )
        affordable = self.balance - sum(self.pending.values()) >= amount
        assert denied is (None if affordable else Denial.INSUFFICIENT_FUNDS)
        if affordable:
            self.pending[transfer] = amount

    @rule(data=st.data(), posted=st.booleans())
    def close(self, data: st.DataObject, posted: bool) -> None:
        if not self.pending:
            return
        transfer = data.draw(st.sampled_from(sorted(self.pending)))
        amount = self.pending.pop(transfer)
        with self.database.transaction() as conn:
            done = (store.post if posted else store.void)(conn, transfer, now_ms=2)
        assert done is None
        self.balance -= amount if posted else 0

    @invariant()
    def agree(self) -> None:
        with self.database.transaction() as conn:
            wallet = store.wallet_of(conn, self.account)
            assert wallet is not None
            assert wallet.balance_minor == self.balance
            assert wallet.held_minor == sum(self.pending.values())
            assert store.earned_minor(conn, MERCHANT) == self.paid_before + self.paid

    def teardown(self) -> None:
        with self.database.transaction() as conn:
            assert store.check(conn) == ()


@pytest.fixture
def machine(database: Database) -> Iterator[type[LedgerMachine]]:
    with database.transaction() as conn:
        open_all(conn)
    LedgerMachine.database = database
    yield LedgerMachine
    del LedgerMachine.database


def test_the_ledger_does_what_the_model_does(machine: type[LedgerMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
