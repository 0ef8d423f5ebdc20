"""One person's way through: the steps that payment, withdrawal, entry and enrolment share.

Guarantees: each step offers to leave, and the way without a face stays one visible button until
the evidence is sent. A camera that stops is waited for, and nothing is lost but the look. What is
approved was shown before: amount and payee stand on every view.

The caller must turn :class:`~terminal_client.kiosk.screen.Left` into its own ending.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from terminal_client.card import attempt_by_card, check_card_claim
from terminal_client.ceremony import Prompt
from terminal_client.device import Actuator
from terminal_client.enrolment import check_claim, check_pin
from terminal_client.errors import CameraError, UsageError
from terminal_client.exchange import Ended, Ending
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.receipt import receipt_of, square
from terminal_client.kiosk.scanner import Scanner
from terminal_client.kiosk.screen import (
    NO_FACE,
    Fields,
    Instruction,
    Screen,
    View,
    WithoutFace,
    Wrong,
)
from terminal_client.kiosk.words import HOLD, LOOK, Subject, why
from terminal_client.terminal import OnPrompt, Terminal
from texts import later
from wire.ids import AttemptId
from wire.messages import Context

ASKS_AGAIN = frozenset({Ending.NOT_LIVE, Ending.FRAMES_DISAGREE, Ending.NO_USABLE_FACE})
CAMERA_S, CAMERA_AGAIN_S = 90.0, 2.0
RESULT_S = 20.0
AGAIN = "again"
CARD, PHONE, QR, BADGE = "card", "phone", "qr", "badge"


class Look(StrEnum):
    """How somebody wants to be verified; ``CALM`` is by face, without flashing colours."""

    FACE = "face"
    CALM = "calm"
    NO_FACE = NO_FACE


class Ways(Protocol):
    """Both ways to one decision; each raises :class:`TerminalError` where there is none."""

    def by_face(
        self,
        claim: str,
        *,
        pin: Callable[[], str],
        colours: bool,
        on_prompt: OnPrompt,
        on_send: Callable[[], None],
    ) -> Ended: ...

    def by_card(
        self, claim: str, *, pin: Callable[[], str], on_send: Callable[[], None]
    ) -> Ended: ...


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """:class:`Ways` with a terminal; ``card_context`` where it is another without a face."""

    terminal: Terminal
    feed: Feed
    context: Context
    act: Actuator
    attempt: AttemptId | None = None
    on_send: Callable[[], None] = lambda: None
    card_context: Context | None = None

    def by_face(
        self,
        claim: str,
        *,
        pin: Callable[[], str],
        colours: bool,
        on_prompt: OnPrompt,
        on_send: Callable[[], None],
    ) -> Ended:
        return self.terminal.attempt(
            self.context, claim, self.feed, pin=pin, colours=colours, act=self.act,
            on_prompt=on_prompt, on_send=self._both(on_send), attempt=self.attempt,
        )  # fmt: skip

    def by_card(self, claim: str, *, pin: Callable[[], str], on_send: Callable[[], None]) -> Ended:
        return attempt_by_card(
            self.terminal, self.card_context or self.context, claim, pin, act=self.act,
            on_send=self._both(on_send), attempt=self.attempt or AttemptId.new(),
        )  # fmt: skip

    def _both(self, on_send: Callable[[], None]) -> Callable[[], None]:
        """The caller's may still give up; what is shown then says that it is on its way."""

        def send() -> None:
            self.on_send()
            on_send()

        return send


