"""Consecutive failures, of the face and of the PIN apart from each other: without a database.

Guarantees: a failure counts for the factor that failed and no other, a success forgets those of
the factors that it showed, and what was denied for another reason counts nowhere. So somebody who
stands before the camera with another's card cannot lock that person's PIN, and the other way round.
Sources: NIST SP 800-63B-4 sections 3.2.2 and 3.2.3.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from wire.denial import Denial
from wire.messages import Factor, Level

FOREVER_MS = 2**53 - 1
PIN_FAILURES = frozenset({Denial.PIN_MISSING, Denial.PIN_WRONG})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockout:
    """Consecutive failures, delays and the hard stop (NIST SP 800-63B-4, 3.2.2 and 3.2.3).

    With presentation attack detection twice as many failures are allowed.
    """

    failures: int = 5
    hard_stop: int = 50
    first_delay_ms: int = 30_000
    longest_delay_ms: int = 3_600_000

    def __post_init__(self) -> None:
        if any(type(number) is not int for number in astuple(self)):
            raise ValueError("a lockout is made of whole numbers")
        if not 1 <= self.failures <= 5 or not self.failures <= self.hard_stop <= 50:
            raise ValueError("at most 5 failures before a delay, at most 50 before the hard stop")
        if not 30_000 <= self.first_delay_ms <= self.longest_delay_ms:
            raise ValueError("the first delay is at least 30 s")

    def locked_until_ms(self, failures: int, *, level: Level, now_ms: int) -> int:
        """When the account may try again after its ``failures``-th consecutive failure."""
        factor = 2 if level > Level.NONE else 1
        if failures >= self.hard_stop * factor:
            return FOREVER_MS
        over = failures - self.failures * factor
        if over < 0:
            return 0
        return now_ms + min(self.first_delay_ms << min(over, 20), self.longest_delay_ms)


PIN_LOCKOUT = Lockout(hard_stop=10)
"""People choose a few PINs far more often than others: ten tries, not fifty."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Consecutive failures of one factor, and until when it is locked."""

    failures: int = 0
    locked_until_ms: int = 0

    def is_locked(self, now_ms: int) -> bool:
        return self.locked_until_ms > now_ms

    def failed(self, lockout: Lockout, *, level: Level, now_ms: int) -> Tally:
        failures = self.failures + 1
        return Tally(failures, lockout.locked_until_ms(failures, level=level, now_ms=now_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallies:
    face: Tally = Tally()
    pin: Tally = Tally()

    def after(
        self,
        denial: Denial | None,
        *,
        factor: Factor,
        lockout: Lockout,
        pin_lockout: Lockout,
        level: Level,
        now_ms: int,
    ) -> Tallies:
        """``lockout`` is the face's, at the liveness ``level`` that was asked for."""
        if denial is None:
            return Tallies(
                face=Tally() if factor.has_face else self.face,
                pin=Tally() if factor.has_pin else self.pin,
            )
        if denial is Denial.NO_MATCH:
            failed = self.face.failed(lockout, level=level, now_ms=now_ms)
            return Tallies(face=failed, pin=self.pin)
        if denial in PIN_FAILURES:
            failed = self.pin.failed(pin_lockout, level=Level.NONE, now_ms=now_ms)
            return Tallies(face=self.face, pin=failed)
        return self
