"""The whole ledger against a model in plain Python: money is conserved, no wallet is overdrawn,
and the same request always gets the same answer, whatever happened in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from psycopg import Connection

from service.db import Database, Row
from service.ledger import store
from service.ledger.check import check_balances, totals
from service.ledger.limits import Ceiling, Limits, Velocity
from wire.ids import AccountId, MerchantId, TerminalId, TransferId
from wire.money import Money

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
DAY_MINOR, VELOCITY, WITHIN_MS = 1500, 3, 60_000
LIMITS = Limits(
    account=Ceiling(transfer_minor=800, day_minor=DAY_MINOR),
    velocity=(Velocity(transfers=VELOCITY, within_ms=WITHIN_MS),),
)
AMOUNTS = st.integers(1, 900)
CURRENCIES = st.sampled_from(["EUR", "EUR", "EUR", "KWD"])
LIVES = st.one_of(st.none(), st.integers(1, 2 * WITHIN_MS))


@dataclass
class Booking:
    kind: str
    account: int
    currency: str
    amount: int
    at_ms: int
    ends_ms: int | None
    state: str
    moved: int = 0
    refunded: int = 0


@dataclass
class Model:
    """Written anew from the words of docs/ledger.md; it shares nothing with the ledger."""

    now_ms: int = START_MS
    currencies: dict[int, str] = field(default_factory=lambda: {0: "EUR", 1: "EUR", 2: "KWD"})
    bookings: dict[TransferId, Booking] = field(default_factory=dict)
    answers: dict[TransferId, tuple[Any, str | None]] = field(default_factory=dict)

    def of(self, account: int, *kinds: str) -> list[Booking]:
        return [b for b in self.bookings.values() if b.account == account and b.kind in kinds]

    def balance(self, account: int) -> int:
        spent = sum(b.moved for b in self.of(account, "payment", "withdrawal"))
        return sum(b.moved for b in self.of(account, "top_up", "refund")) - spent

    def held(self, account: int) -> int:
        return sum(
            b.amount for b in self.of(account, "payment", "withdrawal") if b.state == "pending"
        )

    def ask(self, transfer: TransferId, content: Any, decide: Callable[[], str | None],
            booking: Booking) -> str | None:  # fmt: skip
        if transfer in self.answers:
            first, answer = self.answers[transfer]
            return answer if first == content else "reused"
        answer = decide()
        self.answers[transfer] = (content, answer)
        if answer is None:
            self.bookings[transfer] = booking
        return answer

    def refuse_spending(self, account: int, currency: str, amount: int, kind: str) -> str | None:
        if currency != "EUR" or self.currencies[account] != currency:
            return "currency_mismatch"
        before = [b for b in self.of(account, kind) if b.state in ("pending", "posted")]
        counted = [b.moved if b.state == "posted" else b.amount for b in before
                   if b.at_ms // DAY_MS == self.now_ms // DAY_MS]  # fmt: skip
        if amount > 800:
            return "limit_exceeded"
        if sum(b.at_ms > self.now_ms - WITHIN_MS for b in before) >= VELOCITY:
            return "account_velocity"
        if sum(counted) + amount > DAY_MINOR:
            return "account_day_limit"
        if amount > self.balance(account) - self.held(account):
            return "insufficient_funds"
        return None

    def refuse_refund(self, of: TransferId, currency: str, amount: int) -> str | None:
        paid = self.bookings[of]
        if paid.kind not in ("payment", "withdrawal"):
            return "route_not_allowed"
        if currency != paid.currency:
            return "currency_mismatch"
        if paid.state != "posted":
            return "refund_not_posted"
        return "refund_above_posted" if paid.refunded + amount > paid.moved else None

    def close(self, transfer: TransferId, wanted: str, amount: int | None) -> str | None:
        found = self.bookings[transfer]
        part = found.amount if amount is None else amount
        if found.state == wanted:
            return None if wanted == "voided" or part == found.moved else "transfer_posted"
        if found.state != "pending":
            return f"transfer_{found.state}"
        assert found.ends_ms is not None
        if found.ends_ms <= self.now_ms:
            return "transfer_expired"
        if wanted == "posted":
            if not 1 <= part <= found.amount:
                return "amount_out_of_range"
            found.moved = part
        found.state = wanted
        return None

    def expire(self) -> None:
        for booking in self.bookings.values():
            if booking.state == "pending" and (booking.ends_ms or 0) <= self.now_ms:
                booking.state = "expired"


class LedgerMachine(RuleBasedStateMachine):
    database: Database
    transfers: Bundle[TransferId] = Bundle("transfers")

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.accounts = {number: AccountId.new() for number in self.model.currencies}
        self.merchant, self.terminal = MerchantId.new(), TerminalId.new()
        with self.database.transaction() as conn:
            for number, account in self.accounts.items():
                store.open_wallet(conn, account, self.model.currencies[number])
            store.open_merchant(conn, self.merchant, "EUR")
            store.open_cassette(conn, self.terminal, "EUR")

    def both(self, expected: str | None, act: Callable[[Connection[Row]], Any]) -> None:
        with self.database.transaction() as conn:
            found = act(conn)
        told = {"transfer_id_reused": "reused", "attempt_id_reused": "reused"}
        assert (told.get(found, found) if found else None) == expected

    @rule(target=transfers)
    def new_id(self) -> TransferId:
        return TransferId.new()

    @rule(wait_ms=st.one_of(st.integers(1, WITHIN_MS), st.sampled_from([WITHIN_MS, DAY_MS])))
    def wait(self, wait_ms: int) -> None:
        self.model.now_ms += wait_ms

    @rule(target=transfers, account=st.integers(0, 2), amount=AMOUNTS)
    def top_up_new(self, account: int, amount: int) -> TransferId:
        transfer = TransferId.new()
        self.top_up(transfer, account, self.model.currencies[account], amount)
        return transfer

    @rule(transfer=transfers, account=st.integers(0, 2), currency=CURRENCIES, amount=AMOUNTS)
    def top_up(self, transfer: TransferId, account: int, currency: str, amount: int) -> None:
        model = self.model
        same = currency == model.currencies[account]
        expected = model.ask(
            transfer,
            ("top_up", account, currency, amount),
            lambda: None if same else "currency_mismatch",
            Booking("top_up", account, currency, amount, model.now_ms, None, "posted", amount),
        )
        self.both(
            expected,
            lambda conn: store.top_up(
                conn,
                transfer=transfer,
                account=self.accounts[account],
                money=Money(amount_minor=amount, currency=currency),
                now_ms=model.now_ms,
            ),
        )

    @rule(target=transfers, account=st.integers(0, 1), amount=AMOUNTS, lives_ms=LIVES)
    def pay_new(self, account: int, amount: int, lives_ms: int | None) -> Any:
        transfer = TransferId.new()
        self.pay(transfer, account, "EUR", amount, lives_ms)
        return transfer if transfer in self.model.bookings else multiple()

    @rule(transfer=transfers, account=st.integers(0, 2), currency=CURRENCIES, amount=AMOUNTS,
          lives_ms=LIVES)  # fmt: skip
    def pay(
        self, transfer: TransferId, account: int, currency: str, amount: int, lives_ms: int | None
    ) -> None:
        expected = self.expect_spending("payment", transfer, account, currency, amount, lives_ms)
        self.both(
            expected,
            lambda conn: store.pay(
                conn,
                transfer=transfer,
                account=self.accounts[account],
                merchant=self.merchant,
                money=Money(amount_minor=amount, currency=currency),
                now_ms=self.model.now_ms,
                lives_ms=lives_ms,
                terminal=self.terminal,
                limits=LIMITS,
            ),
        )

    @rule(transfer=transfers, account=st.integers(0, 2), currency=CURRENCIES, amount=AMOUNTS,
          lives_ms=st.integers(1, WITHIN_MS))  # fmt: skip
    def hold(
        self, transfer: TransferId, account: int, currency: str, amount: int, lives_ms: int
    ) -> None:
        expected = self.expect_spending("withdrawal", transfer, account, currency, amount, lives_ms)
        self.both(
            expected,
            lambda conn: store.hold(
                conn,
                transfer=transfer,
                account=self.accounts[account],
                terminal=self.terminal,
                money=Money(amount_minor=amount, currency=currency),
                now_ms=self.model.now_ms,
                expires_at_ms=self.model.now_ms + lives_ms,
                limits=LIMITS,
            ),
        )

    def expect_spending(
        self,
        kind: str,
        transfer: TransferId,
        account: int,
        currency: str,
        amount: int,
        lives_ms: int | None,
    ) -> str | None:
        model = self.model
        ends_ms = None if lives_ms is None else model.now_ms + lives_ms
        state, moved = ("posted", amount) if lives_ms is None else ("pending", 0)
        return model.ask(
            transfer,
            (kind, account, currency, amount, lives_ms),
            lambda: model.refuse_spending(account, currency, amount, kind),
            Booking(kind, account, currency, amount, model.now_ms, ends_ms, state, moved),
        )

    @rule(transfer=transfers, of=transfers, currency=CURRENCIES, amount=AMOUNTS)
    def refund(self, transfer: TransferId, of: TransferId, currency: str, amount: int) -> None:
        model, paid = self.model, self.model.bookings.get(of)
        expected: str | None = "reference_unknown"
        if paid is not None:
            again = transfer in model.answers
            expected = model.ask(
                transfer,
                ("refund", of, currency, amount),
                lambda: model.refuse_refund(of, currency, amount),
                Booking("refund", paid.account, currency, amount, model.now_ms, None, "posted",
                        amount),
            )  # fmt: skip
            if expected is None and not again:
                paid.refunded += amount
        self.both(
            expected,
            lambda conn: store.refund(
                conn,
                transfer=transfer,
                of=of,
                money=Money(amount_minor=amount, currency=currency),
                now_ms=model.now_ms,
            ),
        )

    @rule(transfer=transfers, amount=st.one_of(st.none(), st.integers(-1, 901)))
    def post(self, transfer: TransferId, amount: int | None) -> None:
        expected: str | None = "transfer_unknown"
        if transfer in self.model.bookings:
            expected = self.model.close(transfer, "posted", amount)
        now_ms = self.model.now_ms
        self.both(
            expected,
            lambda conn: store.post(conn, transfer, now_ms=now_ms, amount_minor=amount),
        )

    @rule(transfer=transfers)
    def void(self, transfer: TransferId) -> None:
        expected: str | None = "transfer_unknown"
        if transfer in self.model.bookings:
            expected = self.model.close(transfer, "voided", None)
        now_ms = self.model.now_ms
        self.both(expected, lambda conn: store.void(conn, transfer, now_ms=now_ms))

    @rule()
    def expire(self) -> None:
        self.model.expire()
        with self.database.transaction() as conn:
            store.expire_holds(conn, now_ms=self.model.now_ms)

    @invariant()
    def agree(self) -> None:
        with self.database.transaction() as conn:
            for number, account in self.accounts.items():
                wallet = store.wallet_of(conn, account)
                assert wallet is not None
                assert wallet.balance_minor == self.model.balance(number)
                assert wallet.held_minor == self.model.held(number)
                assert wallet.available_minor >= 0
            spent = {
                kind: sum(
                    b.moved - b.refunded
                    for number in self.accounts
                    for b in self.model.of(number, kind)
                )
                for kind in ("payment", "withdrawal")
            }
            assert store.earned_minor(conn, self.merchant) == spent["payment"]
            assert store.earned_minor(conn, self.terminal) == spent["withdrawal"]

    def teardown(self) -> None:
        with self.database.transaction() as conn:
            assert check_balances(conn) == ()
            for currency in ("EUR", "KWD"):
                sums = [t.balance_minor for t in totals(conn) if t.currency == currency]
                assert sum(sums) == 0


@pytest.fixture
def machine(database: Database) -> Iterator[type[LedgerMachine]]:
    LedgerMachine.database = database
    yield LedgerMachine
    del LedgerMachine.database


def test_the_ledger_does_what_the_model_does(machine: type[LedgerMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
