"""What goes wrong at a terminal. A refused person is an outcome, not an error."""

from __future__ import annotations


class TerminalError(Exception):
    """Base of the terminal's own errors."""


class UsageError(TerminalError):
    """Something that was typed or configured wrongly."""


class NotRegistered(UsageError):
    """The terminal has no identity yet."""


class Unreachable(TerminalError):
    """No usable answer: the request or its answer was lost, or the service is busy."""


class Rejected(TerminalError):
    """The service answered that it takes no such request; asking again does not help."""

    def __init__(self, status: int, reason: str, detail: str, *, now_ms: int | None = None) -> None:
        """``now_ms``: the service's Unix time, where it said so."""
        super().__init__(f"{reason}: {detail}")
        self.status = status
        self.reason = reason
        self.detail = detail
        self.now_ms = now_ms


class NotTheService(TerminalError):
    """An answer that the pinned service did not give, or gave to something else."""


class CameraError(TerminalError):
    """The camera is missing, or stopped."""


class DriverError(TerminalError):
    """A door's driver cannot be used: no such port, a library that must not be trusted, …"""


class StorageError(TerminalError):
    """The terminal's own storage is damaged, full, or open to others."""


class InUse(StorageError):
    """Another process runs this terminal."""


class DispenserError(TerminalError):
    """The dispenser cannot say where notes went."""
