"""The console's catalogues, and the words of other packages that its pages show by value."""

from __future__ import annotations

from access.rules import GRANTED, Effect, Mode, Passback
from service.access.places import Failure
from service.alarms import AlarmKind
from service.operators import door_watch, releases
from service.operators.people import Role
from service.operators.terminal_health import Health
from service.payments.rules import State
from service.webhooks.sender import Outcome
from texts import spoken
from wire.denial import Denial, Reason
from wire.messages import Direction, DoorEventKind, Level, Purpose, TerminalKind

STATES = ("active", "suspended", "erased", "registered", "waiting", "revoked")
ENTRY_STATES = ("commanded", "confirmed", "failed")
DELIVERY_STATES = ("delivered", "exhausted", "removed")
OUTCOMES = ("approved", "denied")
WORDS = sorted(
    {
        spoken(value)
        for value in (
            *Denial, *Reason, *Role, *AlarmKind, *State, *Outcome, *STATES, *OUTCOMES,
            *DELIVERY_STATES, *Mode, *Effect, *Passback, *Failure, GRANTED, *door_watch.STATES,
            *ENTRY_STATES, *Health, *releases.State,
            *(each.name.lower() for kind in (Purpose, TerminalKind, Level, Direction, DoorEventKind)
              for each in kind),
        )
    }
)  # fmt: skip
