"""``countenance terminal``: the operators' commands, and the device's own.

Each command is imported when it is called: a door controller needs no database driver, and an
operator's machine no camera.
"""

from __future__ import annotations

from countenance.cli import LazyGroup

OPERATOR = "countenance.commands.terminal_operator"
DEVICE = "countenance.commands.terminal_device"

terminal = LazyGroup(
    name="terminal",
    help="Terminals: add, list and revoke them; register and run one on this device.",
    lazy={
        "add": (OPERATOR, "Operator: add a terminal, print its one-time code."),
        "list": (f"{OPERATOR}:list_terminals", "Operator: all terminals."),
        "revoke": (OPERATOR, "Operator: accept nothing more from one."),
        "register": (DEVICE, "This device: make a key, use the code up."),
        "status": (DEVICE, "This device: who it is, what waits to be sent."),
        "reconcile": (DEVICE, "This device: settle what the last run left."),
        "enrol": (DEVICE, "Enrol a customer: consent, claim, PIN, face."),
        "pay": (DEVICE, "Take a payment."),
        "withdraw": (DEVICE, "Give cash."),
        "load": (DEVICE, "Say that the cassettes were filled."),
        "enter": (DEVICE, "Open the door."),
    },
)
