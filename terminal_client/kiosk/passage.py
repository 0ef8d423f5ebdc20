"""A door's kiosk: idle, the face, open or sorry.

Guarantees: those of :mod:`terminal_client.doorkeeper`; "open" is said only where the door was
opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from terminal_client.card import attempt_by_card
from terminal_client.device import Actuator
from terminal_client.exchange import COMPLETED, Ended, Word
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.host import Host
from terminal_client.kiosk.line import Line
from terminal_client.kiosk.scanner import Scanner
from terminal_client.kiosk.screen import NO_FACE, Fields, Screen, View, Wrong
from terminal_client.kiosk.visit import BADGE, CARD, QR, Look, Visit, read_claim
from terminal_client.kiosk.words import Subject, why
from terminal_client.terminal import OnPrompt, Terminal
from texts import later
from wire.messages import Decision, EntryContext

OPEN_S = 6.0


class Gate(Protocol):
    """One attempt at the door, and whether the door decided it alone."""

    def attempt(self, claim: str, act: Actuator, on_prompt: OnPrompt) -> tuple[Ended, bool]: ...


class Door(Protocol):
    """What :class:`~terminal_client.doorkeeper.Keeper` does for a kiosk."""

    def admit(self, decision: Decision, claim: str | None = None) -> Word: ...

    def next_claim(self, wait_ms: int) -> str | None: ...

    def drop_claims(self) -> None: ...


@dataclass
class Passage:
    """``check`` raises where a part of the door ended; ``terminal`` asks the service."""

    name: str
    terminal: Terminal
    feed: Feed
    gate: Gate
    door: Door
    context: EntryContext
    line: Line
    check: Callable[[], None] = lambda: None
    on_camera: Callable[[bool], None] = lambda _answers: None
    host: Host = field(init=False)

    def __post_init__(self) -> None:
        # A door decides alone where the service does not answer: the line is no matter.
        self.host = Host(
            device=self.terminal,
            line=self.line,
            subject=Subject(self.name),
            idle=View(name="door", values={"name": self.name}, claims=True),
            needs_line=False,
        )

    @property
    def screen(self) -> Screen:
        return self.host.screen

    def run(self) -> None:
        scanner = Scanner(self.feed, self.screen)

        def serve(begun: Fields) -> None:
            with scanner:
                self.screen.watch = lambda: None
                try:
                    self._serve(begun)
                finally:
                    self.door.drop_claims()
                    self.screen.watch = watch

        def watch() -> None:
            self.check()
            claim = self.door.next_claim(0)
            if claim is not None:
                self.screen.offer(claim)
            scanner.look()
            self.on_camera(scanner.answers)

        self.screen.watch = watch
        self.host.run(serve)

    def _serve(self, begun: Fields) -> None:
        visit = Visit(
            screen=self.screen,
            feed=self.feed,
            subject=Subject(self.name),
            kinds=(BADGE, CARD, QR),
        )
        look = Look.NO_FACE if begun.get("way") == NO_FACE else Look.CALM
        try:
            claim = read_claim(begun)
        except Wrong:
            claim = visit.claim(face=look is not Look.NO_FACE)
        ways = Entering(self, claim)
        ended = visit.verify(look, claim, ways)
        opened = COMPLETED in ways.words
        if opened:
            said = None
        elif ended.approved:
            said = later("The door did not open. Ask the staff.")
        else:
            said = why(ended)
        title = later("Please go in") if opened else later("Sorry")
        self.screen.show(visit.view("passage", lasts_s=OPEN_S, good=opened, title=title, why=said))


@dataclass
class Entering:
    """Both ways through the door, for who says ``claim``."""

    passage: Passage
    claim: str = field(repr=False)
    words: list[Word] = field(default_factory=list)

    def by_face(
        self,
        claim: str,
        *,
        pin: Callable[[], str],  # noqa: ARG002 - doors ask for none beside a face
        colours: bool,  # noqa: ARG002
        on_prompt: OnPrompt,
        on_send: Callable[[], None],  # noqa: ARG002
    ) -> Ended:
        ended, _alone = self.passage.gate.attempt(claim, self._act, on_prompt)
        return ended

    def by_card(self, claim: str, *, pin: Callable[[], str], on_send: Callable[[], None]) -> Ended:
        return attempt_by_card(
            self.passage.terminal, self.passage.context, claim, pin, act=self._act, on_send=on_send
        )

    def _act(self, decision: Decision) -> Word:
        self.words.append(self.passage.door.admit(decision, self.claim))
        return self.words[-1]
