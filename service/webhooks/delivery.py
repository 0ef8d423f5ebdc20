"""Sends a webhook what is due for it.

Guarantees: no transaction is open while the network is waited for; a receiver that does not
answer keeps one worker for ``DEADLINE_S`` at most, and is then left alone for 30 s, ever longer
while it fails, up to 15 minutes; whoever dies in between leaves a reservation that ends by
itself. Every event is sent at least once, the oldest first, and again where the answer was lost.
"""

from __future__ import annotations

from service.clock import Clock
from service.db import Database
from service.keys import KeyRing
from service.webhooks import signing, store
from service.webhooks.sender import Outcome, Sender, Try
from service.webhooks.signing import secret_text
from service.webhooks.store import Claimed, Webhook, WebhookId

RESERVED_MS = 30_000
BUDGET_MS = 4_000


def deliver(
    database: Database, keys: KeyRing, sender: Sender, webhook: WebhookId, clock: Clock
) -> int:
    """Sends one after the other until none is due, one fails, or the time is over.

    Returns how many were delivered.
    """
    began_ms, done, failed = clock(), 0, False
    with database.transaction() as conn:
        if not store.reserve(conn, webhook, for_ms=RESERVED_MS, now_ms=began_ms):
            return 0
        store.give_up(conn, webhook, now_ms=began_ms)
    while clock() - began_ms < BUDGET_MS:
        now_ms = clock()
        with database.transaction() as conn:
            found = store.find(conn, webhook)
            claimed = store.claim(conn, webhook, now_ms=now_ms) if found else None
        if found is None or claimed is None:
            break
        made = _send(keys, sender, found, claimed, now_ms)
        with database.transaction() as conn:
            store.record(conn, claimed, made, now_ms=now_ms)
        if made.outcome is not Outcome.DELIVERED:
            failed = True
            break
        done += 1
    with database.transaction() as conn:
        until_ms = clock() + (store.pause_ms(conn, webhook) if failed else 0)
        store.release(conn, webhook, reserved_until_ms=began_ms + RESERVED_MS, until_ms=until_ms)
    return done


def _send(keys: KeyRing, sender: Sender, found: Webhook, claimed: Claimed, now_ms: int) -> Try:
    secrets = [
        secret_text(keys.webhook_secret(found.webhook.raw, version))
        for version in found.versions(now_ms)
    ]
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "countenance-webhooks",
        signing.HEADER: signing.sign(claimed.body, secrets, at_s=now_ms // 1000),
    }
    return sender.post(found.url, claimed.body, headers)
