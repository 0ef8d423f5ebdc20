"""What the commands' arguments mean."""

from __future__ import annotations

from typing import Any

import click

from wire.errors import WireError
from wire.ids import Id
from wire.money import Money


class IdType(click.ParamType[Id]):
    def __init__(self, kind: type[Id]) -> None:
        self.kind = kind
        self.name = kind.__name__

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Id:
        if isinstance(value, Id):
            return value
        try:
            return self.kind.parse(value)
        except WireError:
            self.fail(f"{value!r} does not look like {self.kind.PREFIX}_…", param, ctx)


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
