"""Merchants' payments: looked up, captured, voided and refunded, and told to their systems."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from service import checkout
from service.ledger import store as ledger
from service.operators import webhook_acts
from service.operators.people import Role
from service.payments.rules import Intent, NewIntent
from service.webhooks import store as webhooks
from service.webhooks.outbox import EventKind
from service.webhooks.sender import Outcome, Try
from service.webhooks.store import Webhook
from tests.ceremony.house import CURRENCY, Device, House, enrol, payment, probe
from tests.console.visitor import Visitor, text_of
from wire.ids import AccountId, AttemptId, MerchantId, TransferId
from wire.messages import TerminalKind
from wire.money import Money

HOUR_MS = 3_600_000


@dataclass
class Shop:
    house: House
    account: AccountId
    till: Device

    @property
    def path(self) -> str:
        return f"/console/merchants/{self.house.merchant}"

    def ask(self, *, order: str = "A-1", hold_ms: int | None = None) -> Intent:
        wanted = NewIntent(
            merchant=self.house.merchant,
            money=Money(amount_minor=5000, currency=CURRENCY),
            order=order,
            terminal=self.till.terminal,
            site=None,
            hold_ms=hold_ms,
            lives_ms=HOUR_MS,
        )
        made = checkout.of(self.house.operations).create(wanted)
        assert isinstance(made, Intent)
        return made

    def pay(self, intent: Intent) -> str:
        context = self.till.waiting(intent.intent)
        assert context is not None
        assert self.till.attempt(context, probe(1)).approved
        return f"{self.path}/payments/{intent.intent}"

    def pay_by_itself(self) -> AttemptId:
        """As a terminal takes it that no system told what is to be paid."""
        decision = self.till.attempt(payment(self.house, 1200), probe(1))
        assert decision.approved
        return decision.attempt

    def money(self) -> tuple[int, int, int]:
        """The wallet's balance, what of it is held, and what the merchant earned."""
        with self.house.database.transaction() as conn:
            wallet = ledger.wallet_of(conn, self.account)
            earned_minor = ledger.earned_minor(conn, self.house.merchant)
        assert wallet is not None
        return wallet.balance_minor, wallet.held_minor, earned_minor


@pytest.fixture
def shop(house: House) -> Shop:
    account = enrol(house, 1)
    house.top_up(account, 20_000)
    return Shop(house, account, house.add_terminal(TerminalKind.STORE))


@pytest.fixture
def cashier(house: House) -> Visitor:
    return Visitor.signed_in(house, Role.MERCHANT, merchant=house.merchant)


def refund_form(visitor: Visitor, page: str, amount: str) -> dict[str, str]:
    shown = re.search(r'name="transfer" value="([^"]+)"', visitor.get(page).text)
    assert shown is not None
    return {"amount": amount, "transfer": shown[1]}


def test_a_merchant_comes_to_its_own_payments(shop: Shop, cashier: Visitor) -> None:
    assert cashier.get("/console/merchants").headers["Location"] == shop.path
    assert "No payments yet" in text_of(cashier.get(shop.path))
    shop.pay(shop.ask(order="B-7"))
    shop.pay_by_itself()
    shown = text_of(cashier.get(shop.path))
    for told in ("€50.00", "B-7", "€12.00", "captured", "Earned €62.00"):
        assert told in shown, told


def test_what_was_held_is_captured_in_part(shop: Shop, cashier: Visitor) -> None:
    page = shop.pay(shop.ask(hold_ms=HOUR_MS))
    assert "It is held, and not captured" in text_of(cashier.get(page))
    for amount in ("", "0", "-1", "1e3", "12.345", "٣", "50.01"):
        answer = cashier.post(f"{page}/capture", {"amount": amount})
        assert answer.status_code == 409, amount
        assert "Nothing was done" in text_of(answer), amount
    assert shop.money() == (20_000, 5_000, 0)
    assert cashier.post(f"{page}/capture", {"amount": "30.00"}).status_code == 303
    assert shop.money() == (17_000, 0, 3_000)
    shown = text_of(cashier.get(page))
    assert "€30.00 captured. The rest went back." in shown
    assert cashier.post(f"{page}/capture", {"amount": "1"}).status_code == 409