@dataclass(kw_only=True)
class Visit:
    """``kinds`` are the claims that may be typed here; ``pin_of`` asks for the PIN, and for what
    else is to be said before the evidence is sent. ``claimed`` and ``has_face``: how it goes on
    by now."""

    screen: Screen
    feed: Feed
    subject: Subject
    kinds: tuple[str, ...] = (CARD, PHONE)
    pin_of: Callable[[], str] | None = None
    claimed: str = field(default="", repr=False)
    has_face: bool = True

    def choose(self) -> Look:
        return Look(self.screen.ask(self.view("choose"), read_choice(*Look)))

    def claim(self, *, face: bool) -> str:
        """A card reader's, a code's that the camera sees, or typed."""
        kinds = tuple(kind for kind in self.kinds if face or kind != PHONE)
        scanner = Scanner(self.feed, self.screen)
        scans = face and scanner.useful
        view = self.view("claim", claims=True, kinds=kinds, scans=scans)
        with scanner, self._watching(scanner.look if scans else lambda: None):
            self.claimed = self.screen.ask(view, read_claim if face else read_card_claim)
        return self.claimed

    def verify(self, look: Look, claim: str, ways: Ways) -> Ended:
        """Raises :class:`TerminalError` where there is no decision."""
        self.has_face = look is not Look.NO_FACE
        if self.has_face:
            try:
                return self._by_face(claim, ways, colours=look is not Look.CALM)
            except WithoutFace:
                self.has_face = False
                if claim.startswith(f"{PHONE}:"):
                    claim = self.claim(face=False)
        self._sending()
        return ways.by_card(claim, pin=self._pin, on_send=self._sending)

    def _by_face(self, claim: str, ways: Ways, *, colours: bool) -> Ended:
        while True:
            self.screen.show(self.view("face"))
            self.screen.prompt(Instruction(text=LOOK))
            try:
                ended = ways.by_face(
                    claim, pin=self._pin, colours=colours, on_prompt=self._prompt,
                    on_send=self._sending,
                )  # fmt: skip
            except CameraError:
                self._wait_for_camera()
                continue
            if ended.ending not in ASKS_AGAIN:
                return ended
            self._ask_again(self.view(AGAIN, why=why(ended)))

    def _ask_again(self, view: View, *, wait_s: float = CAMERA_S) -> None:
        """Raises :class:`WithoutFace`, or :class:`Left`."""
        if self.screen.ask(view, read_choice(AGAIN, NO_FACE), wait_s=wait_s) == NO_FACE:
            raise WithoutFace

    def _wait_for_camera(self) -> None:
        """Until it answers again, or the person wants something else."""
        look_at = time.monotonic() + CAMERA_AGAIN_S

        def look() -> None:
            nonlocal look_at
            if time.monotonic() >= look_at:
                if self.feed.answers():
                    raise _Back
                look_at = time.monotonic() + CAMERA_AGAIN_S

        with self._watching(look), _back():
            self._ask_again(self.view("camera"))

    @contextmanager
    def _watching(self, look: Callable[[], None]) -> Iterator[None]:
        before = self.screen.watch

        def watch() -> None:
            before()
            look()

        self.screen.watch = watch
        try:
            yield
        finally:
            self.screen.watch = before

    def _prompt(self, prompt: Prompt) -> None:
        self.screen.prompt(
            Instruction(
                text=HOLD if prompt.colour else prompt.instruction,
                fraction=prompt.fraction,
                move=prompt.move.value if prompt.move else None,
                colour=prompt.colour,
            )
        )

    def _pin(self) -> str:
        if self.pin_of is not None:
            return self.pin_of()
        return self.screen.ask(self.view("pin"), read_pin)

    def _sending(self) -> None:
        self.screen.show(self.view("wait"))

    def result(self, ended: Ended, *, done: str, **values: Any) -> None:
        """How it ended; ``done`` is what an approval is called."""
        decision = ended.decision
        receipt = receipt_of(decision, self.subject) if decision and ended.approved else None
        known: dict[str, Any] = {
            "good": ended.approved,
            "title": done if ended.approved else later("Not approved"),
            "why": None if ended.approved else why(ended),
            "receipt": square(receipt) if receipt else None,
        }
        self.screen.show(self.view("result", lasts_s=RESULT_S, **(known | values)))

    def view(
        self, name: str, *, claims: bool = False, lasts_s: float | None = None, **values: Any
    ) -> View:
        values |= {"subject": self.subject}
        return View(name=name, values=values, claims=claims, lasts_s=lasts_s)


class _Back(Exception):
    """The camera answers again."""


@contextmanager
def _back() -> Iterator[None]:
    try:
        yield
    except _Back:
        return


def read_choice(*choices: str) -> Callable[[Fields], str]:
    """One of the buttons that the view has."""

    def read(fields: Fields) -> str:
        what = fields.get("do", "")
        if what not in choices:
            raise Wrong("")
        return what

    return read


def read_claim(fields: Fields) -> str:
    claim = fields.get("claim") or f"{fields.get('kind', '')}:{fields.get('value', '').strip()}"
    try:
        return check_claim(claim)
    except UsageError:
        raise Wrong(later("Hold the card to the reader, or type its number.")) from None


def read_card_claim(fields: Fields) -> str:
    try:
        return check_card_claim(read_claim(fields))
    except UsageError:
        raise Wrong(later("Without your face it takes a card, a code or a badge.")) from None


def read_pin(fields: Fields) -> str:
    try:
        return check_pin(fields.get("pin", ""))
    except UsageError:
        raise Wrong(later("A PIN has 4 to 12 digits.")) from None
