"""What goes wrong in the service itself. A refusal of an attempt is a value, not an error.

:class:`Unavailable` denies: the caller answers 503 and the terminal asks again with the
same bytes. :class:`Misconfigured` ends the process before it serves anything.
"""

from __future__ import annotations


class ServiceError(Exception):
    """Base of the service's own errors."""


class Unavailable(ServiceError):
    """A database, broker or processor that is needed now does not answer."""


class Collided(Unavailable):
    """Transactions of the same moment stood in each other's way; this one was rolled back."""


class Misconfigured(ServiceError):
    """A setting, key file or policy that must not be run; the text says which and why."""