def test_what_was_held_is_voided(shop: Shop, cashier: Visitor) -> None:
    page = shop.pay(shop.ask(hold_ms=HOUR_MS))
    assert cashier.post(f"{page}/void").status_code == 303
    assert shop.money() == (20_000, 0, 0)
    assert "Voided: no money moved" in text_of(cashier.get(page))
    assert "voided meanwhile" in text_of(cashier.post(f"{page}/void"))


def test_what_nobody_paid_is_voided(shop: Shop, cashier: Visitor) -> None:
    page = f"{shop.path}/payments/{shop.ask().intent}"
    assert "It waits for the customer" in text_of(cashier.get(page))
    assert "Refund" not in text_of(cashier.get(page)).split("What you can do")[1]
    assert cashier.post(f"{page}/void").status_code == 303
    assert "voided" in text_of(cashier.get(page))


def test_a_refund_that_is_sent_twice_is_one(shop: Shop, cashier: Visitor) -> None:
    page = shop.pay(shop.ask())
    form = refund_form(cashier, page, "20.00")
    for _ in range(2):
        assert cashier.post(f"{page}/refund", form).status_code == 303
    assert shop.money() == (17_000, 0, 3_000)
    assert "sent before, with another amount" in text_of(
        cashier.post(f"{page}/refund", {**form, "amount": "10"})
    )
    above = cashier.post(f"{page}/refund", refund_form(cashier, page, "30.01"))
    assert "more than is left" in text_of(above)
    rest = refund_form(cashier, page, "30")
    assert cashier.post(f"{page}/refund", rest).status_code == 303
    shown = text_of(cashier.get(page))
    assert shown.count("refunded.") == 2
    assert "What you can do" not in shown


def test_a_payment_without_an_intent_is_refunded_too(shop: Shop, cashier: Visitor) -> None:
    page = f"{shop.path}/payments/{shop.pay_by_itself()}"
    form = refund_form(cashier, page, "12.00")
    for _ in range(2):
        assert cashier.post(f"{page}/refund", form).status_code == 303
    assert shop.money() == (20_000, 0, 0)
    above = cashier.post(
        f"{page}/refund", {**form, "transfer": str(TransferId.new()), "amount": "1"}
    )
    assert "more than is left" in text_of(above)
    assert cashier.post(f"{page}/void").status_code == 404


def test_a_payment_has_one_address(shop: Shop, cashier: Visitor) -> None:
    intent = shop.ask()
    page = shop.pay(intent)
    attempt = re.search(r"/console/attempts/(att_\w+)", cashier.get(page).text)
    assert attempt is not None
    assert cashier.get(f"{shop.path}/payments/{attempt[1]}").headers["Location"] == page


def test_payments_are_searched(shop: Shop, cashier: Visitor) -> None:
    paid, waiting = shop.ask(order="A-1"), shop.ask(order="A-2")
    shop.pay(paid)
    alone = shop.pay_by_itself()

    def found(query: str) -> set[str]:
        shown = cashier.get(f"{shop.path}?{query}").text
        return {str(each) for each in (paid.intent, waiting.intent, alone) if str(each) in shown}

    assert found("") == {str(paid.intent), str(waiting.intent), str(alone)}
    assert found("order=A-2") == {str(waiting.intent)}
    assert found("state=captured") == {str(paid.intent), str(alone)}
    assert found("state=open") == {str(waiting.intent)}
    assert len(found(f"terminal={shop.till.terminal}")) == 3
    assert found("from=2999-01-01T00:00") == set()
    assert "Not understood" in cashier.get(f"{shop.path}?state=x&terminal=x").text
    assert cashier.get(f"{shop.path}?after=x").status_code == 404


def test_every_page_of_payments_goes_on_where_the_last_one_ended(
    shop: Shop, cashier: Visitor
) -> None:
    made = set()
    for number in range(60):
        shop.house.clock.now_ms += 1
        made.add(str(shop.ask(order=f"N-{number}").intent))
    first = cashier.get(shop.path).text
    older = re.search(r'href="([^"]*after=[^"]*)"', first)
    assert older is not None
    rest = cashier.get(older[1]).text
    on_first = {each for each in made if each in first}
    assert len(on_first) == 50
    assert {each for each in made if each in rest} == made - on_first


