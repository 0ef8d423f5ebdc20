"""What the commands' arguments mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from wire.errors import WireError
from wire.ids import Id
from wire.money import Money


class IdType(click.ParamType[Id]):
    """The text of an id of one of ``kinds``."""

    def __init__(self, *kinds: type[Id]) -> None:
        self.kinds = kinds
        self.name = "|".join(kind.__name__ for kind in kinds)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Id:
        if isinstance(value, Id):
            return value
        prefix = str(value).partition("_")[0]
        kind = next((each for each in self.kinds if prefix == each.PREFIX), self.kinds[0])
        try:
            return kind.parse(value)
        except WireError:
            forms = " or ".join(f"{each.PREFIX}_…" for each in self.kinds)
            self.fail(f"{value!r} does not look like {forms}", param, ctx)


class MomentType(click.ParamType[int]):
    """A moment in ISO 8601, UTC unless it says otherwise; as Unix time in milliseconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            found = datetime.fromisoformat(value)
            aware = found if found.tzinfo else found.replace(tzinfo=UTC)
            return int(aware.timestamp() * 1000)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not like 2026-11-25T08:30+01:00", param, ctx)


class MoneyType(click.ParamType[Money]):
    name = "AMOUNT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Money:
        try:
            return value if isinstance(value, Money) else Money.parse(value)
        except WireError as error:
            self.fail(str(error), param, ctx)


as_json = click.option("--json", "as_json", is_flag=True, help="JSON on one line.")
