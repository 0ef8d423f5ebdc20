"""An enrolment station's kiosk: consent, claim, face, PIN, funding, summary, the customer's copy.

Guarantees: nothing is measured before the person read the text to its end and agreed, and the
evidence names the language that they read it in; nothing is sent before they saw the summary and
said yes. Who does not agree enrols without a face. What they pay from is not sent: every account
begins with its wallet, and the copy, which the person takes along, says whether a bank card is
to be added by the staff.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from terminal_client.enrolment import Consent, enrolment
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
WALLET, BANK_CARD = "wallet", "bank_card"
SHOWN_CHARS = 4


@dataclass
class Desk:
    """``enrolled`` is told of each new account."""

    name: str
    terminal: Terminal
    feed: Feed
    consent: Consent
    line: Line
    enrolled: Callable[[AccountId], None] = lambda _account: None
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
        look, agreed_to = visit.choose(), NO_BIOMETRICS
        if look is not Look.NO_FACE:
            text = visit.view("agree", consent=self.consent)
            agreed_to = screen.ask(text, self._read_consent, wait_s=READ_S)
            look = Look.NO_FACE if agreed_to == NO_BIOMETRICS else look
        claim = visit.claim(face=look is not Look.NO_FACE)
        joining = Joining(visit, agreed_to)
        visit.pin_of = joining.ask
        identity = self.terminal.identity
        ways = Attempt(
            terminal=self.terminal,
            feed=self.feed,
            context=enrolment(identity, account, agreed_to),
            card_context=enrolment(identity, account, NO_BIOMETRICS),
            act=lambda _decision: COMPLETED,
        )
        ended = visit.verify(look, claim, ways)
        if not ended.approved or ended.decision is None:
            visit.result(ended, done="")
            return
        self.enrolled(account)
        copy = [receipt_of(ended.decision, visit.subject), str(account)]
        if joining.funding == BANK_CARD:
            copy.append("bank card to be added")
        screen.show(
            visit.view(
                "copy",
                lasts_s=COPY_S,
                account=str(account),
                face=visit.has_face,
                version=agreed_to,
                funding=joining.funding,
                receipt=square("\n".join(copy)),
            )
        )

    def _read_consent(self, fields: Fields) -> str:
        """What was agreed to, in the language that the page showed it in."""
        if read_choice(AGREE, NO_FACE)(fields) == NO_FACE:
            return NO_BIOMETRICS
        language = fields.get("language", "")
        if language not in self.consent.texts:
            raise Wrong("")
        return self.consent.named(language)


@dataclass
class Joining:
    """What is asked after the face, or instead of it; ``funding`` is what was chosen."""

    visit: Visit
    agreed_to: str
    funding: str = WALLET

    def ask(self) -> str:
        """The PIN, chosen and repeated; the rest is said on the way to it."""
        screen, visit = self.visit.screen, self.visit
        pin = screen.ask(visit.view("pin_new", again=False), read_pin)

        def same(fields: Fields) -> str:
            if read_pin(fields) != pin:
                raise Wrong(later("That was another PIN than before."))
            return pin

        screen.ask(visit.view("pin_new", again=True), same)
        self.funding = screen.ask(visit.view("funding"), _read_funding)
        kind, ends = _shortened(visit.claimed)
        summary = visit.view(
            "summary",
            kind=kind,
            ends=ends,
            face=visit.has_face,
            version=self.agreed_to,
            funding=self.funding,
        )
        screen.ask(summary, read_choice(ENROL))
        return pin


def _read_funding(fields: Fields) -> str:
    if fields.get("funding") not in (WALLET, BANK_CARD):
        raise Wrong("")
    return fields["funding"]


def _shortened(claim: str) -> tuple[str, str]:
    """Enough for its owner to know it by, and for nobody to use it."""
    kind, _, number = claim.partition(":")
    return kind, number[-SHOWN_CHARS:] if len(number) > SHOWN_CHARS else ""
