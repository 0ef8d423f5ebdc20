"""What a kiosk tells people, where the terminal's own parts only have a name for it."""

from __future__ import annotations

from dataclasses import dataclass

from face_engine.quality import Flaw
from liveness.challenge import Move
from liveness.types import Outcome
from terminal_client.ceremony import COLOURS_UNREADABLE
from terminal_client.enrolment import CONSENT_TEXT, CONSENT_VERSION, Consent
from terminal_client.exchange import Ended, Ending
from terminal_client.payments import State
from terminal_client.till import CANCELLED, INTERNAL, INTERRUPTED, UNREACHABLE
from texts import LANGUAGES, catalogue, later, spoken
from wire.denial import Reason

TEXTS = "terminal_client.kiosk.language"
LOOK, HOLD = "Look at the camera", Flaw.BLURRED.instruction
INSTRUCTIONS = (LOOK, *(flaw.instruction for flaw in Flaw), *(move.instruction for move in Move))
DOING = {
    "choose": "chooses how to pay",
    "claim": "shows a card",
    "face": "looks at the camera",
    "again": "may try again",
    "camera": "waits for the camera",
    "pin": "enters the PIN",
    "wait": "is being decided",
}
"""What the person does at a view, as the cashier reads it."""
NAMES: tuple[str, ...] = (
    *State,
    *Reason,
    *Flaw,
    *Outcome,
    *(ending.value for ending in Ending),
    *(INTERRUPTED, CANCELLED, UNREACHABLE, INTERNAL, COLOURS_UNREADABLE),
)
WORDS = sorted({CONSENT_TEXT, *INSTRUCTIONS, *DOING.values(), *map(spoken, NAMES)})
"""Texts of other packages, which the catalogues hold, too."""

NOT_ACCEPTED = later("The service does not accept this terminal. Ask the staff.")
_REASONS: dict[str, str] = {
    Reason.NOT_VERIFIED: later("Face, card or PIN do not belong together."),
    Reason.CHALLENGE_NOT_ACCEPTED: later("It took too long. Please start again."),
    Reason.EVIDENCE_NOT_ACCEPTED: later("This terminal's camera is not accepted. Ask the staff."),
    Reason.LIVENESS_NOT_SHOWN: later("It was not clear that a person stands here."),
    Reason.INSUFFICIENT_FUNDS: later("There is not enough money on the account."),
    Reason.LIMIT_EXCEEDED: later("The amount is above the limit."),
    Reason.REFUSED_FOR_NOW: later("A limit is reached for now. Try a smaller amount, or later."),
    Reason.NOT_PERMITTED: later("This is not permitted to this account here."),
    Reason.OUTSIDE_SCHEDULE: later("Not at this time. Come back within your hours."),
    Reason.DOOR_CLOSED: later("Nobody may pass here now. Do as the staff says."),
    Reason.SECOND_PERSON_MISSING: later("This door opens for two. The second person now, please."),
    Reason.ENROLMENT_NOT_ACCEPTED: later("This card or number is taken, or the pictures differ."),
    Reason.TERMINAL_NOT_ACCEPTED: later(
        "The service does not accept this terminal. Ask the staff."
    ),
    Reason.TOO_MANY_REQUESTS: later("This terminal asks too often. Wait a few seconds."),
    Reason.UNAVAILABLE: later("The service is not available now. Please start again."),
}
_ENDINGS = {
    Ending.NO_USABLE_FACE: later("No face could be seen well enough."),
    Ending.NOT_LIVE: later("The camera did not see what was asked for."),
    Ending.FRAMES_DISAGREE: later("One person at a time, please."),
    Ending.MODEL_NOT_ACCEPTED: NOT_ACCEPTED,
}
UNKNOWN = later("The service refused it. Ask the staff.")


def shipped_consent(version: str = CONSENT_VERSION) -> Consent:
    """The text that comes along, in every language of the catalogues."""
    texts = {each: catalogue(TEXTS, each).gettext(CONSENT_TEXT) for each in LANGUAGES}
    return Consent(version=version, texts=texts)


def why(ended: Ended) -> str:
    """In English, as the catalogues have it."""
    if ended.ending is Ending.DENIED:
        return reason(ended.reason)
    return _ENDINGS[ended.ending]


def reason(name: str | None) -> str:
    return _REASONS.get(name or "", UNKNOWN)


@dataclass(frozen=True, slots=True)
class Subject:
    """What it is about, on each view of one visit; ``payee`` is the door's or desk's name, too."""

    payee: str
    amount_minor: int | None = None
    currency: str = ""
    order: str = ""
