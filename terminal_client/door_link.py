"""Keeps a door and the service in touch: a thread that beats and delivers, one that fetches.

Guarantees: while the service answers, what it revokes reaches the door within one beat and its
answer (``BEAT_S`` and ``BEAT_TIMEOUT_S``: under 5 s); records go in their order, and stay until the
service has said that it has them; a bundle is fetched before half of its time is over, and not more
often than every ``RENEW_S``. Every wait has a bound, and no error of the network ends a thread.

What an operator opens by hand is given to ``release`` once: the service sends it once, in the
answer to the beat that waits for it, so no answer that was kept opens a door.

The caller must use it as a context, and look at :attr:`Link.failure`, and at
:attr:`Link.lock_differs`: the service has another kind of lock written down than the one that was
wired here.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeVar

from terminal_client.errors import NotTheService, Rejected, Unreachable
from terminal_client.exchange import read_answer
from terminal_client.keystore import Identity, Keystore
from terminal_client.standalone import Standalone
from terminal_client.transport import Transport, send
from wire import envelope
from wire.bundle import Bundle, BundleRequest, DoorBeat, DoorStanding
from wire.codec import MAX_MESSAGE_BYTES, Message
from wire.ids import AttemptId
from wire.messages import NONCE_BYTES, DoorEvents, DoorEventsKept

BEAT, EVENTS, BUNDLE = "/v1/door-beats", "/v1/door-events", "/v1/door-bundles"
BEAT_S, BEAT_TIMEOUT_S = 2.0, 2.5
RENEW_S, REFUSED_S = 10.0, 60.0
BUNDLE_TIMEOUT_S = 60.0
STOP_S = 5.0
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether camera and lock answer; ``fail_safe``: how the lock was wired, where that is told."""

    camera: bool
    lock: bool
    fail_safe: bool | None = None


class Link:
    def __init__(
        self,
        standalone: Standalone,
        keystore: Keystore,
        identity: Identity,
        transport: Transport,
        model_id: bytes,
        health: Callable[[], Health],
        release: Callable[[AttemptId], None],
    ) -> None:
        """``release`` opens the door by hand, reports by that id, and returns at once."""
        self._door, self._identity, self._transport = standalone, identity, transport
        self._key = keystore.signing_key(identity)
        self._model_id, self._health, self._release = model_id, health, release
        self._stop, self._wake = threading.Event(), threading.Event()
        self._tried = threading.Event()
        self._wanted = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name="door-link", daemon=True)
            for work in (self._run, self._fetch_on)
        ]
        self._renew_at_ms = self._deliver_at_ms = 0
        self.connected = self.lock_differs = False
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        # So that the first person is not taken for one before a door that is cut off.
        self._tried.wait(BEAT_TIMEOUT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(STOP_S)

    def wake(self) -> None:
        """There is something to deliver."""
        self._wake.set()

    def turn(self) -> None:
        """One beat, and all that follows from it."""
        self._turn(self._try_to_fetch)

    def _turn(self, fetch: Callable[[], None]) -> None:
        try:
            standing = self._beat()
            self.connected = True
            self._deliver()
            if self._wants_bundle(standing):
                fetch()
        except Unreachable:
            self.connected = False
        except (Rejected, NotTheService):
            # It answers, and does not take this door's word now: no reason to decide alone.
            pass

    def _run(self) -> None:
        beat_at = 0.0
        while not self._stop.is_set():
            self._wake.clear()
            if time.monotonic() >= beat_at:
                self._turn(self._wanted.set)
                beat_at = time.monotonic() + BEAT_S
                self._tried.set()
            elif self.connected:
                with suppress(Unreachable, Rejected, NotTheService):
                    self._deliver()
            self._wake.wait(max(0.0, beat_at - time.monotonic()))

    def _fetch_on(self) -> None:
        """A bundle takes seconds, and beats go on meanwhile."""
        while not self._stop.is_set():
            if self._wanted.wait(BEAT_S):
                self._wanted.clear()
                self._try_to_fetch()

    def _try_to_fetch(self) -> None:
        with suppress(Unreachable, Rejected, NotTheService):
            self._fetch()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.failure = error
        finally:
            self._stop.set()
            self.connected = False

    def _beat(self) -> DoorStanding:
        (sequence, head), health = self._door.log.end, self._health()
        bundle, nonce = self._door.bundle, os.urandom(NONCE_BYTES)
        beat = DoorBeat(
            terminal=self._identity.terminal,
            nonce=nonce,
            at_ms=max(self._door.clock.own_ms, 0),
            bundle=bundle.number if bundle else 0,
            sequence=sequence,
            head=head,
            waiting=sequence - self._door.log.kept,
            camera=health.camera,
            lock=health.lock,
            fail_safe=health.fail_safe,
        )
        answer = self._send(BEAT, beat, deadline_s=BEAT_TIMEOUT_S)
        standing = read_answer(answer, DoorStanding, self._identity)
        if standing.nonce != nonce or standing.terminal != self._identity.terminal:
            raise NotTheService("an answer to something else")
        self._door.hear(standing)
        self.lock_differs = health.fail_safe not in (None, standing.fail_safe)
        if standing.release is not None:
            self._release(AttemptId(standing.release.raw))
        return standing

    def _deliver(self) -> None:
        now_ms = self._door.clock()
        while now_ms >= self._deliver_at_ms and not self._stop.is_set():
            waiting = self._door.log.waiting()
            if waiting is None:
                return
            previous, records, head = waiting
            message = DoorEvents(
                terminal=self._identity.terminal, previous=previous, records=records, head=head
            )
            try:
                answer = self._send(EVENTS, message, deadline_s=BEAT_TIMEOUT_S)
            except Rejected:
                # The service has raised an alarm: a person must look, asking changes nothing.
                self._deliver_at_ms = now_ms + round(REFUSED_S * 1000)
                raise
            kept = read_answer(answer, DoorEventsKept, self._identity)
            if kept.terminal != self._identity.terminal:
                raise NotTheService("an answer to something else")
            self._door.log.keep(kept.sequence, kept.head)

    def _wants_bundle(self, standing: DoorStanding) -> bool:
        now_ms, bundle = self._door.clock(), self._door.bundle
        if now_ms < self._renew_at_ms:
            return False
        if bundle is None or standing.renew:
            return True
        return now_ms >= (bundle.issued_at_ms + bundle.expires_at_ms) // 2

    def _fetch(self) -> None:
        nonce, seal_key = os.urandom(NONCE_BYTES), self._door.opening.public
        request = BundleRequest(
            terminal=self._identity.terminal,
            nonce=nonce,
            model_id=self._model_id,
            seal_suite=seal_key.suite,
            seal_key=seal_key.raw,
        )
        self._renew_at_ms = self._door.clock() + round(RENEW_S * 1000)
        try:
            raw = self._send(
                BUNDLE, request, deadline_s=BUNDLE_TIMEOUT_S, bytes_max=Bundle.BYTES_MAX
            )
        except Rejected:
            self._renew_at_ms = self._door.clock() + round(REFUSED_S * 1000)
            raise
        self._door.accept(raw, nonce)

    def _send(
        self,
        path: str,
        message: Message,
        *,
        deadline_s: float,
        bytes_max: int = MAX_MESSAGE_BYTES,
    ) -> bytes:
        raw = envelope.sign(message, self._key).raw
        return send(self._transport, path, raw, tries=1, deadline_s=deadline_s, bytes_max=bytes_max)
