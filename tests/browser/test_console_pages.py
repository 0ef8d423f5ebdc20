"""Every page of the console as somebody sees it: at a desktop's and a phone's width, by axe-core,
and light enough. With COUNTENANCE_PICTURES=folder, each is kept there as a picture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from service.db import Database
from service.operators.people import Role
from service.webhooks.store import DeliveryId, WebhookId
from tests.browser.conftest import DESKTOP, PHONE, Authenticator, PageAt
from tests.browser.console_house import Busy, join
from tests.browser.pictures import look
from tests.ceremony.house import House
from wire.ids import AttemptId

BYTES_MAX = 200_000


@pytest.fixture
def busy(database: Database, serve: Callable[..., str]) -> Busy:
    return Busy.open(House(database), serve)


def paths(busy: Busy) -> dict[str, str]:
    house = busy.house
    merchant = f"/console/merchants/{house.merchant}"
    with house.database.transaction() as conn:
        ids = {
            table: bytes(conn.execute(f"SELECT {table}_id FROM {of} LIMIT 1").fetchall()[0][0])
            for table, of in (("webhook", "webhooks"), ("delivery", "webhook_deliveries"))
        }
        attempt = conn.execute(
            "SELECT attempt_id FROM attempts WHERE denial IS NOT NULL LIMIT 1"
        ).fetchall()[0][0]
    hook = f"{merchant}/webhooks/{WebhookId(ids['webhook'])}"
    return {
        "overview": "/console",
        "attempts": "/console/attempts",
        "attempts-none": "/console/attempts?from=2999-01-01T00:00",
        "attempt": f"/console/attempts/{AttemptId(attempt)}",
        "accounts": "/console/accounts",
        "account": f"/console/accounts/{busy.account}",
        "merchants": "/console/merchants",
        "merchant": merchant,
        "payment-held": f"{merchant}/payments/{busy.held.intent}",
        "payment-paid": f"{merchant}/payments/{busy.paid.intent}",
        "webhooks": f"{merchant}/webhooks",
        "webhook": hook,
        "delivery": f"{hook}/{DeliveryId(ids['delivery'])}",
        "doors": "/console/doors",
        "door": f"/console/doors/{house.door}?account={busy.account}&direction=in",
        "grant": f"/console/places/{house.door}/grants/{busy.account}",
        "terminals": "/console/terminals",
        "terminal": f"/console/terminals/{busy.till.terminal}",
        "terminal-new": "/console/terminals/new",
        "policies": "/console/policies",
        "policy-new": "/console/policies/new",
        "calibration": "/console/calibration",
        "liveness": "/console/liveness",
        "audit": "/console/audit",
        "operators": "/console/operators",
        "nowhere": "/console/nowhere",
    }


@pytest.mark.parametrize(("width", "language"), [(DESKTOP, "en"), (PHONE, "en"), (PHONE, "zh")])
def test_every_page(
    busy: Busy,
    page_at: PageAt,
    axe: Callable[[Page], None],
    authenticator: Authenticator,
    width: int,
    language: str,
) -> None:
    page = page_at(width, language=language)
    authenticator(page)
    page.goto(f"{busy.url}/console/sign-in")
    wrong = look(page, f"sign-in-{language}", axe)
    join(page, busy.invite(Role.ADMIN))
    weight = [0]
    page.on("requestfinished", lambda request: weight.append(request.sizes()["responseBodySize"]))
    for name, path in paths(busy).items():
        weight.clear()
        page.goto(busy.url + path, wait_until="load")
        wrong += look(page, f"{name}-{language}", axe)
        if sum(weight) > BYTES_MAX:
            wrong.append(f"{name} weighs {sum(weight)} bytes")
        assert page.locator("html").get_attribute("lang") == language
    assert not wrong, "\n".join(wrong)
