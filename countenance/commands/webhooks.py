"""``countenance webhooks``: what merchants' systems are told, and again by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.table import Table

from countenance.arguments import IdType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail
from service.operators import webhook_acts
from service.operators.pages import FIRST, PAGE_MAX, page
from service.operators.webhook_acts import Refusal
from service.webhooks import store
from service.webhooks.store import Delivery, DeliveryId, WebhookId
from wire.ids import MerchantId

LIMIT = click.option("--limit", default=50, show_default=True, type=click.IntRange(1, PAGE_MAX))


@click.group()
def webhooks() -> None:
    """Webhooks and their deliveries."""


@webhooks.command("list")
@click.argument("merchant", type=IdType(MerchantId))
@LIMIT
@as_json
def list_webhooks(merchant: MerchantId, limit: int, as_json: bool) -> None:
    """A merchant's webhooks, the newest first."""
    with open_house() as house, house.database.transaction() as conn:
        wanted = {"merchant": merchant.raw}
        found = page(conn, store.WEBHOOKS, wanted, after=FIRST, limit=limit, read=store.read)
    if as_json:
        emit_json(
            [
                {"webhook": str(each.webhook), "url": each.url, "kinds": sorted(each.kinds)}
                for each in found.items
            ]
        )
        return
    table = Table("webhook", "url", "events")
    for each in found.items:
        table.add_row(str(each.webhook), each.url, " ".join(sorted(each.kinds)))
    console.print(table)


@webhooks.command()
@click.argument("webhook", type=IdType(WebhookId))
@click.option("--state", type=click.Choice(["waiting", "delivered", "exhausted", "removed"]))
@LIMIT
@as_json
def deliveries(webhook: WebhookId, state: str | None, limit: int, as_json: bool) -> None:
    """What a webhook was sent or is to be sent, the newest first."""
    with open_house() as house, house.database.transaction() as conn:
        wanted = {"webhook": webhook.raw, "state": state}
        found = page(
            conn, store.DELIVERIES, wanted, after=FIRST, limit=limit, read=store.read_delivery
        )
    if as_json:
        emit_json([_told(each) for each in found.items])
        return
    table = Table("delivery", "event", "state", "tries", "last", "next (UTC)")
    for each in found.items:
        at = datetime.fromtimestamp(each.next_at_ms / 1000, UTC)
        due = f"{at:%Y-%m-%d %H:%M:%S}" if each.state == "waiting" else "-"
        table.add_row(
            str(each.delivery), each.kind, each.state, str(each.tries), each.last or "-", due
        )
    console.print(table)


@webhooks.command()
@click.argument("delivery", type=IdType(DeliveryId))
@as_json
def replay(delivery: DeliveryId, as_json: bool) -> None:
    """Send a delivery's event once more; the worker does it within seconds."""
    with open_house() as house:
        again = webhook_acts.of(house.operations).replay(delivery, merchant=None)
    if isinstance(again, Refusal):
        fail("No such delivery, or its webhook was removed", todo="countenance webhooks deliveries")
    if as_json:
        emit_json(_told(again))
    else:
        console.print(f"[green]✓[/] {again.delivery} is due", soft_wrap=True)


def _told(found: Delivery) -> dict[str, object]:
    return {
        "delivery": str(found.delivery),
        "event": str(found.event),
        "kind": found.kind.value,
        "state": found.state,
        "tries": found.tries,
        "last": found.last,
    }
