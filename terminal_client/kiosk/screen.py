"""What a kiosk shows: one view at a time, between the terminal's thread and the browser's.

    screen.show(view)                    the terminal: shows it
    chosen = screen.ask(view, read)      the terminal: shows it, and waits for a good answer
    fields = screen.meet(wait_s=…)       the terminal: waits for somebody, where it is idle
    screen.prompt(prompt)                the terminal: what to do before the camera, frame by frame

    screen.answer(number, fields)        the browser, from any thread
    screen.offer(claim)                  a card reader, from any thread
    screen.wait(seen, timeout_s=…)       the browser: what is shown, once it is another

Guarantees: an answer counts for the view that it was given to, and once; whoever does not answer
has :class:`Left` after ``ANSWER_S``. What was answered is kept by nobody here once it was read: it
may be a PIN.

The caller must bound what it answers, read each answer strictly, and raise :class:`Wrong` for one
to be asked again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import Any, TypeVar

from liveness.challenge import Colour
from texts import LANGUAGES

ANSWER_S = 60.0
WATCH_S = 0.25
LEAVE, NO_FACE, DONE = "leave", "no_face", "done"
DEFAULT_LANGUAGE = "en"

T = TypeVar("T")
Fields = dict[str, str]


class Left(Exception):
    """Who stood here gave up, or went away."""


class WithoutFace(Exception):
    """Who stands before the camera wants the other way."""


class Wrong(Exception):
    """An answer to be given again; the text is one of the catalogue's."""


class Stale(Exception):
    """An answer to a view that is not shown any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """``name`` is the template's; ``claims``: whether a card reader may answer; ``lasts_s``: how
    long it stands before the kiosk is idle again; ``becomes``: what takes its place, once there
    is something."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    claims: bool = False
    lasts_s: float | None = None
    wrong: str | None = None
    becomes: Callable[[], View | None] = field(default=lambda: None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """``text`` is in English, and translated where it is shown."""

    text: str = ""
    fraction: float = 0.0
    move: str | None = None
    colour: Colour | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """``number`` counts views, ``change`` whatever makes one look different, ``beat`` prompts."""

    number: int
    change: int
    beat: int
    view: View
    language: str
    instruction: Instruction


class Screen:
    """``idle`` is what stands here while nobody does; ``watch`` is called while somebody is
    waited for, and may raise to end that."""

    def __init__(self, idle: Callable[[], View]) -> None:
        self.watch: Callable[[], None] = lambda: None
        self._idle = idle
        self._language = self._own_language = DEFAULT_LANGUAGE
        self._view, self._is_idle = idle(), True
        self._until = float("inf")
        self._number = self._change = self._beat = 0
        self._instruction = Instruction()
        self._asking = True
        self._given: Fields | None = None
        self._changed = Condition()

    @property
    def language(self) -> str:
        return self._language

    def own_language(self, language: str) -> None:
        """What each person is met in."""
        self._own_language = language
        self.rest()

    @property
    def asked(self) -> str:
        """What the person is asked for now, for whoever waits for them."""
        return self._instruction.text or self._view.name

    def is_idle_as(self, view: View) -> bool:
        return self._is_idle and self._view == view

    def show(self, view: View) -> None:
        with self._changed:
            self._put(view, asking=False)

    def rest(self) -> None:
        """Nobody stands here any more; the next person starts in the kiosk's own language."""
        with self._changed:
            self._go_idle()

    def ask(self, view: View, read: Callable[[Fields], T], *, wait_s: float = ANSWER_S) -> T:
        """Raises :class:`Left`."""
        while True:
            with self._changed:
                self._put(view, asking=True)
            fields = self._take(time.monotonic() + wait_s)
            try:
                return read(fields)
            except Wrong as error:
                view = replace(view, wrong=str(error))
            finally:
                fields.clear()

    def meet(self, *, wait_s: float) -> Fields | None:
        """What somebody begins with at the idle view; None where nobody came meanwhile."""
        ends = time.monotonic() + wait_s
        while time.monotonic() < ends:
            self.watch()
            with self._changed:
                self._settle()
                self._changed.wait_for(lambda: self._given is not None, WATCH_S)
                if self._is_idle and self._given is not None:
                    given, self._given = self._given, None
                    return given
        return None

    def prompt(self, instruction: Instruction) -> None:
        """Raises :class:`Left` or :class:`WithoutFace`, where the person pressed that."""
        self.watch()
        with self._changed:
            if instruction != self._instruction:
                self._instruction = instruction
                self._beat += 1
                self._changed.notify_all()
            given, self._given = self._given, None
        what = given.get("do") if given else None
        if what == LEAVE:
            raise Left
        if what == NO_FACE:
            raise WithoutFace

    def answer(self, number: int, fields: Fields) -> None:
        """Raises :class:`Stale`."""
        with self._changed:
            self._settle()
            if number != self._number:
                raise Stale
            if self._view.lasts_s is not None and fields.get("do") == DONE:
                self._go_idle()
                return
            self._given = dict(fields)
            self._changed.notify_all()

    def offer(self, claim: str) -> bool:
        """A card, badge or code was shown; whether it was waited for."""
        with self._changed:
            if not (self._asking and self._view.claims):
                return False
            self._given = {"do": "claim", "claim": claim}
            self._changed.notify_all()
            return True

    def speak(self, language: str) -> None:
        """Shows everything in this language, for as long as the person stands here."""
        with self._changed:
            if language in LANGUAGES and language != self._language:
                self._language = language
                if self._is_idle:
                    self._until = time.monotonic() + ANSWER_S
                self._bump()

    def wait(self, seen: tuple[int, int], *, timeout_s: float) -> Shown:
        """What is shown, when its change or beat is another than seen, or the time is over."""
        ends = time.monotonic() + timeout_s
        with self._changed:
            while True:
                self._settle()
                left_s = ends - time.monotonic()
                if (self._change, self._beat) != seen or left_s <= 0:
                    return Shown(
                        number=self._number,
                        change=self._change,
                        beat=self._beat,
                        view=self._view,
                        language=self._language,
                        instruction=self._instruction,
                    )
                self._changed.wait(min(left_s, WATCH_S))

    def _take(self, ends: float) -> Fields:
        while True:
            self.watch()
            with self._changed:
                self._changed.wait_for(lambda: self._given is not None, WATCH_S)
                given, self._given = self._given, None
            if given is not None:
                if given.get("do") == LEAVE:
                    raise Left
                return given
            if time.monotonic() > ends:
                raise Left

    def _put(self, view: View, *, asking: bool, idle: bool = False) -> None:
        self._view, self._asking, self._is_idle = view, asking, idle
        self._given, self._instruction = None, Instruction()
        self._until = time.monotonic() + view.lasts_s if view.lasts_s else float("inf")
        self._number += 1
        self._bump()

    def _bump(self) -> None:
        self._change += 1
        self._changed.notify_all()

    def _go_idle(self) -> None:
        self._language = self._own_language
        self._put(self._idle(), asking=True, idle=True)

    def _settle(self) -> None:
        """What stood long enough goes; what stands while nobody is here is kept as it is now."""
        following = self._view.becomes()
        if following is not None:
            self._put(following, asking=False)
        elif time.monotonic() > self._until:
            self._go_idle()
        elif self._is_idle:
            idle = self._idle()
            if idle != self._view:
                self._put(idle, asking=True, idle=True)
