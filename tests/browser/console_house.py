"""A house where something happened, with names that are long, and that run from right to left."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from flask import Flask
from playwright.sync_api import Page

from access.rules import Mode
from service import checkout
from service.audit import log
from service.customers import acts as customers
from service.operators import door_records, staff, webhook_acts
from service.operators.pages import FIRST
from service.operators.people import OperatorId, Role
from service.operators.proposals import ProposalId
from service.passkeys import RelyingParty
from service.payments.rules import Intent, NewIntent
from service.terminals import standing
from service.verification.policy import Policy, default_policy
from service.webhooks import store as webhooks
from service.webhooks.outbox import EventKind
from service.webhooks.sender import Outcome, Try
from tests.ceremony.house import CURRENCY, Device, House, enrol, entry, payment, probe
from tests.ceremony.test_door_events import records, send
from wire.bundle import DoorBeat
from wire.ids import AccountId, MerchantId
from wire.messages import TerminalKind
from wire.money import Money

HOUR_MS = 3_600_000
LONG = "Bäckerei-und-Konditorei-am-Marktplatz-seit-1889-Inhaberin-Friederike-Müllerstein"[:80]
RIGHT_TO_LEFT = "مقهى الزيتون — שלום"


@dataclass
class Site:
    """A house that a browser finds."""

    house: House
    url: str

    @classmethod
    def serve(cls, house: House, serve: Callable[[Flask], str]) -> Site:
        url = serve(house.app)
        house.app.extensions["relying_party"] = RelyingParty(url)
        return Site(house, url)

    def add_operator(
        self, *roles: Role, name: str = "Ada", merchant: MerchantId | None = None
    ) -> tuple[OperatorId, str]:
        """With the link of the invitation."""
        acts = staff.of(self.house.operations)
        operator, code = acts.add_operator(name, set(roles), merchant=merchant)
        return operator, f"{self.url}/console/join/{code}"

    def invite(self, *roles: Role, name: str = "Ada", merchant: MerchantId | None = None) -> str:
        return self.add_operator(*roles, name=name, merchant=merchant)[1]

    def customer_link(self, account: AccountId) -> str:
        return f"{self.url}/me/enter#{customers.of(self.house.operations).make_link(account)}"

    def integrate(self) -> None:
        with self.house.database.transaction() as conn:
            log.integrate(conn, self.house.keys.log, now_ms=self.house.clock())


@dataclass
class Busy(Site):
    account: AccountId
    till: Device
    gate: Device
    held: Intent
    paid: Intent

    @classmethod
    def open(cls, house: House, serve: Callable[[Flask], str]) -> Busy:
        url = Site.serve(house, serve).url
        account = enrol(house, 1)
        enrol(house, 2)
        house.top_up(account, 100_000)
        till, gate = (house.add_terminal(kind) for kind in (TerminalKind.STORE, TerminalKind.DOOR))
        busy = cls(house, url, account, till, gate, *[None] * 2)  # type: ignore[arg-type]
        webhook_acts.of(house.operations).add(
            house.merchant, "https://shop.example/hook", list(EventKind), development=False
        )
        for number in range(8):
            house.clock.now_ms += HOUR_MS
            till.attempt(payment(house, 500 + 250 * number), probe(1 + number % 3, claim="card:1"))
        busy.held = busy._pay(hold_ms=24 * HOUR_MS, order=RIGHT_TO_LEFT)
        busy.paid = busy._pay(order=LONG)
        busy._tell()
        busy._use_doors()
        house.operations.add_merchant(LONG, "USD")
        house.operations.add_merchant(RIGHT_TO_LEFT, "JPY")
        house.operations.add_terminal(
            TerminalKind.STORE, RIGHT_TO_LEFT, merchant=house.merchant, site=LONG
        )
        busy.integrate()
        return busy

    def _pay(self, *, hold_ms: int | None = None, order: str) -> Intent:
        acts = checkout.of(self.house.operations)
        wanted = NewIntent(
            merchant=self.house.merchant,
            money=Money(amount_minor=4250, currency=CURRENCY),
            order=order,
            terminal=self.till.terminal,
            site=None,
            hold_ms=hold_ms,
            lives_ms=HOUR_MS,
        )
        made = acts.create(wanted)
        assert isinstance(made, Intent)
        context = self.till.waiting(made.intent)
        assert context is not None
        assert self.till.attempt(context, probe(1)).approved
        return made

    def _tell(self) -> None:
        """One event could not be delivered; another waits."""
        house = self.house
        with house.database.transaction() as conn:
            (raw,) = conn.execute("SELECT webhook_id FROM webhooks").fetchall()[0]
            hook = webhooks.WebhookId(raw)
            claimed = webhooks.claim(conn, hook, now_ms=house.clock())
            assert claimed is not None
            made = Try(outcome=Outcome.STATUS_NOT_2XX, status=503, duration_ms=212)
            webhooks.record(conn, claimed, made, now_ms=house.clock())

    def _use_doors(self) -> None:
        house = self.house
        house.grant(self.account, "Mon-Fri 08:00-18:00; Sat 09:00-13:00; Hol 10:00-12:00")
        told = [replace(each, at_ms=house.clock() + each.sequence * 7000) for each in records(7)]
        assert send(self.gate, told, 0, len(told)).status_code == 200
        house.operations.add_door(LONG)
        self.gate.attempt(entry(house), probe(1))
        self.beat()

    def beat(self) -> None:
        """Of a door without a picture, by a wrong clock."""
        beat = DoorBeat(
            terminal=self.gate.terminal,
            nonce=bytes(32),
            at_ms=self.house.clock() - 200_000,
            bundle=0,
            sequence=7,
            head=bytes(32),
            waiting=3,
            camera=False,
            lock=True,
        )
        with self.house.database.transaction() as conn:
            standing.keep_beat(conn, beat, now_ms=self.house.clock())

    def propose_policy(self, operator: OperatorId) -> ProposalId:
        """That the least payment takes a PIN, too."""
        changed = json.loads(default_policy().to_document())
        changed["tiers"]["payment"][0]["pin"] = True
        policy = Policy.from_document(json.dumps(changed))
        acts = replace(self.house.operations, actor=operator)
        return staff.of(acts).propose_policy(policy, 1, RIGHT_TO_LEFT)

    def lock_down(self) -> None:
        with self.house.database.transaction() as conn:
            sites = door_records.list_sites(conn, after=FIRST, limit=1).items
        assert self.house.operations.set_mode(sites[0].site, Mode.LOCKDOWN)

    def give_role(self, operator: OperatorId, role: Role) -> None:
        """In the database: no operator's roles change."""
        with self.house.database.transaction() as conn:
            conn.execute(
                "UPDATE operators SET roles = %s WHERE operator_id = %s", ([role], operator.raw)
            )


def join(page: Page, link: str) -> None:
    """By an invitation: makes a passkey, keeps the codes, signs in."""
    page.goto(link)
    page.locator("main form button").click()
    page.wait_for_load_state()
    page.locator("[data-passkey=create] button").click()
    page.locator("main a.button.primary").click()
    page.wait_for_load_state()
    page.locator("[data-passkey=get] button").click()
    page.wait_for_url(re.compile(r"/console(\?.*)?$"))
