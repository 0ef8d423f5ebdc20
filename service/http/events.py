"""Events that Stripe sends: signed, taken once, and only a reason to ask Stripe.

Guarantee: nothing of an event but its id and the transfer that it names has any effect, so events
may come twice, late, in any order or never; the ids of those that were taken are kept.
"""

from __future__ import annotations

from flask import Blueprint, Response, current_app, request

from service.clock import unix_ms
from service.db import Database
from service.ledger import sources

event_api = Blueprint("event_api", __name__, url_prefix="/v1/events")


@event_api.post("/stripe")
def take_event() -> Response:
    """200 for what was taken, now or before; 400 for what Stripe did not sign of late."""
    from service.funding.stripe import read_event  # noqa: PLC0415 - an extra

    signature = request.headers.get("Stripe-Signature", "")
    secret: str = current_app.extensions["stripe_webhook_secret"]
    now_ms = unix_ms()
    try:
        found = read_event(request.get_data(cache=False), signature, secret, now_ms=now_ms)
    except ValueError:
        return Response("not an event of Stripe's\n", 400, content_type="text/plain")
    database: Database = current_app.extensions["events"]
    with database.transaction() as conn:
        sources.note_event(conn, found.event, found.transfer, now_ms=now_ms)
    return Response("taken\n", content_type="text/plain")
