"""An attempt without a face: by a card, a code or a badge, and a PIN.

    ceremony = CardCeremony(identity, key, context, claim)
    send(ceremony.ask(now))                      -> ceremony.begin(answer)
    send(ceremony.evidence(counter, pin, now))   -> ceremony.decide(answer)
    act, then send(ceremony.confirm(word, now))  -> ceremony.acknowledge(answer)

Guarantees: those of :mod:`terminal_client.exchange`; no camera is opened and no picture taken.
Claim and PIN are sealed before they leave this object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from terminal_client.device import Actuator, Device
from terminal_client.errors import NotTheService, UsageError
from terminal_client.exchange import Ended, Exchange, State
from terminal_client.outbox import CARD_ATTEMPT
from terminal_client.transport import CHALLENGE, send
from wire import envelope
from wire.envelope import SealKey
from wire.ids import AttemptId
from wire.messages import CARD_CLAIMS, CardEvidence, CardProbe, ChallengeRequest, Context


@dataclass(slots=True)
class CardCeremony(Exchange):
    PATH = CARD_ATTEMPT

    def ask(self, now_ms: int) -> bytes:
        """The signed request for a challenge; ``now_ms`` is Unix time."""
        self._step(State.NEW, State.ASKED)
        request = ChallengeRequest(
            terminal=self.identity.terminal,
            context=self.context,
            requested_at_ms=now_ms,
            colours=False,
            face=False,
        )
        return envelope.sign(request, self.key).raw

    def begin(self, answer: bytes) -> None:
        """Takes the challenge; raises :class:`NotTheService`."""
        challenge = self._take_challenge(answer, State.ENOUGH)
        if challenge.factor.has_face:
            raise NotTheService("a challenge for a face")

    def evidence(self, *, counter: int, pin: str, now_ms: int) -> bytes:
        """The signed evidence, claim and PIN in it sealed. Store it before sending it."""
        self._step(State.ENOUGH, State.SENT)
        challenge = self._expect(self._challenge)
        seal_key = SealKey(challenge.seal_suite, challenge.seal_key)
        clear = CardEvidence(
            challenge=challenge.challenge,
            nonce=challenge.nonce,
            attempt=self.attempt,
            terminal=self.identity.terminal,
            counter=counter,
            context=self.context,
            entered_at_ms=now_ms,
            seal_key_digest=seal_key.digest,
            sealed=b"-",
        )
        sealed = seal_key.seal(CardProbe(claim=self.claim, pin=pin).encode(), clear.binding)
        signed = envelope.sign(replace(clear, sealed=sealed), self.key)
        self._evidence, self.claim = signed, ""
        return signed.raw


def attempt_by_card(
    device: Device,
    context: Context,
    claim: str,
    pin: Callable[[], str],
    *,
    act: Actuator,
    on_send: Callable[[], None] = lambda: None,
    attempt: AttemptId | None = None,
) -> Ended:
    """One whole attempt without a face. Raises :class:`TerminalError` where there is no decision.

    ``on_send`` is :meth:`~terminal_client.device.Device.carry_out`'s.
    """
    ceremony = CardCeremony(
        device.identity,
        device.keystore.signing_key(device.identity),
        context,
        check_card_claim(claim),
        attempt=attempt or AttemptId.new(),
    )
    ceremony.begin(send(device.transport, CHALLENGE, ceremony.ask(device.unix_ms())))
    ceremony.evidence(counter=device.keystore.next_counter(), pin=pin(), now_ms=device.unix_ms())
    return device.carry_out(ceremony, act, on_send=on_send)


def check_card_claim(claim: str) -> str:
    """Raises :class:`UsageError` for what a person does not have with them."""
    if not claim.startswith(CARD_CLAIMS):
        raise UsageError("without a face, a claim reads card:…, qr:… or badge:…")
    return claim
