"""The JSON API's requests and answers. Requests are strict: unknown keys are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema, core_schema

from service.operators.pages import PAGE_MAX, Cursor
from wire.denial import Denial, Reason
from wire.errors import WireError
from wire.ids import (
    AccountId,
    AttemptId,
    DoorId,
    Id,
    MerchantId,
    PaymentIntentId,
    TerminalId,
    TransferId,
)
from wire.money import AMOUNT_MINOR_MAX, MINOR_DIGITS

TIME_MS_MAX = 2**50
POSITION_MAX = 2**53 - 1
I = TypeVar("I", bound=Id)


class _Parsed(Protocol):
    @classmethod
    def parse(cls, text: str) -> Self: ...


class _Text:
    """A value that is a text in JSON: a kind's ``parse`` reads it and ``str`` writes it."""

    def __init__(self, pattern: str, example: str, *kinds: type[_Parsed]) -> None:
        self.kinds = kinds
        self.schema = {"type": "string", "pattern": pattern, "example": example}

    def _read(self, value: object) -> object:
        if isinstance(value, self.kinds):
            return value
        refused = ""
        for kind in self.kinds:
            try:
                return kind.parse(value if isinstance(value, str) else "")
            except WireError as error:
                refused = str(error)
        raise ValueError(refused)

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._read, serialization=core_schema.to_string_ser_schema()
        )

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, __: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


def example_id(kind: type[I]) -> I:
    """The id that stands in the document's examples."""
    return kind(f"example of {kind.PREFIX}..".encode())


def id_text(*kinds: type[Id]) -> _Text:
    """The text of an id of one of these kinds."""
    prefixes = "|".join(kind.PREFIX for kind in kinds)
    prefix = prefixes if len(kinds) == 1 else f"({prefixes})"
    return _Text(f"^{prefix}_[a-z2-7]{{26}}$", str(example_id(kinds[0])), *kinds)


def example(value: object) -> dict[str, Any]:
    return {"example": value}


def _known_currency(code: str) -> str:
    if code not in MINOR_DIGITS:
        raise ValueError("an unknown currency")
    return code


