"""Whoever stands before a kiosk that is tried out: rendered customers, and the cards they hold.

A :class:`~terminal_client.camera.Camera` whose customer can be exchanged while it runs. The
evidence says that it is simulated.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from face_engine.types import Frame
from liveness.challenge import Colour, Move
from terminal_client.camera import Customer, SimulatedCamera
from terminal_client.errors import CameraError
from terminal_client.kiosk.screen import Screen
from wire.messages import Source

UNPLUGGED = "unplugged"


@dataclass
class Simulation:
    """``people`` are rendered anew for each look, by a seed; ``cards`` map names to claims."""

    people: Mapping[str, Callable[[int], Customer]]
    cards: Mapping[str, str]
    who: str = field(default="")
    source: Source = field(default=SimulatedCamera.source, init=False)
    identity: bytes = field(default=SimulatedCamera.identity, init=False)
    _camera: SimulatedCamera | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.who = self.who or next(iter(self.people))

    def play(self, fields: Mapping[str, str], screen: Screen) -> None:
        """Another person steps before the camera, or one shows a card."""
        who, card = fields.get("who"), fields.get("card")
        if who in (*self.people, UNPLUGGED):
            self.who = str(who)
        if card in self.cards:
            screen.offer(self.cards[str(card)])

    def frames(self) -> Iterator[Frame]:
        who = self.who
        if who == UNPLUGGED:
            raise CameraError("the camera is missing: check that it is plugged in")
        self._camera = SimulatedCamera(self.people[who](secrets.randbits(31)))
        for frame in self._camera.frames():
            if self.who == UNPLUGGED:
                raise CameraError("the camera stopped: check its cable")
            yield frame

    def show(self, move: Move | None, colour: Colour | None) -> None:
        if self._camera is not None:
            self._camera.show(move, colour)
