"""Whole attempts on outside money: real evidence, real processors, and a cut at every point."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from service.db import Database
from service.funding.processor import (
    Answer,
    NoAnswer,
    Order,
    ProcessorName,
    Side,
    Source,
    StripeSource,
)
from service.funding.sources import read_card
from service.funding.stripe import Stripe
from service.ledger import sources
from service.ledger import store as ledger
from service.ledger.check import TRIES_NAMED, Discrepancy, check
from service.ledger.sources import RESERVED_MS
from service.settlement import LEASE_MS, PAUSE_MS_MAX, Settlement
from tests.ceremony.house import Clock, Device, House, enrol, payment, probe, withdrawal
from tests.funding.conftest import KEY, Bank, LocalStripe
from tests.funding.proxy import Proxy, open_proxy
from wire.denial import Denial, Reason
from wire.ids import AccountId, TransferId
from wire.messages import Completion, Decision, TerminalKind
from wire.money import Money

CARD = read_card("4242 4242 4242 4242", "12/34")
STORE, ATM = TerminalKind.STORE, TerminalKind.ATM


@dataclass
class Counter:
    """A house, a customer whose money is elsewhere, and a terminal; and what a worker would do."""

    house: House
    account: AccountId
    device: Device

    @property
    def settlement(self) -> Settlement:
        house = self.house
        return Settlement(house.database, house.keys, house.processors, house.clock)

    def work(self, rounds: int = 4, *, later_ms: int = 10_000) -> None:
        """The tasks ``expire`` and ``settle``, a few times, with time in between."""
        for _ in range(rounds):
            self.house.clock.now_ms += later_ms
            now_ms = self.house.clock()
            with self.house.database.transaction() as conn:
                ledger.expire_holds(conn, now_ms=now_ms)
            with self.house.database.transaction() as conn:
                due = sources.list_due(conn, now_ms=now_ms, limit=50)
            for transfer in due:
                self.settlement.settle(transfer)

    def check(self) -> tuple[Discrepancy, ...]:
        with self.house.database.transaction() as conn:
            return check(conn)

    def sides(self) -> list[tuple[str, str, int]]:
        """(state, side, confirmed) of each transfer that a processor was asked for."""
        with self.house.database.transaction() as conn:
            return conn.execute(
                "SELECT state, side, confirmed_minor FROM transfers JOIN processor_entries"
                " USING (transfer_id) ORDER BY kind, created_at_ms, transfer_id"
            ).fetchall()

    def pay(self, amount_minor: int = 500) -> Decision:
        return self.device.attempt(payment(self.house, amount_minor), probe(1))

    def draw(self, amount_minor: int = 2000) -> Decision:
        return self.device.attempt(withdrawal(amount_minor), probe(1, pin="2468"))

    def evidence(self, kind: TerminalKind) -> bytes:
        context = withdrawal() if kind is ATM else payment(self.house)
        challenge = self.device.challenge(context)
        return self.device.sign(self.device.evidence(challenge, probe(1, pin="2468")))

    def send(self, raw: bytes) -> int:
        return self.device.send("/v1/attempts", raw).status_code

    def decide(self, raw: bytes) -> Decision:
        return self.device.read(self.device.send("/v1/attempts", raw))


def open_counter(
    database: Database, kind: TerminalKind, name: ProcessorName, processor: object, source: Source
) -> Counter:
    house = House(database, processors={name: processor})  # type: ignore[dict-item]
    house.clock.now_ms = int(time.time() * 1000)  # Stripe goes by it
    account = enrol(house, 1)
    assert house.operations.attach_source(account, source, house.processors) is None
    return Counter(house, account, house.add_terminal(kind))


@pytest.fixture
def atm(database: Database, bank: Bank) -> Counter:
    host = bank.host(answer_timeout_s=0.3)
    return open_counter(database, ATM, ProcessorName.ISO8583, host, CARD)


@pytest.fixture
def network(localstripe: LocalStripe) -> Iterator[Proxy]:
    with open_proxy(localstripe.url) as proxy:
        yield proxy


@pytest.fixture
def till(database: Database, localstripe: LocalStripe, network: Proxy) -> Counter:
    processor = Stripe(KEY, url=network.url, answer_timeout_s=2)
    source = StripeSource(method=localstripe.card())
    return open_counter(database, STORE, ProcessorName.STRIPE, processor, source)


def test_cash_from_a_bank(atm: Counter, bank: Bank) -> None:
    drawn, failed = atm.draw(), atm.draw(3000)
    assert drawn.approved
    assert failed.approved
    assert atm.check() == ()
    atm.device.confirm(drawn.attempt, Completion.COMPLETED)
    atm.device.confirm(failed.attempt, Completion.FAILED)
    atm.work()
    assert atm.sides() == [("posted", "captured", 2000), ("voided", "released", 0)]
    assert list(bank.books["taken"].values()) == [2000]
    assert atm.check() == ()


def test_half_of_the_cash_is_half_of_the_money(atm: Counter, bank: Bank) -> None:
    drawn = atm.draw()
    with atm.house.database.transaction() as conn:
        transfer = TransferId(drawn.attempt.raw)
        assert ledger.post(conn, transfer, now_ms=atm.house.clock(), amount_minor=500) is None
    atm.work()
    assert atm.sides() == [("posted", "captured", 500)]
    assert list(bank.books["taken"].values()) == [500]


def test_cash_that_nobody_confirms_is_given_back(atm: Counter, bank: Bank) -> None:
    assert atm.draw().approved
    atm.work(later_ms=3_600_000)
    assert atm.sides() == [("expired", "released", 0)]
    assert bank.books["taken"] == {}


@pytest.mark.parametrize(
    ("code", "denial", "reason"),
    [
        ("51", Denial.INSUFFICIENT_FUNDS, Reason.INSUFFICIENT_FUNDS),
        ("05", Denial.FUNDING_DECLINED, Reason.REFUSED_FOR_NOW),
        ("91", Denial.FUNDING_UNAVAILABLE, Reason.REFUSED_FOR_NOW),
    ],
)
def test_a_bank_that_declines(
    atm: Counter, bank: Bank, code: str, denial: Denial, reason: Reason
) -> None:
    bank.behave(f"code:{code}")
    decision = atm.draw()
    assert (decision.approved, decision.reason) == (False, reason)
    assert atm.house.denial_of(decision.attempt) == denial
    atm.work()
    assert atm.sides() == [("voided", "declined", 0)]
    assert atm.check() == ()


@pytest.mark.parametrize("behaviour", ["never", "late:1", "wrong:4=000000000001"])
def test_a_bank_that_does_not_answer_is_reversed_until_it_does(
    atm: Counter, bank: Bank, behaviour: str
) -> None:
    bank.behave(behaviour)
    raw = atm.evidence(ATM)
    decision = atm.decide(raw)
    assert (decision.approved, decision.reason) == (False, Reason.REFUSED_FOR_NOW)
    assert atm.house.denial_of(decision.attempt) == Denial.FUNDING_UNAVAILABLE
    bank.behave("drop", "never", "code:96", "ok")
    atm.work(8, later_ms=60_000)
    assert atm.sides() == [("voided", "released", 0)]
    assert (bank.books["taken"], bank.books["held"]) == ({}, {})
    reversals = [kind for kind in bank.books["seen"] if kind.startswith("04")]
    assert reversals[0] == "0400"
    assert set(reversals[1:]) == {"0401"}
    assert atm.decide(raw) == decision
    assert atm.check() == ()


def test_a_bank_that_never_answers_is_named_to_the_row(atm: Counter, bank: Bank) -> None:
    bank.behave("never")
    decision = atm.draw()
    atm.work(TRIES_NAMED + 1, later_ms=PAUSE_MS_MAX)
    assert atm.check() == (
        Discrepancy(
            what="not posted, but not released at the processor",
            row=str(TransferId(decision.attempt.raw)),
        ),
    )
    bank.behave("ok")
    atm.work(2, later_ms=PAUSE_MS_MAX)
    assert atm.check() == ()


def test_a_processor_that_is_not_set_up_refuses_for_now(atm: Counter) -> None:
    atm.house.processors.clear()  # type: ignore[attr-defined]
    decision = atm.draw()
    assert atm.house.denial_of(decision.attempt) == Denial.FUNDING_UNAVAILABLE


def test_a_payment_by_stripe_and_its_refund(till: Counter, localstripe: LocalStripe) -> None:
    paid = till.pay()
    assert paid.approved
    refunded = Money(amount_minor=200, currency="EUR")
    assert till.house.operations.refund(TransferId(paid.attempt.raw), refunded) is None
    till.work()
    assert till.sides() == [("posted", "captured", 500), ("posted", "refunded", 200)]
    (intent,) = localstripe.intents()
    assert intent["metadata"] == {"transfer": str(TransferId(paid.attempt.raw))}
    assert [each["amount"] for each in localstripe.refunds()] == [200]
    assert till.check() == ()
    with till.house.database.transaction() as conn:
        assert ledger.earned_minor(conn, till.house.merchant) == 300


def test_refunds_above_what_was_taken_are_the_ledgers_to_refuse(
    till: Counter, localstripe: LocalStripe
) -> None:
    """localstripe would give back any amount."""
    paid = TransferId(till.pay().attempt.raw)
    till.work()
    for amount_minor in (501, 300, 201):
        till.house.operations.refund(paid, Money(amount_minor=amount_minor, currency="EUR"))
    till.work()
    assert [each["amount"] for each in localstripe.refunds()] == [300]


@pytest.mark.parametrize("behaviour", ["lost", "unheard", "503"])
def test_the_same_evidence_again_finds_the_one_hold(
    till: Counter, network: Proxy, localstripe: LocalStripe, behaviour: str
) -> None:
    raw = till.evidence(STORE)
    network.behave(behaviour)
    assert till.send(raw) == 503
    assert till.send(raw) == 503
    network.behave("ok")
    decision = till.decide(raw)
    assert decision.approved
    assert till.decide(raw) == decision
    till.work()
    assert till.sides() == [("posted", "captured", 500)]
    assert [each["status"] for each in localstripe.intents()] == ["succeeded"]
    assert till.check() == ()


def test_nobody_comes_back_and_the_hold_is_let_go(
    till: Counter, network: Proxy, localstripe: LocalStripe
) -> None:
    raw = till.evidence(STORE)
    network.behave("lost", "ok")
    assert till.send(raw) == 503
    assert till.check() == ()
    till.work(later_ms=RESERVED_MS)
    assert till.check() == ()
    decision = till.decide(raw)
    assert (decision.approved, decision.reason) == (False, Reason.REFUSED_FOR_NOW)
    assert till.sides() == [("expired", "released", 0)]
    assert [each["status"] for each in localstripe.intents()] == ["canceled"]
    assert till.check() == ()


def test_who_comes_back_too_late_is_denied(
    till: Counter, network: Proxy, localstripe: LocalStripe
) -> None:
    raw = till.evidence(STORE)
    network.behave("lost", "ok")
    assert till.send(raw) == 503
    till.house.clock.now_ms += RESERVED_MS
    assert not till.decide(raw).approved
    till.work()
    assert till.sides() == [("expired", "released", 0)]
    assert [each["status"] for each in localstripe.intents()] == ["canceled"]


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Fragile:
    """A processor whose caller dies before or after it was asked."""

    processor: Stripe
    name = ProcessorName.STRIPE
    repeatable = True
    timeout_s = 1.0
    dies: str = ""

    def authorize(self, order: Order, source: Source) -> Answer:
        if self.dies == "before":
            raise Killed
        answer = self.processor.authorize(order, source)
        if self.dies == "after":
            raise Killed
        return answer

    def __getattr__(self, name: str) -> Callable[..., Answer]:
        found: Callable[..., Answer] = getattr(self.processor, name)
        return found


@dataclass
class Late(Fragile):
    """Answers when the reservation is over."""

    clock: Clock = field(default_factory=Clock)

    def authorize(self, order: Order, source: Source) -> Answer:
        answer = self.processor.authorize(order, source)
        self.clock.now_ms += RESERVED_MS
        return answer


@pytest.mark.parametrize("dies", ["before", "after"])
@pytest.mark.parametrize("returns", [True, False])
def test_a_service_that_dies_between_the_transactions(
    database: Database, localstripe: LocalStripe, dies: str, returns: bool
) -> None:
    fragile = Fragile(localstripe.processor())
    source = StripeSource(method=localstripe.card())
    till = open_counter(database, STORE, ProcessorName.STRIPE, fragile, source)
    raw = till.evidence(STORE)
    fragile.dies = dies
    with pytest.raises(Killed):
        till.send(raw)
    fragile.dies = ""
    assert till.send(raw) == 503, "the dead one may still be speaking"
    till.house.clock.now_ms += LEASE_MS
    if returns:
        assert till.decide(raw).approved
    till.work(later_ms=RESERVED_MS)
    expected = ("posted", "captured", 500) if returns else ("expired", "released", 0)
    assert till.sides() == [expected]
    assert till.decide(raw).approved is returns
    statuses = [each["status"] for each in localstripe.intents()]
    assert statuses in ([["succeeded"]] if returns else [["canceled"], []])
    assert till.check() == ()


def test_many_copies_at_once_are_one_hold_and_one_decision(
    till: Counter, localstripe: LocalStripe
) -> None:
    raw = till.evidence(STORE)
    with ThreadPoolExecutor(6) as threads:
        statuses = {
            future.result() for future in [threads.submit(till.send, raw) for _ in range(12)]
        }
    assert statuses <= {200, 503}
    assert till.decide(raw).approved
    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(till.work, 2, later_ms=0) for _ in range(4)]:
            future.result()
    till.work()
    assert till.sides() == [("posted", "captured", 500)]
    assert [each["status"] for each in localstripe.intents()] == ["succeeded"]


def test_a_lease_that_ran_out_changes_nothing(till: Counter, localstripe: LocalStripe) -> None:
    """The first is asked for longer than the lease; the terminal's repeat decides."""
    raw, first = till.evidence(STORE), till.house.processors[ProcessorName.STRIPE]

    @dataclass
    class Slow:
        inner: Stripe
        name = ProcessorName.STRIPE
        repeatable = True
        timeout_s = 1.0
        asked: int = 0

        def authorize(self, order: Order, source: Source) -> Answer:
            answer = self.inner.authorize(order, source)
            self.asked += 1
            if self.asked == 1:
                till.house.clock.now_ms += LEASE_MS
                assert till.decide(raw).approved
            return answer

        def __getattr__(self, name: str) -> Callable[..., Answer]:
            found: Callable[..., Answer] = getattr(self.inner, name)
            return found

    assert isinstance(first, Stripe)
    till.house.processors[ProcessorName.STRIPE] = Slow(first)  # type: ignore[index]
    assert till.send(raw) == 503
    till.work()
    assert till.sides() == [("posted", "captured", 500)]
    assert till.check() == ()


