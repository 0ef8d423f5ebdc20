"""How much may be moved at once, in a day and in a month, and how often: without a database.

Guarantee: the same usage gives the same refusal, the first that applies in the order of
:class:`service.ledger.rules.Refusal`. Days and months are those of UTC.

The caller must still count the usage under a lock on the account's wallet. An account's usage
is then exact: what is pending or posted counts, at its posted amount; what was voided or has
expired does not. A merchant's and a terminal's usage counts what was approved, and attempts of
the same moment at a merchant's other terminals do not see each other: each of them may pass
the merchant's limit by one transfer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime
from typing import Any

from service.ledger.rules import Refusal

VELOCITIES_MAX = 4
MONTH_MS_MAX = 31 * 24 * 3_600_000
DAY_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The most of one account, merchant or terminal; None is without limit."""

    transfer_minor: int | None = None
    day_minor: int | None = None
    month_minor: int | None = None

    def __post_init__(self) -> None:
        given = [most for most in astuple(self) if most is not None]
        if any(type(most) is not int or most <= 0 for most in given):
            raise ValueError("a limit is a whole number of minor units above 0")
        if given != sorted(given):
            raise ValueError("a limit of a longer time is not below that of a shorter one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Velocity:
    """At most ``transfers`` of one account within ``within_ms``."""

    transfers: int
    within_ms: int

    def __post_init__(self) -> None:
        if any(type(number) is not int for number in astuple(self)):
            raise ValueError("a velocity is made of whole numbers")
        if self.transfers < 1 or not 1_000 <= self.within_ms <= MONTH_MS_MAX:
            raise ValueError("a velocity allows at least 1 transfer within 1 s to 31 days")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one purpose. A withdrawal's merchant is the cassette, so its terminal."""

    account: Ceiling = field(default_factory=Ceiling)
    merchant: Ceiling = field(default_factory=Ceiling)
    terminal: Ceiling = field(default_factory=Ceiling)
    velocity: tuple[Velocity, ...] = ()

    def __post_init__(self) -> None:
        if len(self.velocity) > VELOCITIES_MAX:
            raise ValueError(f"at most {VELOCITIES_MAX} velocities")

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Limits:
        """From what :func:`dataclasses.asdict` made; raises ValueError or TypeError."""
        ceilings = {name: Ceiling(**most) for name, most in fields.items() if name != "velocity"}
        return cls(**ceilings, velocity=tuple(Velocity(**v) for v in fields.get("velocity", ())))


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """When the windows that a moment lies in began, ms since 1970."""

    day_ms: int
    month_ms: int

    @classmethod
    def at(cls, now_ms: int) -> Windows:
        month = datetime.fromtimestamp(now_ms / 1000, UTC).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        return cls(day_ms=now_ms - now_ms % DAY_MS, month_ms=int(month.timestamp()) * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turnover:
    """What was moved so far, in minor units."""

    day_minor: int = 0
    month_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """``counts`` are the account's transfers within each velocity's time, in the same order."""

    account: Turnover = field(default_factory=Turnover)
    merchant: Turnover = field(default_factory=Turnover)
    terminal: Turnover = field(default_factory=Turnover)
    counts: tuple[int, ...] = ()


def refuse_usage(limits: Limits, usage: Usage, amount_minor: int) -> Refusal | None:
    """The guards of one transfer more of ``amount_minor``."""
    for ceiling in (limits.account, limits.merchant, limits.terminal):
        if _is_above(amount_minor, ceiling.transfer_minor):
            return Refusal.LIMIT_EXCEEDED
    for velocity, count in zip(limits.velocity, usage.counts, strict=True):
        if count >= velocity.transfers:
            return Refusal.ACCOUNT_VELOCITY
    account, merchant, terminal = usage.account, usage.merchant, usage.terminal
    if _is_above(account.day_minor + amount_minor, limits.account.day_minor):
        return Refusal.ACCOUNT_DAY_LIMIT
    if _is_above(account.month_minor + amount_minor, limits.account.month_minor):
        return Refusal.ACCOUNT_MONTH_LIMIT
    if _is_above(merchant.day_minor + amount_minor, limits.merchant.day_minor):
        return Refusal.MERCHANT_DAY_LIMIT
    if _is_above(merchant.month_minor + amount_minor, limits.merchant.month_minor):
        return Refusal.MERCHANT_MONTH_LIMIT
    if _is_above(terminal.day_minor + amount_minor, limits.terminal.day_minor):
        return Refusal.TERMINAL_DAY_LIMIT
    if _is_above(terminal.month_minor + amount_minor, limits.terminal.month_minor):
        return Refusal.TERMINAL_MONTH_LIMIT
    return None


def _is_above(wanted_minor: int, most_minor: int | None) -> bool:
    return most_minor is not None and wanted_minor > most_minor


def default_limits() -> dict[str, Limits]:
    """Of a policy that says nothing else, in minor units of its currency."""
    minute_ms = 60_000
    return {
        "payment": Limits(
            account=Ceiling(day_minor=1_000_000, month_minor=3_000_000),
            merchant=Ceiling(day_minor=100_000_000),
            terminal=Ceiling(day_minor=20_000_000),
            velocity=(
                Velocity(transfers=20, within_ms=10 * minute_ms),
                Velocity(transfers=100, within_ms=DAY_MS),
            ),
        ),
        "withdrawal": Limits(
            account=Ceiling(day_minor=200_000, month_minor=1_000_000),
            terminal=Ceiling(day_minor=10_000_000),
            velocity=(
                Velocity(transfers=5, within_ms=10 * minute_ms),
                Velocity(transfers=20, within_ms=DAY_MS),
            ),
        ),
    }
