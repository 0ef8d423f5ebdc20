"""What a door's terminal asks for besides attempts: it reports, beats, and fetches its bundle.

Guarantee: an answer is for the request whose nonce it has.

The caller must still answer 503 to :class:`service.errors.Unavailable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import BoundedSemaphore

from psycopg import Connection

from face_engine.calibration import Calibration
from service.access import events, places
from service.access.places import Failure
from service.alarms import AlarmKind
from service.bundles import Bundler
from service.clock import Clock
from service.db import Database, Row
from service.desk import Desk, Limits
from service.door_events import alarm_once, keep_events
from service.errors import Unavailable
from service.keys import KeyRing
from service.operators import releases
from service.stages import Refused, refused
from service.terminals import standing
from service.terminals import store as terminals
from service.terminals.store import Terminal
from wire import envelope
from wire.bundle import Bundle, BundleRequest, DoorBeat, DoorStanding
from wire.denial import Denial, Reason
from wire.envelope import Signed
from wire.errors import WireError
from wire.ids import DoorId
from wire.messages import DoorEvents, DoorEventsKept

BEAT_MS_MIN = 500
BUNDLES_AT_ONCE = 1
"""In one process: each takes seconds of it, and payments go on meanwhile."""


class DoorDesk(Desk):
    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        calibrations: Mapping[bytes, Calibration],
        clock: Clock,
        *,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(database, keys, calibrations, clock, limits=limits)
        self._bundler = Bundler(database, keys, calibrations)
        self._building = BoundedSemaphore(BUNDLES_AT_ONCE)

    def take_events(self, raw: bytes) -> Signed[DoorEventsKept] | Refused:
        """Keeps what a door reports, each record once and in its order."""
        try:
            unverified = envelope.parse(raw, DoorEvents)
        except WireError as error:
            return refused(Denial.MALFORMED, str(error))
        with self._database.transaction() as conn:
            terminal = self._authenticate(conn, unverified, unverified.message.terminal)
            if isinstance(terminal, Refused):
                return terminal
            kept = keep_events(
                conn, terminal, unverified.message, keys=self._keys, now_ms=self._clock()
            )
        return kept if isinstance(kept, Refused) else envelope.sign(kept, self._keys.signing)

    def stand(self, raw: bytes) -> Signed[DoorStanding] | Refused:
        """Takes how a door is; says how its bundle stands, and what an operator wants of it."""
        try:
            unverified = envelope.parse(raw, DoorBeat)
        except WireError as error:
            return refused(Denial.MALFORMED, str(error))
        beat, now_ms = unverified.message, self._clock()
        with self._database.transaction() as conn:
            terminal = self._authenticate(conn, unverified, beat.terminal)
            if isinstance(terminal, Refused):
                return terminal
            if terminal.door is None:
                return refused(Denial.CONTEXT_CHANGED, "not a door's terminal")
            last_ms = standing.last_beat_ms(conn, terminal.terminal)
            if last_ms is not None and 0 <= now_ms - last_ms < BEAT_MS_MIN:
                return Refused(None, Reason.TOO_MANY_REQUESTS, "wait a few seconds")
            standing.keep_beat(conn, beat, now_ms=now_ms)
            self._look_at_records(conn, terminal, beat, now_ms)
            answer = self._standing(conn, terminal, terminal.door, beat, now_ms)
        return envelope.sign(answer, self._keys.signing)

    def bundle(self, raw: bytes) -> Signed[Bundle] | Refused:
        """A new bundle for a door."""
        try:
            unverified = envelope.parse(raw, BundleRequest)
        except WireError as error:
            return refused(Denial.MALFORMED, str(error))
        request, now_ms = unverified.message, self._clock()
        with self._database.transaction() as conn:
            terminal = self._authenticate(conn, unverified, request.terminal)
            if isinstance(terminal, Refused):
                return terminal
            if not terminals.take_token(
                conn,
                terminal.terminal,
                per_minute=self._limits.per_minute,
                burst=self._limits.burst,
                now_ms=now_ms,
            ):
                return Refused(None, Reason.TOO_MANY_REQUESTS, "wait a few seconds")
        if not self._building.acquire(blocking=False):
            raise Unavailable("another bundle is being made")
        try:
            return self._bundler.make(terminal, request, now_ms=now_ms)
        finally:
            self._building.release()

    def _standing(
        self,
        conn: Connection[Row],
        terminal: Terminal,
        door: DoorId,
        beat: DoorBeat,
        now_ms: int,
    ) -> DoorStanding:
        found = self._bundler.look(conn, terminal.terminal, door, beat.bundle)
        return DoorStanding(
            terminal=terminal.terminal,
            nonce=beat.nonce,
            now_ms=now_ms,
            bundle=beat.bundle,
            renew=found.renew,
            void=found.revoked is None,
            revoked=found.revoked or (),
            fail_safe=places.find_failure(conn, door) is Failure.SAFE,
            release=releases.hand_over(conn, door, key=self._keys.signing, now_ms=now_ms),
        )

    def _look_at_records(
        self, conn: Connection[Row], terminal: Terminal, beat: DoorBeat, now_ms: int
    ) -> None:
        """A door whose records end before those that it reported came back as it was earlier."""
        if beat.sequence < events.last(conn, terminal.terminal):
            alarm_once(conn, terminal, AlarmKind.OLD_DISK_IMAGE, now_ms=now_ms)
