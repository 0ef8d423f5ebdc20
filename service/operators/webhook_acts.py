"""What merchants and operators do with webhooks; each act with its audit leaf."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from psycopg import Connection

from service.db import Row
from service.operators.recorder import Recorder
from service.webhooks import store
from service.webhooks.outbox import EventKind
from service.webhooks.sender import Outcome, Target
from service.webhooks.signing import secret_text
from service.webhooks.store import Delivery, DeliveryId, Webhook, WebhookId
from wire.ids import MerchantId


class Refusal(StrEnum):
    """Why an act was not carried out, in order of precedence."""

    WEBHOOK_UNKNOWN = "webhook_unknown"
    DELIVERY_UNKNOWN = "delivery_unknown"
    URL_NOT_ALLOWED = "url_not_allowed"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    TOO_MANY_WEBHOOKS = "too_many_webhooks"


class WebhookActs(Recorder):
    __slots__ = ()

    def add(
        self, merchant: MerchantId, url: str, kinds: Sequence[EventKind], *, development: bool
    ) -> Webhook | Refusal:
        target = Target.parse(url, development=development)
        if isinstance(target, Outcome):
            return Refusal(target.value)
        webhook = WebhookId.new()

        def work(conn: Connection[Row]) -> Webhook | Refusal:
            added = store.add(conn, webhook, merchant, url, kinds, now_ms=self.clock())
            found = store.find(conn, webhook)
            if not added or found is None:
                return Refusal.TOO_MANY_WEBHOOKS
            self._record(conn, "webhook.add", webhook)
            return found

        return self.database.run(work)

    def secret(self, webhook: Webhook) -> str:
        """The secret that its events are signed with from now on."""
        return secret_text(self.keys.webhook_secret(webhook.webhook.raw, webhook.secret_version))

    def rotate(
        self, merchant: MerchantId, webhook: WebhookId, *, overlap_ms: int
    ) -> Webhook | Refusal:
        def work(conn: Connection[Row]) -> Webhook | Refusal:
            found = self._find(conn, merchant, webhook)
            if found is None:
                return Refusal.WEBHOOK_UNKNOWN
            store.rotate(conn, webhook, overlap_ms=overlap_ms, now_ms=self.clock())
            self._record(conn, "webhook.rotate", webhook)
            return store.find(conn, webhook) or Refusal.WEBHOOK_UNKNOWN

        return self.database.run(work)

    def remove(self, merchant: MerchantId, webhook: WebhookId) -> Refusal | None:
        def work(conn: Connection[Row]) -> Refusal | None:
            if self._find(conn, merchant, webhook) is None:
                return Refusal.WEBHOOK_UNKNOWN
            store.remove(conn, webhook, now_ms=self.clock())
            self._record(conn, "webhook.remove", webhook)
            return None

        return self.database.run(work)

    def replay(self, delivery: DeliveryId, *, merchant: MerchantId | None) -> Delivery | Refusal:
        """Sends a delivery's event once more; ``merchant`` None: whosever it is."""

        def work(conn: Connection[Row]) -> Delivery | Refusal:
            found = store.find_delivery(conn, delivery)
            webhook = store.find(conn, found.webhook) if found else None
            if found is None or webhook is None or merchant not in (None, webhook.merchant):
                return Refusal.DELIVERY_UNKNOWN
            again = store.replay(conn, found, now_ms=self.clock())
            self._record(conn, "webhook.replay", again)
            return store.find_delivery(conn, again) or Refusal.DELIVERY_UNKNOWN

        return self.database.run(work)

    def _find(
        self, conn: Connection[Row], merchant: MerchantId, webhook: WebhookId
    ) -> Webhook | None:
        found = store.find(conn, webhook)
        return found if found and found.merchant == merchant else None


def of(acts: Recorder) -> WebhookActs:
    """The same actor, database and keys, for webhooks."""
    return WebhookActs(acts.database, acts.keys, acts.clock, acts.actor)
