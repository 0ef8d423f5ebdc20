"""Stripe: one PaymentIntent a transfer, off-session, captured by hand.

Guarantees: each call's idempotency key is made from our transfer's id alone, and so is the
intent's metadata, by which an intent is found again whose answer was lost. An intent counts only
where its amount, currency and transfer are those of the order. The library's own log is off.

The caller must hold the line on refunds, and call :func:`read_event` with the bytes that arrived.
An event says only that something changed: what Stripe has must then be asked, so the order in
which events arrive means nothing.

https://docs.stripe.com/api/payment_intents, /api/idempotent_requests, /webhooks
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import stripe
from stripe import StripeClient

from service.errors import Misconfigured
from service.funding.processor import (
    Answer,
    NoAnswer,
    Order,
    ProcessorName,
    Refusal,
    Side,
    Source,
    SourceRefused,
    StripeSource,
)
from wire.errors import WireError
from wire.ids import AccountId, TransferId

TIMEOUT_S = 6.0
EVENT_AGE_MAX_S = 300
LIST_MAX = 100
CLOCK_SKEW_S = 300
METADATA_KEY = "transfer"
P = ParamSpec("P")
T = TypeVar("T")
_logger = logging.getLogger("stripe")
_REFUSALS = {
    "insufficient_funds": Refusal.INSUFFICIENT_FUNDS,
    "expired_card": Refusal.SOURCE_EXPIRED,
    "authentication_required": Refusal.AUTHENTICATION_REQUIRED,
    "card_velocity_exceeded": Refusal.LIMIT_EXCEEDED,
    "withdrawal_count_limit_exceeded": Refusal.LIMIT_EXCEEDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A signed event: its id, and the transfer that it is about, if it is one of ours."""

    event: str
    transfer: TransferId | None


def _strict(method: Callable[P, T]) -> Callable[P, T]:
    """What an answer lacks, or has in another form, makes it none."""

    @wraps(method)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return method(*arguments, **named)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise NoAnswer("stripe: an answer that is none") from None

    return call


