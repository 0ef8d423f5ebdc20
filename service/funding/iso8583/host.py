"""A bank's host as a processor.

A withdrawal is one message (0200: the host takes the money at once, and what was not handed out
is reversed); a payment is two (0100 holds, 0200 takes). A refund is a 0200 of its own.

Guarantees: all messages of a transfer carry one trace number and one retrieval reference, derived
from its id, so a repeat is seen as one. A request whose answer does not come is never asked again
but reversed (0400, then 0401), as ISO 8583 has it; an answer that comes after that is passed over.

The caller must go on reversing until the host answers: :meth:`Host.void` until it returns.
"""

from __future__ import annotations

from base64 import b32encode
from datetime import UTC, datetime

from service.funding.iso8583 import codes
from service.funding.iso8583 import message as iso
from service.funding.iso8583.line import Address, Lines, NotSent
from service.funding.iso8583.message import Message
from service.funding.processor import (
    Answer,
    Card,
    NoAnswer,
    Order,
    ProcessorName,
    Refusal,
    Side,
    Source,
)
from wire.ids import AccountId
from wire.messages import Purpose

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0
AMOUNT_MINOR_MAX = 10**12 - 1
WITHDRAW, PAY, GIVE_BACK = "010000", "000000", "200000"
SIGN_ON, ECHO = "001", "301"
ENTRY_MODE, CONDITION = "012", "00"


