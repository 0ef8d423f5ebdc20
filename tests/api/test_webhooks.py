"""Webhooks: signed, in order, tried for three days, replayed; never another merchant's."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

from countenance.cli import main
from docs.examples.countenance_client import SignatureError, verify_event
from service.operators.tokens import MERCHANT_SCOPES
from service.webhooks import delivery, store
from service.webhooks.delivery import RESERVED_MS
from service.webhooks.sender import Sender, Try
from service.webhooks.store import DELAYS_MS, KEPT_MS, PAUSE_MS, PAUSE_MS_MAX, WebhookId
from tests.api.client import Client, problem_of
from tests.api.receiver import Receiver, receiver
from tests.api.shop import Shop, shop
from tests.ceremony.house import CURRENCY

__all__ = ["receiver", "shop"]


@dataclass
class Hooked:
    """A shop with a webhook."""

    shop: Shop
    path: str
    webhook: WebhookId
    secret: str

    def deliver(self, sender: Sender | None = None) -> int:
        house = self.shop.house
        own = sender or Sender(development=True)
        return delivery.deliver(house.database, house.keys, own, self.webhook, house.clock)

    def due(self) -> list[WebhookId]:
        with self.shop.house.database.transaction() as conn:
            return store.due(conn, now_ms=self.shop.house.clock())

    def deliveries(self) -> list[dict[str, Any]]:
        return list(self.shop.api.get(f"{self.path}/{self.webhook}/deliveries").json["items"])

    def tries(self) -> list[dict[str, Any]]:
        (one,) = self.deliveries()
        path = f"{self.path}/{self.webhook}/deliveries/{one['delivery']}"
        return list(self.shop.api.get(path).json["tries"])


def hook(shop: Shop, url: str, **more: Any) -> Hooked:
    """As the API makes one in development, where it may be on this machine."""
    shop.house.app.extensions["development"] = True
    path = f"/merchants/{shop.house.merchant}/webhooks"
    answer = shop.api.post(path, json={"url": url, **more})
    assert answer.status_code == 201, answer.data
    webhook = WebhookId.parse(answer.json["webhook"]["webhook"])
    return Hooked(shop, path, webhook, answer.json["secret"])


@pytest.fixture
def hooked(shop: Shop, receiver: Receiver) -> Hooked:
    return hook(shop, receiver.url)


def test_what_happens_is_sent_signed_and_in_order(hooked: Hooked, receiver: Receiver) -> None:
    shop = hooked.shop
    intent = shop.authorized()
    for act, amount_minor in (("capture", 3000), ("refunds", 500)):
        shop.house.clock.now_ms += 1
        shop.act(intent, act, {"amount_minor": amount_minor})
    assert hooked.due() == [hooked.webhook]
    assert hooked.deliver() == 3
    now_s = shop.house.clock() // 1000
    events = [
        verify_event(body, headers["Countenance-Signature"], [hooked.secret], now_s=now_s)
        for headers, body in receiver.got
    ]
    assert [event["kind"].removeprefix("payment.") for event in events] == [
        "authorized", "captured", "refunded",
    ]  # fmt: skip
    said = [event["payment_intent"] for event in events]
    assert [each["state"] for each in said] == ["authorized", "captured", "captured"]
    assert said[1]["captured_minor"] == 3000
    assert said[2] == shop.show(intent)
    assert hooked.due() == []
    assert hooked.deliver() == 0
    assert {each["state"] for each in hooked.deliveries()} == {"delivered"}
    listed = shop.api.get(f"/merchants/{shop.house.merchant}/events").json["items"]
    assert {row["body"] for row in listed} == {body.decode() for _, body in receiver.got}


def test_a_webhook_gets_the_kinds_that_it_asked_for(shop: Shop, receiver: Receiver) -> None:
    hooked = hook(shop, receiver.url, kinds=["payment.voided", "payment.voided"])
    shop.voided()
    shop.captured()
    assert hooked.deliver() == 1
    assert [json.loads(body)["kind"] for _, body in receiver.got] == ["payment.voided"]


def test_a_signature_is_refused_when_wrong_old_or_of_another_body(
    hooked: Hooked, receiver: Receiver
) -> None:
    hooked.shop.captured()
    hooked.deliver()
    ((headers, body),) = receiver.got
    header, now_s = headers["Countenance-Signature"], hooked.shop.house.clock() // 1000
    assert verify_event(body, header, [hooked.secret], now_s=now_s)
    for said, mark, secret, at_s in (
        (body + b" ", header, hooked.secret, now_s),
        (body, header.replace("v1=", "v1=0"), hooked.secret, now_s),
        (body, header, "whsec_other", now_s),
        (body, header, hooked.secret, now_s + 301),
        (body, header, hooked.secret, now_s - 301),
        (body, header.partition(",")[2], hooked.secret, now_s),
        (body, "", hooked.secret, now_s),
        (body, "t=x,v1=y", hooked.secret, now_s),
    ):
        with pytest.raises(SignatureError):
            verify_event(said, mark, [secret], now_s=at_s)


def test_two_secrets_sign_while_one_is_rotated(hooked: Hooked, receiver: Receiver) -> None:
    shop = hooked.shop
    path = f"{hooked.path}/{hooked.webhook}/rotate"
    answer = shop.api.post(path, json={"overlap_ms": 60_000})
    assert answer.status_code == 200
    fresh = answer.json["secret"]
    assert fresh != hooked.secret

    def accepts(secret: str) -> bool:
        headers, body = receiver.got[-1]
        now_s = shop.house.clock() // 1000
        try:
            verify_event(body, headers["Countenance-Signature"], [secret], now_s=now_s)
        except SignatureError:
            return False
        return True

    shop.voided()
    assert hooked.deliver() == 1
    assert (accepts(hooked.secret), accepts(fresh)) == (True, True)
    shop.house.clock.now_ms += 60_000
    shop.voided()
    assert hooked.deliver() == 1
    assert (accepts(hooked.secret), accepts(fresh)) == (False, True)


def test_what_fails_is_tried_over_three_days_then_given_up(
    hooked: Hooked, receiver: Receiver
) -> None:
    clock, receiver.status = hooked.shop.house.clock, 500
    hooked.shop.voided()
    began_ms = clock.now_ms
    for delay_ms in DELAYS_MS:
        assert hooked.deliver() == 0
        clock.now_ms += max(delay_ms, PAUSE_MS)
    assert [each["state"] for each in hooked.deliveries()] == ["waiting"]
    assert hooked.deliver() == 0
    (one,) = hooked.deliveries()
    assert (one["state"], one["tries"], one["last"]) == ("exhausted", 13, "status_not_2xx")
    assert 0 <= clock.now_ms - began_ms - 3 * 24 * 3_600_000 < PAUSE_MS
    tries = hooked.tries()
    assert [(each["number"], each["status"]) for each in tries] == [
        (number, 500) for number in range(1, 14)
    ]
    assert len(receiver.got) == 13
    assert len({body for _, body in receiver.got}) == 1
    clock.now_ms += 10**9
    assert hooked.due() == []


def test_a_delivery_is_replayed_by_hand(
    hooked: Hooked,
    receiver: Receiver,
    url: str,
    tmp_path: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hooked.shop.voided()
    assert hooked.deliver() == 1
    (one,) = hooked.deliveries()
    path = f"{hooked.path}/{hooked.webhook}/deliveries/{one['delivery']}/replay"
    assert hooked.shop.api.post(path).status_code == 201
    monkeypatch.setenv("COUNTENANCE_DATABASE_URL", url)
    monkeypatch.setenv("COUNTENANCE_HOME", str(tmp_path))

    def run(*words: str) -> str:
        result = CliRunner().invoke(main, ["webhooks", *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert receiver.url in run("list", str(hooked.shop.house.merchant), "--json")
    assert one["delivery"] in run("deliveries", str(hooked.webhook), "--json")
    # The command goes by the wall clock, which here is behind the house's.
    assert '"state":"waiting"' in run("replay", one["delivery"], "--json")
    assert hooked.deliver() == 2
    assert len({body for _, body in receiver.got}) == 1
    assert len(receiver.got) == len(hooked.deliveries()) == 3


def test_a_receiver_that_fails_is_left_alone_for_a_while(
    hooked: Hooked, receiver: Receiver
) -> None:
    receiver.status = 503
    hooked.shop.voided()
    hooked.shop.voided()
    hooked.deliver()
    assert len(receiver.got) == 1
    assert hooked.due() == []
    assert hooked.deliver() == 0
    receiver.status = 200
    hooked.shop.house.clock.now_ms += PAUSE_MS
    assert hooked.due() == [hooked.webhook]
    assert hooked.deliver() == 2


def test_a_receiver_that_stays_down_is_asked_ever_more_rarely_and_given_up_in_time(
    hooked: Hooked, receiver: Receiver
) -> None:
    clock, receiver.status = hooked.shop.house.clock, 500
    for _ in range(5):
        hooked.shop.voided()
    began_ms, asked = clock.now_ms, 0
    while clock.now_ms < began_ms + 1_800_000:
        asked += len(hooked.due())
        hooked.deliver()
        clock.now_ms += PAUSE_MS
    assert len(receiver.got) == asked < 20
    while len(receiver.got) < 20:
        hooked.deliver()
        clock.now_ms += PAUSE_MS_MAX
    clock.now_ms = began_ms + KEPT_MS + 10_000
    hooked.deliver()
    states = [each["state"] for each in hooked.deliveries()]
    assert states == ["exhausted"] * 5
    receiver.status = 200
    clock.now_ms += PAUSE_MS_MAX
    hooked.deliver()
    assert "waiting" not in [each["state"] for each in hooked.deliveries()]


def test_workers_at_once_send_each_event_once(hooked: Hooked, receiver: Receiver) -> None:
    for _ in range(3):
        hooked.shop.voided()
    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(hooked.deliver) for _ in range(6)]
        assert sum(each.result() for each in done) == 3
    assert len(receiver.got) == len({body for _, body in receiver.got}) == 3


def test_what_a_worker_that_died_had_begun_is_sent_by_the_next(
    hooked: Hooked, receiver: Receiver
) -> None:
    class DiedError(BaseException):
        pass

    class Deadly(Sender):
        def post(self, *_: object) -> Try:
            raise DiedError

    hooked.shop.voided()
    with pytest.raises(DiedError):
        hooked.deliver(Deadly(development=True))
    assert hooked.deliver() == 0
    hooked.shop.house.clock.now_ms += max(RESERVED_MS, DELAYS_MS[0])
    assert hooked.due() == [hooked.webhook]
    assert hooked.deliver() == 1
    assert [each["number"] for each in hooked.tries()] == [2]


def test_a_webhook_that_is_removed_is_sent_nothing_more(hooked: Hooked, receiver: Receiver) -> None:
    hooked.shop.voided()
    path = f"{hooked.path}/{hooked.webhook}"
    assert hooked.shop.api.send("DELETE", path).status_code == 204
    assert hooked.due() == []
    assert hooked.deliver() == 0
    assert hooked.shop.api.send("DELETE", path).status_code == 404
    hooked.shop.voided()
    assert hooked.due() == []
    assert receiver.got == []


def test_urls_and_numbers_are_refused_by_name(shop: Shop) -> None:
    path = f"/merchants/{shop.house.merchant}/webhooks"
    for url, code in (
        ("http://shop.example/hook", "url_not_allowed"),
        ("https://user:word@shop.example/", "url_not_allowed"),
        ("https://10.0.0.1/hook", "address_not_allowed"),
        ("https://127.0.0.1/hook", "address_not_allowed"),
        ("ftp://shop.example/", "invalid"),
    ):
        assert problem_of(shop.api.post(path, json={"url": url})) == code
    for body in ({"url": "https://shop.example/", "kinds": []}, {"url": 5}, {}):
        assert problem_of(shop.api.post(path, json=body)) == "invalid"
    for _ in range(store.WEBHOOKS_MAX):
        assert shop.api.post(path, json={"url": "https://shop.example/"}).status_code == 201
    answer = shop.api.post(path, json={"url": "https://shop.example/"})
    assert (answer.status_code, problem_of(answer)) == (409, "too_many_webhooks")


def test_another_merchants_webhooks_are_not_there(hooked: Hooked) -> None:
    shop = hooked.shop
    shop.voided()
    (one,) = hooked.deliveries()
    other = shop.house.operations.add_merchant("Other", CURRENCY)
    stranger = Client.of(shop.house, *MERCHANT_SCOPES, merchant=other)
    for base in (hooked.path, f"/merchants/{other}/webhooks"):
        mine = f"{base}/{hooked.webhook}"
        for answer in (
            stranger.send("DELETE", mine),
            stranger.post(f"{mine}/rotate", json={}),
            stranger.get(f"{mine}/deliveries"),
            stranger.get(f"{mine}/deliveries/{one['delivery']}"),
            stranger.post(f"{mine}/deliveries/{one['delivery']}/replay"),
        ):
            assert (answer.status_code, problem_of(answer)) == (404, "not_found")
    for path in (hooked.path, f"/merchants/{shop.house.merchant}/events"):
        assert problem_of(stranger.get(path)) == "not_found"
    assert stranger.get(f"/merchants/{other}/webhooks").json["items"] == []


def test_no_secret_is_in_the_database(hooked: Hooked) -> None:
    with hooked.shop.house.database.transaction() as conn:
        for table in ("webhooks", "idempotency_keys", "events"):
            rows = str(conn.execute(f"SELECT to_jsonb(t)::text FROM {table} t").fetchall())
            assert hooked.secret not in rows
            assert hooked.secret.encode().hex() not in rows
