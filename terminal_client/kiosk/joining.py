"""An enrolment station's kiosk: consent, claim, face, PIN, funding, summary, the customer's copy.

Guarantees: nothing is measured before the person read the text to its end and agreed; nothing is
sent before they saw the summary and said yes. Who does not agree enrols without a face.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from terminal_client.enrolment import enrolment
from terminal_client.exchange import COMPLETED
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.host import Host
from terminal_client.kiosk.line import Line
from terminal_client.kiosk.receipt import receipt_of, square
from terminal_client.kiosk.screen import NO_FACE, Fields, View, Wrong
from terminal_client.kiosk.visit import Attempt, Look, Visit, read_choice, read_pin
from terminal_client.kiosk.words import Subject
from terminal_client.terminal import Terminal
from texts import later
from wire.ids import AccountId
from wire.messages import NO_BIOMETRICS

READ_S, COPY_S = 300.0, 120.0
AGREE, ENROL = "agree", "enrol"
FUNDING = ("wallet", "later")
SHOWN_CHARS = 4


@dataclass
class Desk:
    """``text`` is the consent text of ``version``."""

    name: str
    terminal: Terminal
    feed: Feed
    version: str
    text: str = field(repr=False)
    line: Line
    host: Host = field(init=False)

    def __post_init__(self) -> None:
        self.host = Host(
            device=self.terminal,
            line=self.line,
            subject=Subject(self.name),
            idle=View(name="attract", values={"name": self.name, "kind": "enrolment"}),
        )

    def run(self) -> None:
        self.host.run(self._serve)

    def _serve(self, _begun: Fields) -> None:
        screen, account = self.host.screen, AccountId.new()
        visit = Visit(screen=screen, feed=self.feed, subject=Subject(self.name))
        look = visit.choose()
        if look is not Look.NO_FACE:
            text = visit.view("agree", text=self.text, version=self.version)
            if screen.ask(text, read_choice(AGREE, NO_FACE), wait_s=READ_S) == NO_FACE:
                look = Look.NO_FACE
        claim = visit.claim(face=look is not Look.NO_FACE)
        visit.pin_of = Joining(self, visit).ask
        identity = self.terminal.identity
        ways = Attempt(
            terminal=self.terminal,
            feed=self.feed,
            context=enrolment(identity, account, self.version),
            card_context=enrolment(identity, account, NO_BIOMETRICS),
            act=lambda _decision: COMPLETED,
        )
        ended = visit.verify(look, claim, ways)
        if not ended.approved or ended.decision is None:
            visit.result(ended, done="")
            return
        receipt = f"{receipt_of(ended.decision, visit.subject)}\n{account}"
        screen.show(
            visit.view(
                "copy",
                lasts_s=COPY_S,
                account=str(account),
                face=visit.has_face,
                version=self.version,
                receipt=square(receipt),
            )
        )


@dataclass
class Joining:
    """What is asked after the face, or instead of it."""

    desk: Desk
    visit: Visit

    def ask(self) -> str:
        """The PIN, chosen and repeated; the rest is said on the way to it."""
        screen, visit = self.visit.screen, self.visit
        pin = screen.ask(visit.view("pin_new", again=False), read_pin)

        def same(fields: Fields) -> str:
            if read_pin(fields) != pin:
                raise Wrong(later("That was another PIN than before."))
            return pin

        screen.ask(visit.view("pin_new", again=True), same)
        funding = screen.ask(visit.view("funding"), _read_funding)
        summary = visit.view(
            "summary",
            claim=_shortened(visit.claimed),
            face=visit.has_face,
            version=self.desk.version,
            funding=funding,
        )
        screen.ask(summary, read_choice(ENROL))
        return pin


def _read_funding(fields: Fields) -> str:
    if fields.get("funding") not in FUNDING:
        raise Wrong("")
    return fields["funding"]


def _shortened(claim: str) -> str:
    """Enough for its owner to know it by, and for nobody to use it."""
    kind, _, number = claim.partition(":")
    return f"{kind} …{number[-SHOWN_CHARS:]}" if len(number) > SHOWN_CHARS else f"{kind} …"