class Host:
    name = ProcessorName.ISO8583
    repeatable = False
    timeout_s = 3 * CONNECT_TIMEOUT_S + ANSWER_TIMEOUT_S

    def __init__(
        self, address: Address, *, acquirer: str, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        """``acquirer`` is 1 to 11 digits that the host knows this service by."""
        self._lines = Lines(address, timeout_s=CONNECT_TIMEOUT_S)
        self._acquirer = acquirer
        self._answer_timeout_s = answer_timeout_s

    def attach(self, account: AccountId, source: Source) -> Source:  # noqa: ARG002
        """A card is as it is: the bank says of each withdrawal whether it takes it."""
        if not isinstance(source, Card):
            raise RuntimeError("not a card")
        return source

    def authorize(self, order: Order, source: Source) -> Answer:
        if order.money.amount_minor > AMOUNT_MINOR_MAX:
            return Answer.declined(Refusal.LIMIT_EXCEEDED)
        single = order.purpose is Purpose.WITHDRAWAL
        request = Message("0200" if single else "0100", self._fields(order, source))
        try:
            answer = self._exchange(request)
        except NotSent:
            return Answer.declined(Refusal.UNAVAILABLE)
        code = answer.fields[iso.RESPONSE]
        if code != codes.APPROVED:
            return Answer.declined(codes.REFUSALS.get(code, Refusal.DECLINED))
        return Answer(
            side=Side.CAPTURED if single else Side.AUTHORIZED,
            reference=answer.fields.get(iso.APPROVAL),
            confirmed_minor=order.money.amount_minor if single else 0,
        )

    def capture(self, order: Order, source: Source | None, amount_minor: int) -> Answer:
        if order.purpose is Purpose.WITHDRAWAL:
            return self._keep_only(order, source, amount_minor)
        fields = self._fields(order, source)
        fields[iso.AMOUNT] = f"{amount_minor:012d}"
        answer = self._insist("0200", "0201", order, fields)
        return _taken(answer, amount_minor, order.reference)

    def _keep_only(self, order: Order, source: Source | None, amount_minor: int) -> Answer:
        """All was taken; what was not handed out is reversed, if anything."""
        if amount_minor != order.money.amount_minor:
            fields = self._reversal(order, source)
            fields[iso.REPLACEMENT] = f"{amount_minor:012d}".ljust(42, "0")
            self._reverse(order, fields)
        return Answer(side=Side.CAPTURED, reference=order.reference, confirmed_minor=amount_minor)

    def void(self, order: Order, source: Source | None) -> Answer:
        self._reverse(order, self._reversal(order, source))
        return Answer(side=Side.RELEASED, reference=order.reference)

    def refund(self, order: Order, source: Source | None) -> Answer:
        answer = self._insist("0200", "0201", order, self._fields(order, source))
        taken = _taken(answer, order.money.amount_minor, None)
        if taken.side is Side.CAPTURED:
            return Answer(
                side=Side.REFUNDED,
                reference=taken.reference,
                confirmed_minor=taken.confirmed_minor,
            )
        return taken

    def query(self, order: Order, source: Source | None) -> Answer:  # noqa: ARG002
        raise NoAnswer("a host of ISO 8583:1987 cannot be asked")

    def close(self) -> None:
        """Ends the lines that wait for the next request."""
        self._lines.close()

    def _insist(self, first: str, repeat: str, order: Order, fields: dict[str, str]) -> Message:
        try:
            return self._exchange(Message(repeat if order.again else first, fields))
        except NotSent as error:
            raise NoAnswer(f"host: {error}") from None

    def _reverse(self, order: Order, fields: dict[str, str]) -> None:
        answer = self._insist("0400", "0401", order, fields)
        if answer.fields[iso.RESPONSE] not in codes.REVERSED:
            raise NoAnswer("host: a reversal that was not accepted")

    def _exchange(self, request: Message) -> Message:
        with self._lines.take(self._greeting(SIGN_ON), self._greeting(ECHO)) as line:
            return line.exchange(request, timeout_s=self._answer_timeout_s)

    def _greeting(self, kind: str) -> Message:
        now = datetime.now(UTC)
        trace = now.hour * 3600 + now.minute * 60 + now.second + 1
        return Message(
            "0800",
            {
                iso.SENT_AT: f"{now:%m%d%H%M%S}",
                iso.TRACE: f"{trace:06d}",
                iso.ACQUIRER: self._acquirer,
                iso.NETWORK: kind,
            },
        )

    def _fields(self, order: Order, source: Source | None) -> dict[str, str]:
        sent_at = datetime.fromtimestamp(order.asked_at_ms / 1000, UTC)
        payee = b32encode(order.payee).decode().rstrip("=")
        fields = {
            iso.PROCESSING: _processing(order),
            iso.AMOUNT: f"{order.money.amount_minor:012d}",
            iso.SENT_AT: f"{sent_at:%m%d%H%M%S}",
            iso.TRACE: f"{order.trace:06d}",
            iso.LOCAL_TIME: f"{sent_at:%H%M%S}",
            iso.LOCAL_DATE: f"{sent_at:%m%d}",
            iso.ENTRY_MODE: ENTRY_MODE,
            iso.CONDITION: CONDITION,
            iso.ACQUIRER: self._acquirer,
            iso.RRN: retrieval_reference(order),
            iso.TERMINAL: payee[:8],
            iso.ACCEPTOR: payee[:15],
            iso.CURRENCY: codes.NUMBERS[order.money.currency],
        }
        if order.reference is not None:
            fields[iso.APPROVAL] = order.reference
        if isinstance(source, Card):
            fields |= {iso.PAN: source.number, iso.EXPIRY: source.expiry}
        return fields

    def _reversal(self, order: Order, source: Source | None) -> dict[str, str]:
        kind = "0200" if order.purpose is Purpose.WITHDRAWAL else "0100"
        fields = self._fields(order, source)
        original = kind + fields[iso.TRACE] + fields[iso.SENT_AT] + self._acquirer.zfill(11)
        return fields | {iso.ORIGINAL: original.ljust(42, "0")}


def retrieval_reference(order: Order) -> str:
    """Field 37: year, day and hour (UTC) of the order, and its trace: one in ten years."""
    at = datetime.fromtimestamp(order.asked_at_ms / 1000, UTC)
    return f"{at.year % 10}{at:%j%H}{order.trace:06d}"


def _processing(order: Order) -> str:
    if order.of is not None:
        return GIVE_BACK
    return WITHDRAW if order.purpose is Purpose.WITHDRAWAL else PAY


def _taken(answer: Message, amount_minor: int, reference: str | None) -> Answer:
    code = answer.fields[iso.RESPONSE]
    if code == codes.APPROVED:
        return Answer(
            side=Side.CAPTURED,
            reference=answer.fields.get(iso.APPROVAL, reference),
            confirmed_minor=amount_minor,
        )
    refusal = codes.REFUSALS.get(code, Refusal.DECLINED)
    if refusal is Refusal.UNAVAILABLE:
        raise NoAnswer("host: it cannot decide now")
    return Answer(side=Side.REFUSED, reference=reference, refusal=refusal)
