"""``docs/ledger.md`` names every account, transfer, refusal, limit and finding."""

from __future__ import annotations

from pathlib import Path

from service.db import TRIES_MAX
from service.ledger import check
from service.ledger.limits import DAY_MS, Ceiling, default_limits
from service.ledger.rules import (
    _DENIAL,
    ROUTES,
    TWO_PHASE,
    AccountKind,
    CloseRefusal,
    Refusal,
    TransferKind,
)

DOCUMENT = Path(__file__).parents[3].joinpath("docs", "ledger.md").read_text()
ONE_LINE = " ".join(DOCUMENT.split())


def table(heading: str) -> list[list[str]]:
    """The rows of the first table after a heading, without its two head lines."""
    lines = DOCUMENT.partition(f"\n{heading}\n")[2].splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


def test_the_accounts() -> None:
    assert [row[0] for row in table("## Accounts")] == [f"`{kind}`" for kind in AccountKind]


def test_the_transfers_and_their_ways() -> None:
    rows = {row[0]: row[1:] for row in table("## Transfers")}
    assert list(rows) == [f"`{kind}`" for kind in TransferKind]
    for kind, routes in ROUTES.items():
        debits, credits_, phases, refers = rows[f"`{kind}`"]
        assert phases == ("yes" if kind in TWO_PHASE else "no")
        assert (refers == "-") == (kind.value in ("top_up", "payment", "withdrawal", "payout"))
        if kind is not TransferKind.CORRECTION:
            assert set(debits.split(", ")) == {debit.value for debit, _ in routes}
            assert set(credits_.split(", ")) == {credit.value for _, credit in routes}


def test_the_refusals_in_order() -> None:
    told = [[f"`{each}`", f"`{_DENIAL[each]}`" if each in _DENIAL else "-"] for each in Refusal]
    assert table("### Refusals") == told
    assert ", ".join(f"`{each}`" for each in list(CloseRefusal)[:-1]) in ONE_LINE
    assert f"or `{list(CloseRefusal)[-1]}`" in ONE_LINE


def test_the_limits() -> None:
    rows = []
    for purpose, limits in default_limits().items():
        for scope in ("account", "merchant", "terminal"):
            ceiling: Ceiling = getattr(limits, scope)
            assert ceiling.transfer_minor is None
            if ceiling == Ceiling():
                continue
            most = [ceiling.day_minor, ceiling.month_minor]
            velocity = ", ".join(
                f"{each.transfers} in "
                + (
                    "24 hours"
                    if each.within_ms == DAY_MS
                    else f"{each.within_ms // 60_000} minutes"
                )
                for each in limits.velocity
            )
            rows.append(
                [purpose, scope]
                + [f"{minor / 100:,.2f}" if minor else "-" for minor in most]
                + [velocity if scope == "account" else "-"]
            )
    assert table("## Limits") == rows


def test_the_findings() -> None:
    found = [
        *check._OF_TRANSFERS,
        *check._OF_ACCOUNTS,
        *check._OF_ORIGINS,
        *check._OF_PROCESSORS,
        *check._OF_ATTEMPTS,
        check.NOT_DECIDED,
        check.NOT_ACTED,
    ]
    assert [row[0] for row in table("## Does it add up?")] == found


def test_the_numbers() -> None:
    assert f"a unique violation, {TRIES_MAX} times at most" in ONE_LINE
