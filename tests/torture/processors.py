"""Outside money in the torture: a bank's host and Stripe's stand-in, which misbehave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from psycopg import Connection

from countenance.house import House
from service.db import Row
from service.funding.processor import Source, StripeSource
from service.funding.sources import read_card
from tests.funding.conftest import KEY, Bank, LocalStripe, open_bank, open_localstripe
from tests.funding.proxy import Proxy, open_proxy
from tests.torture.parts import BankHost, Part, Stripe
from wire.ids import AccountId

CARD = "4242 4242 4242 4242"


@dataclass(frozen=True, slots=True)
class Outside:
    """Open before the service, whose settings name them."""

    bank: Bank
    stripe: LocalStripe
    network: Proxy

    def parts(self) -> list[Part]:
        return [BankHost(self.bank), Stripe(self.network)]

    def attach(self, house: House, account: AccountId, *, to_bank: bool) -> None:
        source: Source = (
            read_card(CARD, "12/34") if to_bank else StripeSource(method=self.stripe.card())
        )
        assert house.operations.attach_source(account, source, house.processors) is None

    def prove(self, conn: Connection[Row]) -> list[str]:
        """Both sides' own books beside the ledger's."""
        found, books = [], self.bank.books
        posted_minor = conn.execute(
            """SELECT coalesce(sum(coalesce(posted_minor, amount_minor)), 0)::bigint FROM transfers
            JOIN processor_entries USING (transfer_id)
            WHERE processor = 'iso8583' AND state = 'posted'"""
        ).fetchone()
        taken_minor = sum(books["taken"].values())
        if posted_minor != (taken_minor,) or books["held"]:
            found.append(f"the bank took {taken_minor} and holds {books['held']}: {posted_minor}")
        rows = conn.execute(
            """SELECT reference, state, coalesce(posted_minor, amount_minor) FROM transfers
            JOIN processor_entries USING (transfer_id)
            WHERE processor = 'stripe' AND reference IS NOT NULL"""
        ).fetchall()
        for reference, state, amount_minor in rows:
            intent = self.stripe.ask("GET", f"/v1/payment_intents/{reference}")
            took = intent["status"] == "succeeded"
            if took != (state == "posted") or (took and intent["amount"] != amount_minor):
                found.append(f"{reference} is {intent['status']} at Stripe and {state} here")
        return found


@contextmanager
def open_outside(folder: Path) -> Iterator[Outside]:
    with ExitStack() as stack:
        bank = stack.enter_context(open_bank())
        stripe = stack.enter_context(open_localstripe(folder))
        network = stack.enter_context(open_proxy(stripe.url))
        settings = {
            "COUNTENANCE_ISO8583_URL": f"tcp://127.0.0.1:{bank.port}",
            "COUNTENANCE_STRIPE_KEY": KEY,
            "COUNTENANCE_STRIPE_URL": network.url,
        }
        stack.enter_context(mock.patch.dict(os.environ, settings))
        yield Outside(bank, stripe, network)
