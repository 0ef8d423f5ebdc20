"""A kiosk of one kind, as whoever runs it knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from terminal_client.kiosk.cashier import Cashier
from terminal_client.kiosk.screen import Screen


@dataclass(frozen=True, kw_only=True)
class Part:
    """What it shows, what runs it, and what ends that; ``cashier`` only at a store."""

    screen: Screen
    run: Callable[[], None]
    stop: Callable[[], None]
    cashier: Cashier | None = None