class Stripe:
    name = ProcessorName.STRIPE
    repeatable = True
    timeout_s = 3 * TIMEOUT_S

    def __init__(
        self, api_key: str, *, url: str | None = None, answer_timeout_s: float = TIMEOUT_S
    ) -> None:
        """``url`` is where another server than Stripe's own speaks its protocol.

        Raises :class:`Misconfigured` where the environment would have the library write to
        standard error what it sends.
        """
        if os.environ.get("STRIPE_LOG"):
            raise Misconfigured("STRIPE_LOG shows customers' data: unset it")
        _logger.disabled = True
        self._api = StripeClient(
            api_key,
            base_addresses={"api": url} if url else None,
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=answer_timeout_s),
        ).v1

    @_strict
    def attach(self, account: AccountId, source: Source) -> Source:
        method = _own(source).method
        customer = self._ask(
            lambda: self._api.customers.create(
                {"metadata": {"account": str(account)}}, {"idempotency_key": str(account)}
            )
        )
        try:
            self._ask(
                lambda: self._api.payment_methods.attach(
                    method,
                    {"customer": customer.id},
                    {"idempotency_key": f"{account}:{method}"},
                )
            )
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            raise SourceRefused(_refusal_of(error).value) from None
        return StripeSource(customer=customer.id, method=method)

    @_strict
    def authorize(self, order: Order, source: Source) -> Answer:
        source = _own(source)
        try:
            intent = self._ask(
                lambda: self._api.payment_intents.create(
                    {
                        "amount": order.money.amount_minor,
                        "currency": order.money.currency.lower(),
                        "customer": source.customer,
                        "payment_method": source.method,
                        "capture_method": "manual",
                        "confirm": True,
                        "off_session": True,
                        "metadata": {METADATA_KEY: str(order.transfer)},
                    },
                    {"idempotency_key": str(order.transfer)},
                )
            )
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            return Answer.declined(_refusal_of(error))
        answer = _read(order, intent)
        if answer.side is Side.DECLINED:
            self._cancel(intent)
        return answer

    @_strict
    def capture(self, order: Order, source: Source | None, amount_minor: int) -> Answer:
        found = self._find(order, source)
        if found is None:
            return Answer(side=Side.REFUSED, refusal=Refusal.STATE_NOT_ALLOWED)
        if found.status != "requires_capture":
            return self._refuse_unless(Side.CAPTURED, _read(order, found))
        try:
            taken = self._ask(
                lambda: self._api.payment_intents.capture(
                    found.id,
                    {"amount_to_capture": amount_minor},
                    {"idempotency_key": f"{order.transfer}:capture"},
                )
            )
        except (stripe.CardError, stripe.InvalidRequestError):
            taken = self._retrieve(found.id)
            return self._refuse_unless(Side.CAPTURED, _read(order, taken))
        if taken.status != "succeeded":
            raise NoAnswer("stripe: a capture that is not over")
        return Answer(side=Side.CAPTURED, reference=taken.id, confirmed_minor=amount_minor)

    @_strict
    def void(self, order: Order, source: Source | None) -> Answer:
        answer = Answer(side=Side.RELEASED)
        for found in self._find_all(order, source):
            if found.status == "succeeded":
                answer = self._give_back(order, found.id, f"{order.transfer}:reverse", None)
            else:
                self._cancel(found)
                answer = Answer(side=Side.RELEASED, reference=found.id)
        return answer

    @_strict
    def refund(self, order: Order, source: Source | None) -> Answer:
        paid = self._find(order.of, source) if order.of else None
        if paid is None:
            return Answer(side=Side.REFUSED, refusal=Refusal.STATE_NOT_ALLOWED)
        return self._give_back(order, paid.id, str(order.transfer), order.money.amount_minor)

    @_strict
    def query(self, order: Order, source: Source | None) -> Answer:
        if order.of is not None:
            paid = self._find(order.of, source)
            made = self._refund_of(order, paid.id) if paid else None
            return _read_refund(made) if made else Answer(side=Side.ASKED)
        found = self._find(order, source)
        return _read(order, found) if found else Answer(side=Side.ASKED)

    def _find(self, order: Order, source: Source | None) -> Any:
        return next(iter(self._find_all(order, source)), None)

    def _find_all(self, order: Order, source: Source | None) -> list[Any]:
        """The order's intent by its id, or all of it among the customer's newest charges."""
        if order.reference is not None:
            return [self._retrieve(order.reference)]
        if source is None:
            raise NoAnswer("stripe: the source is gone, and no intent is known")
        charges = self._ask(
            lambda: self._api.charges.list(
                {
                    "customer": _own(source).customer,
                    "created": {"gt": order.asked_at_ms // 1000 - CLOCK_SKEW_S},
                    "limit": LIST_MAX,
                }
            )
        )
        intents = [
            self._retrieve(charge.payment_intent)
            for charge in charges.data
            if charge.amount == order.money.amount_minor and charge.payment_intent
        ]
        return [intent for intent in intents if _is_of(intent, order)]

    def _cancel(self, intent: Any) -> None:
        if intent.status == "canceled":
            return
        try:
            now = self._ask(
                lambda: self._api.payment_intents.cancel(
                    intent.id, {}, {"idempotency_key": f"{intent.id}:cancel"}
                )
            )
        except (stripe.CardError, stripe.InvalidRequestError):
            now = self._retrieve(intent.id)
        if now.status != "canceled":
            raise NoAnswer("stripe: an intent that cannot be cancelled now")

    def _give_back(self, order: Order, intent: str, key: str, amount_minor: int | None) -> Answer:
        """Refunds once, also where the idempotency key is forgotten: refunds are looked up."""
        made = self._refund_of(order, intent)
        if made is None:
            wanted: Any = {
                "payment_intent": intent,
                "metadata": {METADATA_KEY: str(order.transfer)},
            }
            if amount_minor is not None:
                wanted["amount"] = amount_minor
            try:
                made = self._ask(lambda: self._api.refunds.create(wanted, {"idempotency_key": key}))
            except (stripe.CardError, stripe.InvalidRequestError) as error:
                return Answer(side=Side.REFUSED, refusal=_refusal_of(error))
        answer = _read_refund(made)
        if order.of is None and answer.side is Side.REFUNDED:
            return Answer(side=Side.RELEASED, reference=intent)
        return answer

    def _refund_of(self, order: Order, intent: str) -> Any:
        refunds = self._ask(
            lambda: self._api.refunds.list({"payment_intent": intent, "limit": LIST_MAX})
        )
        return next(
            (each for each in refunds.data if _is_of(each, order)),
            None,
        )

    def _retrieve(self, intent: str) -> Any:
        try:
            return self._ask(lambda: self._api.payment_intents.retrieve(intent))
        except stripe.InvalidRequestError:
            raise NoAnswer("stripe: an intent of ours is not there") from None

    def _refuse_unless(self, wanted: Side, answer: Answer) -> Answer:
        if answer.side is wanted:
            return answer
        return Answer(
            side=Side.REFUSED, reference=answer.reference, refusal=Refusal.STATE_NOT_ALLOWED
        )

    def _ask(self, call: Callable[[], Any]) -> Any:
        """Lets refusals through; everything that leaves the outcome open is :class:`NoAnswer`.

        A refusal is a card that was declined, or a request that Stripe does not take (400, 404):
        it has done nothing then. A 409 is the same key still at work; of a 5xx Stripe says that
        the outcome is not known.
        """
        try:
            return call()
        except stripe.CardError:
            raise
        except stripe.InvalidRequestError as error:
            if error.http_status in (400, 404):
                raise
            raise NoAnswer(f"stripe: {error.http_status}") from None
        except stripe.StripeError as error:
            # Its text may quote the request.
            raise NoAnswer(f"stripe: {type(error).__name__}") from None


def read_event(body: bytes, signature: str, secret: str, *, now_ms: int) -> Event:
    """Raises ValueError, which quotes nothing, for what Stripe did not sign of late."""
    try:
        text = body.decode()
        stripe.WebhookSignature.verify_header(text, signature, secret)
        # One time alone, so that the one that was verified is the one that is looked at.
        (signed_at,) = re.findall(r"t=([^,]*)", signature)
        late = abs(now_ms // 1000 - int(signed_at)) > EVENT_AGE_MAX_S
        said = json.loads(text)
        event, metadata = said["id"], said["data"]["object"].get("metadata")
        named = re.fullmatch(r"evt_[A-Za-z0-9_]{1,100}", event)
    except (stripe.StripeError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError("not an event that Stripe signed") from None
    if late or named is None:
        raise ValueError("an event that was signed too long ago, or has no id")
    return Event(event=event, transfer=_transfer_in(metadata))


def _transfer_in(metadata: object) -> TransferId | None:
    named = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    try:
        return TransferId.parse(named) if isinstance(named, str) else None
    except WireError:
        return None


def _is_of(thing: Any, order: Order) -> bool:
    metadata = getattr(thing, "metadata", None)
    return getattr(metadata, METADATA_KEY, None) == str(order.transfer)


def _own(source: Source) -> StripeSource:
    if not isinstance(source, StripeSource):
        raise RuntimeError("not a source of Stripe's")
    return source


def _read(order: Order, intent: Any) -> Answer:
    """Only an intent of this very order says anything."""
    same = (
        intent.amount == order.money.amount_minor
        and intent.currency.upper() == order.money.currency
        and _is_of(intent, order)
    )
    if not same:
        raise NoAnswer("stripe: an intent of another order")
    if intent.status == "requires_capture":
        return Answer(side=Side.AUTHORIZED, reference=intent.id)
    if intent.status == "succeeded":
        taken = getattr(intent, "amount_received", intent.amount)
        return Answer(side=Side.CAPTURED, reference=intent.id, confirmed_minor=taken)
    if intent.status == "canceled":
        return Answer(side=Side.RELEASED, reference=intent.id)
    if intent.status == "requires_action":
        return Answer.declined(Refusal.AUTHENTICATION_REQUIRED, intent.id)
    if intent.status == "requires_payment_method":
        return Answer.declined(Refusal.DECLINED, intent.id)
    raise NoAnswer("stripe: an intent that is not over")


def _read_refund(made: Any) -> Answer:
    if made.status in ("failed", "canceled"):
        return Answer(side=Side.REFUSED, reference=made.id, refusal=Refusal.DECLINED)
    return Answer(side=Side.REFUNDED, reference=made.id, confirmed_minor=made.amount)


def _refusal_of(error: stripe.StripeError) -> Refusal:
    """By the code, or by what the bank said (https://docs.stripe.com/declines/codes)."""
    if not isinstance(error, stripe.CardError):
        return Refusal.SOURCE_NOT_ACCEPTED
    bank = getattr(error.error, "decline_code", None)
    return _REFUSALS.get(str(bank), _REFUSALS.get(str(error.code), Refusal.DECLINED))
