from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import Connection

from service.db import Database, Row
from service.ledger import store
from service.ledger.check import check_balances, totals
from service.ledger.rules import (
    BALANCE_MINOR_MAX,
    AccountKind,
    CloseRefusal,
    Party,
    Refusal,
    Transfer,
    TransferKind,
    Wallet,
)
from service.ledger.transfers import create_transfer
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


def top_up(conn: Connection[Row], amount_minor: int) -> Refusal | None:
    return store.top_up(
        conn, transfer=TransferId.new(), account=ACCOUNT, money=euro(amount_minor), now_ms=1
    )


def pay(
    conn: Connection[Row],
    amount_minor: int,
    transfer: TransferId | None = None,
    lives_ms: int | None = None,
) -> Denial | None:
    return store.pay(
        conn,
        transfer=transfer or TransferId.new(),
        account=ACCOUNT,
        merchant=MERCHANT,
        money=euro(amount_minor),
        now_ms=2,
        lives_ms=lives_ms,
    )


def refund(
    conn: Connection[Row], of: TransferId, amount_minor: int, transfer: TransferId | None = None
) -> Refusal | None:
    return store.refund(
        conn,
        transfer=transfer or TransferId.new(),
        of=of,
        money=euro(amount_minor),
        now_ms=4,
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
        assert check_balances(conn) == ()


def fresh() -> dict[str, Any]:
    return {"transfer": TransferId.new(), "account": ACCOUNT, "now_ms": 1}


def test_unknown_payees_and_other_currencies_are_refused(funded: Database) -> None:
    dollars = Money(amount_minor=1, currency="USD")
    with funded.transaction() as conn:
        unknown = store.pay(conn, merchant=MerchantId.new(), money=euro(1), **fresh())
        assert unknown is Denial.MERCHANT_UNKNOWN
        other = store.pay(conn, merchant=MERCHANT, money=dollars, **fresh())
        assert other is Denial.CURRENCY_MISMATCH
        assert store.top_up(conn, money=dollars, **fresh()) is Refusal.CURRENCY_MISMATCH
        nobody = fresh() | {"account": AccountId.new()}
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
        assert refusals == [None] * 9 + [Refusal.BALANCE_TOO_HIGH]
        wallet = store.wallet_of(conn, ACCOUNT)
        assert wallet is not None
        room = BALANCE_MINOR_MAX - wallet.balance_minor
        for amount_minor, refusal in ((room + 1, Refusal.BALANCE_TOO_HIGH), (room, None)):
            common = {"transfer": TransferId.new(), "account": ACCOUNT, "now_ms": 1}
            assert store.top_up(conn, money=euro(amount_minor), **common) is refusal
        assert check_balances(conn) == ()


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
        assert check_balances(conn) == ()


def test_holds_expire_and_then_cannot_be_posted(funded: Database) -> None:
    early, late = TransferId.new(), TransferId.new()
    with funded.transaction() as conn:
        assert hold(conn, 100, early, 50) is None
        assert hold(conn, 100, late, 53) is None
        assert len(store.expire_holds(conn, now_ms=50)) == 1
        assert store.expire_holds(conn, now_ms=50) == []
        assert store.post(conn, early, now_ms=52) is CloseRefusal.EXPIRED
        assert store.post(conn, late, now_ms=52) is None
        assert check_balances(conn) == ()


def test_the_same_id_and_content_gets_the_first_answer(funded: Database) -> None:
    transfer = TransferId.new()
    common: dict[str, Any] = {"account": ACCOUNT, "merchant": MERCHANT, "transfer": transfer}
    with funded.transaction() as conn:
        assert store.pay(conn, money=euro(300), now_ms=2, **common) is None
        assert store.pay(conn, money=euro(300), now_ms=9, **common) is None
        assert store.pay(conn, money=euro(301), now_ms=2, **common) is Denial.ATTEMPT_ID_REUSED
        assert hold(conn, 300, transfer) is Denial.ATTEMPT_ID_REUSED
        assert store.earned_minor(conn, MERCHANT) == 300
        assert check_balances(conn) == ()


def test_what_was_refused_stays_refused(funded: Database) -> None:
    """A delayed copy of a request must not move money after its sender was told no."""
    transfer = TransferId.new()
    with funded.transaction() as conn:
        assert hold(conn, 1001, transfer) is Denial.INSUFFICIENT_FUNDS
        assert top_up(conn, 1000) is None
        assert hold(conn, 1001, transfer) is Denial.INSUFFICIENT_FUNDS
        assert hold(conn, 5, transfer) is Denial.ATTEMPT_ID_REUSED
        assert hold(conn, 1001, TransferId.new()) is None


def test_a_payment_is_reserved_and_captured_in_part(funded: Database) -> None:
    transfer = TransferId.new()
    with funded.transaction() as conn:
        assert pay(conn, 600, transfer, lives_ms=100) is None
        assert store.earned_minor(conn, MERCHANT) == 0
        assert pay(conn, 401) is Denial.INSUFFICIENT_FUNDS
        for amount_minor in (0, -1, 601, 10**15):
            refused = store.post(conn, transfer, now_ms=3, amount_minor=amount_minor)
            assert refused is CloseRefusal.AMOUNT_OUT_OF_RANGE
        assert store.post(conn, transfer, now_ms=3, amount_minor=250) is None
        assert store.post(conn, transfer, now_ms=4, amount_minor=250) is None
        assert store.post(conn, transfer, now_ms=4) is CloseRefusal.POSTED
        assert store.post(conn, transfer, now_ms=4, amount_minor=251) is CloseRefusal.POSTED
        assert store.earned_minor(conn, MERCHANT) == 250
        assert store.wallet_of(conn, ACCOUNT) == Wallet(
            currency="EUR", balance_minor=750, held_minor=0
        )
        assert check_balances(conn) == ()


def test_what_is_overdue_is_expired_before_any_task_ran(funded: Database) -> None:
    transfer = TransferId.new()
    with funded.transaction() as conn:
        assert hold(conn, 100, transfer, 50) is None
        assert store.post(conn, transfer, now_ms=50) is CloseRefusal.EXPIRED
        assert store.void(conn, transfer, now_ms=50) is CloseRefusal.EXPIRED
        assert len(store.expire_holds(conn, now_ms=50)) == 1
        assert check_balances(conn) == ()


def test_refunds_give_back_at_most_what_was_posted(funded: Database) -> None:
    paid, first = TransferId.new(), TransferId.new()
    with funded.transaction() as conn:
        assert refund(conn, paid, 1) is Refusal.REFERENCE_UNKNOWN
        assert pay(conn, 600, paid, lives_ms=100) is None
        assert refund(conn, paid, 1) is Refusal.REFUND_NOT_POSTED
        assert store.post(conn, paid, now_ms=3, amount_minor=500) is None
        assert refund(conn, paid, 501) is Refusal.REFUND_ABOVE_POSTED
        assert refund(conn, paid, 300, first) is None
        assert refund(conn, paid, 300, first) is None
        assert refund(conn, paid, 200, first) is Refusal.TRANSFER_ID_REUSED
        assert refund(conn, paid, 201) is Refusal.REFUND_ABOVE_POSTED
        assert refund(conn, paid, 200) is None
        assert refund(conn, paid, 1) is Refusal.REFUND_ABOVE_POSTED
        assert refund(conn, first, 1) is Refusal.ROUTE_NOT_ALLOWED
        assert store.earned_minor(conn, MERCHANT) == 0
        assert store.wallet_of(conn, ACCOUNT) == Wallet(
            currency="EUR", balance_minor=1000, held_minor=0
        )
        assert check_balances(conn) == ()


def test_house_accounts_take_fees_payouts_and_corrections(funded: Database) -> None:
    with funded.transaction() as conn:
        assert pay(conn, 600) is None
        houses = {
            kind: store.open_house(conn, kind, "EUR")
            for kind in (AccountKind.FEES, AccountKind.SUSPENSE, AccountKind.FUNDING)
        }
        for kind, debit, credit in (
            (TransferKind.FEE, Party.merchant(MERCHANT), houses[AccountKind.FEES]),
            (TransferKind.PAYOUT, Party.merchant(MERCHANT), houses[AccountKind.FUNDING]),
            (TransferKind.CORRECTION, Party.wallet(ACCOUNT), houses[AccountKind.SUSPENSE]),
            (TransferKind.CORRECTION, houses[AccountKind.SUSPENSE], Party.cassette(TERMINAL)),
        ):
            wanted = Transfer(
                transfer=TransferId.new(), kind=kind, debit=debit, credit=credit, money=euro(50)
            )
            assert create_transfer(conn, wanted, now_ms=5) is None
        sums = {each.kind: each.balance_minor for each in totals(conn)}
        assert sums == {
            "cassette": 50,
            "fees": 50,
            "funding": -950,
            "merchant": 500,
            "suspense": 0,
            "wallet": 350,
        }
        assert check_balances(conn) == ()


PAID, HELD, REFUSED = (TransferId(each * 16) for each in (b"p", b"h", b"r"))
INSERT = """INSERT INTO transfers (transfer_id, kind, state, debit, credit, amount_minor,
    created_at_ms, closed_at_ms, refers_to)
    SELECT decode(repeat('07', 16), 'hex'), '{kind}', 'posted', d.ledger_account_id,
    c.ledger_account_id, {amount}, 1, 1, {refers_to} FROM ledger_accounts d, ledger_accounts c
    WHERE d.kind = '{debit}' AND c.kind = '{credit}' AND d.currency = 'EUR'
    AND c.currency = '{currency}'"""


def insert(kind: str, debit: str, credit: str, amount: int = 5, *, currency: str = "EUR",
           refers_to: str = "NULL") -> str:  # fmt: skip
    return INSERT.format(
        kind=kind, debit=debit, credit=credit, amount=amount, currency=currency,
        refers_to=refers_to,
    )  # fmt: skip


REFERS = "decode(repeat('{}', 16), 'hex')"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_accounts SET balance_minor = -1 WHERE kind = 'wallet'",
        "UPDATE ledger_accounts SET held_minor = 1001 WHERE kind = 'wallet'",
        "UPDATE ledger_accounts SET held_minor = -1 WHERE kind = 'wallet'",
        "UPDATE ledger_accounts SET balance_minor = 9007199254740992 WHERE kind = 'wallet'",
        "UPDATE ledger_accounts SET currency = 'USD'",
        "UPDATE ledger_accounts SET owner = decode(repeat('07', 16), 'hex') WHERE kind = 'wallet'",
        "DELETE FROM ledger_accounts",
        "TRUNCATE ledger_accounts CASCADE",
        "UPDATE transfers SET amount_minor = 1",
        "UPDATE transfers SET amount_minor = 1 WHERE state = 'pending'",
        "UPDATE transfers SET state = 'voided'",
        "UPDATE transfers SET posted_minor = 1 WHERE state = 'posted'",
        "UPDATE transfers SET posted_minor = 1 WHERE state = 'pending'",
        "UPDATE transfers SET state = 'posted', closed_at_ms = 3 WHERE state = 'pending'",
        "UPDATE transfers SET state = 'posted', closed_at_ms = 100 WHERE state = 'pending'",
        "UPDATE transfers SET state = 'posted', closed_at_ms = 3, posted_minor = 101"
        " WHERE state = 'pending'",
        "DELETE FROM transfers",
        "TRUNCATE transfers CASCADE",
        "UPDATE postings SET amount_minor = 1",
        "DELETE FROM postings",
        "TRUNCATE postings",
        "UPDATE refused_transfers SET refusal = 'insufficient_funds'",
        "DELETE FROM refused_transfers",
        "TRUNCATE refused_transfers",
        "INSERT INTO postings SELECT transfer_id, ledger_account_id, 5 FROM transfers,"
        " ledger_accounts WHERE ledger_accounts.kind = 'cassette'",
        insert("payment", "wallet", "merchant"),
        insert("payment", "wallet", "merchant", 0),
        insert("payment", "wallet", "merchant", currency="USD"),
        insert("gift", "wallet", "merchant"),
        insert("refund", "merchant", "wallet"),
        insert("refund", "merchant", "wallet", 301, refers_to=REFERS.format("70")),
        insert("refund", "cassette", "wallet", 1, refers_to=REFERS.format("70")),
        insert("refund", "cassette", "wallet", 1, refers_to=REFERS.format("68")),
        insert("refund", "merchant", "wallet", 1, refers_to=REFERS.format("09")),
    ],
)
def test_the_database_itself_refuses(funded: Database, url: str, statement: str) -> None:
    with funded.transaction() as conn:
        assert pay(conn, 300, PAID) is None
        assert hold(conn, 100, HELD) is None
        assert hold(conn, 10_000, REFUSED) is Denial.INSUFFICIENT_FUNDS
        store.open_merchant(conn, MerchantId(b"d" * 16), "USD")

    def run() -> None:
        with psycopg.connect(url) as conn:
            assert conn.execute(statement).rowcount != 0
            conn.commit()

    with pytest.raises((psycopg.errors.RaiseException, psycopg.errors.CheckViolation)):
        run()


def test_the_database_takes_what_balances(funded: Database, url: str) -> None:
    """The statements above fail for what they break, not for how they are written."""
    with funded.transaction() as conn:
        assert pay(conn, 300, PAID) is None
    transfer = "decode(repeat('07', 16), 'hex')"
    with psycopg.connect(url) as conn:
        refers_to = REFERS.format("70")
        assert conn.execute(insert("refund", "merchant", "wallet", 300, refers_to=refers_to))
        conn.execute(
            f"INSERT INTO postings SELECT {transfer}, ledger_account_id,"
            " CASE kind WHEN 'wallet' THEN 300 ELSE -300 END FROM ledger_accounts"
            " WHERE kind IN ('wallet', 'merchant')"
        )
        conn.execute("UPDATE ledger_accounts SET balance_minor = 1000 WHERE kind = 'wallet'")
    with funded.transaction() as conn:
        assert check_balances(conn) == ()