def webhook_of(shop: Shop) -> Webhook:
    added = webhook_acts.of(shop.house.operations).add(
        shop.house.merchant, "https://shop.example/hook", list(EventKind), development=False
    )
    assert isinstance(added, Webhook)
    return added


def test_a_delivery_is_told_try_by_try_and_sent_again(shop: Shop, cashier: Visitor) -> None:
    hook = webhook_of(shop)
    page = f"{shop.path}/webhooks/{hook.webhook}"
    assert "Nothing was sent yet" in text_of(cashier.get(page))
    shop.pay(shop.ask())
    with shop.house.database.transaction() as conn:
        claimed = webhooks.claim(conn, hook.webhook, now_ms=shop.house.clock())
        assert claimed is not None
        failed = Try(outcome=Outcome.STATUS_NOT_2XX, status=503, duration_ms=12)
        webhooks.record(conn, claimed, failed, now_ms=shop.house.clock())
    assert "payment.captured" in text_of(cashier.get(page))
    assert "Nothing matches" in text_of(cashier.get(f"{page}?state=delivered"))
    sent = f"{page}/{claimed.delivery}"
    shown = text_of(cashier.get(sent))
    for told in ("status not 2xx", "503", "12 ms", "Next try"):
        assert told in shown, told
    again = cashier.post(f"{sent}/replay").headers["Location"]
    assert again != sent
    assert "None yet" in text_of(cashier.get(again))
    assert "shop.example" in cashier.get(f"{shop.path}/webhooks").text


def test_another_merchants_payments_and_webhooks_are_not_there(
    shop: Shop, cashier: Visitor
) -> None:
    elsewhere = shop.house.operations.add_merchant("Elsewhere", CURRENCY)
    stranger = Visitor.signed_in(shop.house, Role.MERCHANT, merchant=elsewhere)
    admin = Visitor.signed_in(shop.house, Role.ADMIN)
    hook = webhook_of(shop)
    intent = shop.ask(hold_ms=HOUR_MS)
    page = shop.pay(intent)
    with shop.house.database.transaction() as conn:
        claimed = webhooks.claim(conn, hook.webhook, now_ms=shop.house.clock())
    assert claimed is not None
    sent = f"{shop.path}/webhooks/{hook.webhook}/{claimed.delivery}"
    form = {"amount": "50", "transfer": str(TransferId.new())}
    for path in (shop.path, page, f"{shop.path}/webhooks", sent.rpartition("/")[0], sent):
        assert cashier.get(path).status_code == 200, path
        assert stranger.get(path).status_code == 404, path
        # Nor under the stranger's own name, where there is one.
        moved = path.replace(str(shop.house.merchant), str(elsewhere))
        for visitor in (stranger, admin):
            assert moved.endswith((str(elsewhere), "/webhooks")) or (
                visitor.get(moved).status_code == 404
            ), moved
    for act in ("capture", "void", "refund"):
        assert stranger.post(f"{page}/{act}", form).status_code == 404
        moved = page.replace(str(shop.house.merchant), str(elsewhere))
        assert stranger.post(f"{moved}/{act}", form).status_code == 404
    assert stranger.post(f"{sent}/replay").status_code == 404
    assert shop.money() == (20_000, 5_000, 0)


def test_a_forged_form_moves_no_money(shop: Shop, cashier: Visitor) -> None:
    page = shop.pay(shop.ask())
    form = refund_form(cashier, page, "50.00")
    assert cashier.client.post(f"{page}/refund", data=form).status_code == 400
    assert shop.money() == (15_000, 0, 5_000)


def test_merchants_are_added_by_admins(house: House) -> None:
    admin = Visitor.signed_in(house, Role.ADMIN)
    answer = admin.post("/console/merchants", {"name": "<b>مقهى</b>", "currency": "JPY"})
    shown = admin.get(answer.headers["Location"]).text
    assert "&lt;b&gt;مقهى" in shown
    for name, currency in (("", "EUR"), ("x\u202e", "EUR"), ("x", "XXX"), ("x" * 81, "EUR")):
        wrong = {"name": name, "currency": currency}
        assert admin.post("/console/merchants", wrong).status_code == 400, wrong
    assert MerchantId.parse(answer.headers["Location"].rpartition("/")[2])