def test_money_that_comes_after_its_time_is_let_go(
    database: Database, localstripe: LocalStripe
) -> None:
    """Nobody else asked meanwhile, but what was reserved has expired."""
    late = Late(localstripe.processor())
    till = open_counter(
        database, STORE, ProcessorName.STRIPE, late, StripeSource(method=localstripe.card())
    )
    late.clock = till.house.clock
    decision = till.pay()
    assert till.house.denial_of(decision.attempt) == Denial.FUNDING_UNAVAILABLE
    till.work()
    assert till.sides() == [("expired", "released", 0)]
    assert [each["status"] for each in localstripe.intents()] == ["canceled"]
    assert till.check() == ()


def test_an_erased_account_leaves_nothing_held(
    atm: Counter, bank: Bank, database: Database
) -> None:
    bank.behave("never")
    assert not atm.draw().approved
    assert atm.house.operations.erase_account(atm.account) is not None
    with database.transaction() as conn:
        assert sources.find_source(conn, atm.account) is None
    bank.behave("ok")
    atm.work()
    assert atm.sides() == [("voided", "released", 0)]


def test_a_stripe_customer_draws_cash_from_the_wallet(
    database: Database, localstripe: LocalStripe
) -> None:
    processor = localstripe.processor()
    source = StripeSource(method=localstripe.card())
    counter = open_counter(database, ATM, ProcessorName.STRIPE, processor, source)
    counter.house.top_up(counter.account, 5000)
    assert counter.draw().approved
    assert counter.sides() == []