AccountText = Annotated[AccountId, id_text(AccountId)]
AttemptText = Annotated[AttemptId, id_text(AttemptId)]
DoorText = Annotated[DoorId, id_text(DoorId)]
MerchantText = Annotated[MerchantId, id_text(MerchantId)]
PaymentIntentText = Annotated[PaymentIntentId, id_text(PaymentIntentId)]
TerminalText = Annotated[TerminalId, id_text(TerminalId)]
TransferText = Annotated[TransferId, id_text(TransferId)]
CursorText = Annotated[
    Cursor, _Text(r"^[0-9]{1,18}\.[0-9a-f]{32}$", f"{2**50}.{bytes(16).hex()}", Cursor)
]
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=80,
        pattern=r"^[^\u0000-\u001f\u007f]+$",
        json_schema_extra=example("Corner shop"),
    ),
]
Site = Annotated[
    str,
    Field(
        max_length=80,
        pattern=r"^[^\u0000-\u001f\u007f]*$",
        description="Where the terminal stands; empty where nobody says.",
        json_schema_extra=example("North gate"),
    ),
]
Currency = Annotated[
    str,
    AfterValidator(_known_currency),
    Field(json_schema_extra={"enum": sorted(MINOR_DIGITS), "example": "EUR"}),
]
AmountMinor = Annotated[
    int,
    Field(
        ge=1,
        le=AMOUNT_MINOR_MAX,
        description="In minor units of the currency.",
        json_schema_extra=example(5000),
    ),
]
SumMinor = Annotated[
    int,
    Field(ge=0, description="In minor units of the currency.", json_schema_extra=example(0)),
]
TimeMs = Annotated[
    int,
    Field(
        ge=0,
        le=TIME_MS_MAX,
        description="Unix time in milliseconds.",
        json_schema_extra=example(1_800_000_000_000),
    ),
]
LeafHash = Annotated[str, Field(pattern="^[0-9a-f]{64}$", json_schema_extra=example("00" * 32))]
Kind = Literal["store", "atm", "door", "enrolment"]
PurposeName = Literal["payment", "withdrawal", "entry", "enrolment"]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Words(BaseModel):
    """What comes as text: the path and the query."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class AccountPath(Words):
    account: AccountText


class MerchantPath(Words):
    merchant: MerchantText


class TerminalPath(Words):
    terminal: TerminalText


class ReceiptPath(Words):
    leaf_hash: LeafHash


class PageQuery(Words):
    limit: int = Field(50, ge=1, le=PAGE_MAX, json_schema_extra=example(10))
    after: CursorText | None = Field(None, description="The last page's `next`.")


class AttemptQuery(PageQuery):
    purpose: PurposeName | None = None
    outcome: Literal["approved", "denied"] | None = None
    terminal: TerminalText | None = None


class EntryQuery(Words):
    start: int = Field(0, ge=0, le=POSITION_MAX, json_schema_extra=example(0))
    limit: int = Field(50, ge=1, le=PAGE_MAX, json_schema_extra=example(10))


class IdempotencyHeader(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    idempotency_key: str = Field(
        alias="Idempotency-Key",
        pattern="^[A-Za-z0-9_-]{16,64}$",
        description=(
            "Stands for this request, made and stored by the client before it asks: the same"
            " request with the same key again does nothing and gets the same answer."
        ),
        json_schema_extra=example("2f1c4c5e-8f0b-4a52-9c0e-5d7c3a1b9e44"),
    )


class TopUpRequest(Request):
    amount_minor: AmountMinor
    currency: Currency


class FundingSourceRequest(Request):
    """Of Stripe a payment method, made by Stripe's own form; of a bank's host a card."""

    processor: Literal["stripe", "iso8583"] = Field(json_schema_extra=example("iso8583"))
    payment_method: str | None = Field(
        None,
        pattern="^pm_[A-Za-z0-9_]{1,100}$",
        description="For Stripe.",
        json_schema_extra=example(None),
        repr=False,
    )
    card_number: str | None = Field(
        None,
        max_length=30,
        description="For the host: 12 to 19 digits.",
        json_schema_extra=example("4242 4242 4242 4242"),
        repr=False,
    )
    card_expiry: str | None = Field(
        None,
        max_length=5,
        description="For the host: MM/YY.",
        json_schema_extra=example("12/34"),
        repr=False,
    )


class TerminalRequest(Request):
    kind: Kind = Field(json_schema_extra=example("store"))
    name: Name
    merchant: MerchantText | None = Field(None, description="A store, and only it, has one.")
    door: DoorText | None = Field(
        None, description="A door, and only it, has one.", json_schema_extra=example(None)
    )
    site: Site = ""
    currency: Currency = Field("EUR", description="Of an ATM's notes.")


class MerchantRequest(Request):
    name: Name
    currency: Currency


class Account(Answer):
    account: AccountText
    state: Literal["active", "suspended", "erased"]
    references: int
    locked_until_ms: TimeMs
    currency: str | None
    available_minor: int | None
    held_minor: int | None
    created_at_ms: TimeMs


class AccountPage(Answer):
    items: list[Account]
    next: CursorText | None


class TopUp(Answer):
    transfer: TransferText
    account: AccountText
    amount_minor: AmountMinor
    currency: Currency


class FundingSource(Answer):
    account: AccountText
    processor: Literal["stripe", "iso8583"]


class Erasure(Answer):
    account: AccountText
    state: Literal["erased"]
    leaf_hash: LeafHash


class Terminal(Answer):
    terminal: TerminalText
    kind: Kind
    name: Name
    merchant: MerchantText | None
    door: DoorText | None
    site: Site
    state: Literal["waiting", "registered", "revoked"]
    created_at_ms: TimeMs


class TerminalPage(Answer):
    items: list[Terminal]
    next: CursorText | None


class NewTerminal(Answer):
    """The registration code is shown only now."""

    terminal: TerminalText
    code: str = Field(description="For one terminal, within a day.")


class Merchant(Answer):
    merchant: MerchantText
    name: Name
    currency: str
    created_at_ms: TimeMs


class MerchantPage(Answer):
    items: list[Merchant]
    next: CursorText | None


class NewMerchant(Answer):
    merchant: MerchantText


class Earnings(Answer):
    merchant: MerchantText
    currency: str
    earned_minor: int


class Payment(Answer):
    """`amount_minor` is what the customer approved, `posted_minor` what moved of it."""

    attempt: AttemptText
    payment_intent: PaymentIntentText | None
    amount_minor: AmountMinor
    posted_minor: SumMinor
    refunded_minor: SumMinor
    currency: str
    order: str
    state: Literal["pending", "posted", "voided", "expired"]
    at_ms: TimeMs


class PaymentPage(Answer):
    items: list[Payment]
    next: CursorText | None


class Attempt(Answer):
    """`denial` and `account` are null without the scope `audit:read`."""

    attempt: AttemptText
    terminal: TerminalText
    purpose: PurposeName
    outcome: Literal["approved", "denied"]
    reason: Reason | None
    denial: Denial | None
    account: AccountText | None
    leaf_hash: LeafHash
    decided_at_ms: TimeMs


class AttemptPage(Answer):
    items: list[Attempt]
    next: CursorText | None


class Checkpoint(Answer):
    note: str = Field(description="C2SP tlog-checkpoint, a signed note.")


class Receipt(Answer):
    receipt: str = Field(description="C2SP tlog-proof: verifies offline.")


class AuditEntry(Answer):
    position: int
    leaf: str = Field(description="Base64 of the stored bytes.")
    leaf_hash: LeafHash


class EntryPage(Answer):
    items: list[AuditEntry]
    next: int | None = Field(description="The next page's `start`.")


class FieldError(Answer):
    at: str
    says: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(pattern="^urn:countenance:problem:[a-z_]+$")
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldError] | None = None
