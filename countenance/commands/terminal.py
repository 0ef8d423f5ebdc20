"""``countenance terminal``: the operators' commands, and the device's own.

Each command is imported when it is called: a door controller needs no database driver, and an
operator's machine no camera.
"""

from __future__ import annotations

from countenance.cli import LazyGroup

OPERATOR = "countenance.commands.terminal_operator"
DEVICE = "countenance.commands.terminal_device"
TILL = "countenance.commands.terminal_till"
ATM = "countenance.commands.terminal_atm"

terminal = LazyGroup(
    name="terminal",
    help="Terminals: add, list and revoke them; register and run one on this device.",
    lazy={
        "add": (OPERATOR, "Operator: add a terminal, print its one-time code."),
        "list": (f"{OPERATOR}:list_terminals", "Operator: all terminals."),
        "revoke": (OPERATOR, "Operator: accept nothing more from one."),
        "accept-camera": (f"{OPERATOR}:accept_camera", "Operator: accept its new camera."),
        "register": (DEVICE, "This device: make a key, use the code up."),
        "status": (DEVICE, "This device: who it is, what waits to be sent."),
        "reconcile": (DEVICE, "This device: settle what the last run left."),
        "enrol": (DEVICE, "Enrol a customer: consent, claim, PIN, face."),
        "pay": (DEVICE, "Take a payment."),
        "take": (DEVICE, "Take the payment that the merchant's system asks for."),
        "till": (TILL, "Take the payments that a till asks for."),
        "till-token": (f"{TILL}:till_token", "The token that the till must show."),
        "keypad": (TILL, "Take payments typed at this terminal."),
        "kiosk": (
            "countenance.commands.terminal_kiosk",
            "Serve this terminal's screen: pages for any Chromium.",
        ),
        "withdraw": (ATM, "Give cash."),
        "load": (ATM, "Say that the cassettes were filled."),
        "atm": (ATM, "A cash machine's own books."),
        "enter": (DEVICE, "Open the door, for one person."),
        "door": (
            "countenance.commands.terminal_door",
            "Stand at a door: run, watch, status, keys.",
        ),
    },
)