def test_after_detaching_the_wallet_pays(till: Counter) -> None:
    assert till.house.operations.detach_source(till.account)
    assert not till.house.operations.detach_source(till.account)
    decision = till.pay()
    assert decision.reason == Reason.INSUFFICIENT_FUNDS
    assert till.sides() == []


TAMPERED = [
    ("DELETE FROM processor_entries", "a transfer that its processor was not told of"),
    ("UPDATE processor_entries SET side = 'refused'", "posted, but not taken at the processor"),
    (
        "UPDATE processor_entries SET confirmed_minor = 1 WHERE side = 'captured'",
        "posted, but not taken at the processor",
    ),
    (
        "UPDATE processor_entries SET confirmed_minor = 1 WHERE side = 'refunded'",
        "refunded, but not by the processor",
    ),
    (
        "DELETE FROM attempts",
        "a transfer that neither an attempt nor an act explains",
    ),
]


def test_what_the_processor_does_not_have_is_named(
    till: Counter, subtests: pytest.Subtests
) -> None:
    paid = TransferId(till.pay().attempt.raw)
    till.house.operations.refund(paid, Money(amount_minor=200, currency="EUR"))
    till.work()
    assert till.check() == ()
    for statement, what in TAMPERED:
        with subtests.test(statement), till.house.database.transaction() as conn:
            conn.execute("SET LOCAL session_replication_role = replica")
            assert conn.execute(statement).rowcount > 0
            assert what in {each.what for each in check(conn)}
            conn.rollback()


def test_what_changed_at_stripe_is_seen_when_it_is_looked_at(
    till: Counter, localstripe: LocalStripe
) -> None:
    """Also what was taken twice by hand; an event may come first, last, or never."""
    till.pay()
    till.work()
    with till.house.database.transaction() as conn:
        conn.execute("UPDATE processor_entries SET side = 'authorized', confirmed_minor = 0")
        number = sources.look_again(conn, ["stripe"], since_ms=0, now_ms=till.house.clock())
    assert number == 1
    till.work()
    assert till.sides() == [("posted", "captured", 500)]


def test_no_answer_is_an_unavailable_that_says_little() -> None:
    assert Side.ASKED not in {side for side in Side if side.approved}
    assert issubclass(NoAnswer, Exception)
