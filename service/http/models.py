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
from wire.ids import AccountId, AttemptId, DoorId, Id, MerchantId, TerminalId, TransferId
from wire.money import AMOUNT_MINOR_MAX, MINOR_DIGITS

TIME_MS_MAX = 2**50
POSITION_MAX = 2**53 - 1
I = TypeVar("I", bound=Id)


class _Parsed(Protocol):
    @classmethod
    def parse(cls, text: str) -> Self: ...


class _Text:
    """A value that is a text in JSON: ``kind.parse`` reads it and ``str`` writes it."""

    def __init__(self, kind: type[_Parsed], pattern: str, example: str) -> None:
        self.kind = kind
        self.schema = {"type": "string", "pattern": pattern, "example": example}

    def _read(self, value: object) -> object:
        if isinstance(value, self.kind):
            return value
        try:
            return self.kind.parse(value if isinstance(value, str) else "")
        except WireError as error:
            raise ValueError(str(error)) from None

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


def _id(kind: type[Id]) -> _Text:
    return _Text(kind, f"^{kind.PREFIX}_[a-z2-7]{{26}}$", str(example_id(kind)))


def _example(value: object) -> dict[str, Any]:
    return {"example": value}


def _known_currency(code: str) -> str:
    if code not in MINOR_DIGITS:
        raise ValueError("an unknown currency")
    return code


AccountText = Annotated[AccountId, _id(AccountId)]
AttemptText = Annotated[AttemptId, _id(AttemptId)]
DoorText = Annotated[DoorId, _id(DoorId)]
MerchantText = Annotated[MerchantId, _id(MerchantId)]
TerminalText = Annotated[TerminalId, _id(TerminalId)]
TransferText = Annotated[TransferId, _id(TransferId)]
CursorText = Annotated[
    Cursor, _Text(Cursor, r"^[0-9]{1,18}\.[0-9a-f]{32}$", f"{2**50}.{bytes(16).hex()}")
]
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=80,
        pattern=r"^[^\u0000-\u001f\u007f]+$",
        json_schema_extra=_example("Corner shop"),
    ),
]
Site = Annotated[
    str,
    Field(
        max_length=80,
        pattern=r"^[^\u0000-\u001f\u007f]*$",
        description="Where the terminal stands; empty where nobody says.",
        json_schema_extra=_example("North gate"),
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
        json_schema_extra=_example(5000),
    ),
]
TimeMs = Annotated[
    int,
    Field(
        ge=0,
        le=TIME_MS_MAX,
        description="Unix time in milliseconds.",
        json_schema_extra=_example(1_800_000_000_000),
    ),
]
LeafHash = Annotated[str, Field(pattern="^[0-9a-f]{64}$", json_schema_extra=_example("00" * 32))]
Kind = Literal["store", "atm", "door", "enrolment"]
PurposeName = Literal["payment", "withdrawal", "entry", "enrolment"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Words(BaseModel):
    """What comes as text: the path and the query."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class AccountPath(_Words):
    account: AccountText


class DoorPath(_Words):
    door: DoorText


class GrantPath(_Words):
    door: DoorText
    account: AccountText


class MerchantPath(_Words):
    merchant: MerchantText


class TerminalPath(_Words):
    terminal: TerminalText


class ReceiptPath(_Words):
    leaf_hash: LeafHash


class PageQuery(_Words):
    limit: int = Field(50, ge=1, le=PAGE_MAX, json_schema_extra=_example(10))
    after: CursorText | None = Field(None, description="The last page's `next`.")


class AttemptQuery(PageQuery):
    purpose: PurposeName | None = None
    outcome: Literal["approved", "denied"] | None = None
    terminal: TerminalText | None = None


class EntryQuery(_Words):
    start: int = Field(0, ge=0, le=POSITION_MAX, json_schema_extra=_example(0))
    limit: int = Field(50, ge=1, le=PAGE_MAX, json_schema_extra=_example(10))


class IdempotencyHeader(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    idempotency_key: TransferText = Field(
        alias="Idempotency-Key",
        description="The transfer's id, made and stored by the client before it asks.",
    )


class TopUpRequest(_Request):
    amount_minor: AmountMinor
    currency: Currency


class TerminalRequest(_Request):
    kind: Kind = Field(json_schema_extra=_example("store"))
    name: Name
    merchant: MerchantText | None = Field(None, description="A store, and only it, has one.")
    door: DoorText | None = Field(
        None, description="A door, and only it, has one.", json_schema_extra=_example(None)
    )
    site: Site = ""
    currency: Currency = Field("EUR", description="Of an ATM's notes.")


class DoorRequest(_Request):
    name: Name


class GrantRequest(_Request):
    schedule: str = Field(
        max_length=1000, json_schema_extra=_example("Mon-Fri 08:00-18:00; Sat 09:00-13:00")
    )
    time_zone: str = Field("UTC", max_length=64, json_schema_extra=_example("Europe/Berlin"))
    valid_from_ms: TimeMs = 0
    valid_until_ms: TimeMs = Field(TIME_MS_MAX, json_schema_extra=_example(1_900_000_000_000))


class MerchantRequest(_Request):
    name: Name
    currency: Currency


class Account(_Answer):
    account: AccountText
    state: Literal["active", "suspended", "erased"]
    references: int
    locked_until_ms: TimeMs
    currency: str | None
    available_minor: int | None
    held_minor: int | None
    created_at_ms: TimeMs


class AccountPage(_Answer):
    items: list[Account]
    next: CursorText | None


class TopUp(_Answer):
    transfer: TransferText
    account: AccountText
    amount_minor: AmountMinor
    currency: Currency


class Erasure(_Answer):
    account: AccountText
    state: Literal["erased"]
    leaf_hash: LeafHash


class Terminal(_Answer):
    terminal: TerminalText
    kind: Kind
    name: Name
    merchant: MerchantText | None
    door: DoorText | None
    site: Site
    state: Literal["waiting", "registered", "revoked"]
    created_at_ms: TimeMs


class TerminalPage(_Answer):
    items: list[Terminal]
    next: CursorText | None


class NewTerminal(_Answer):
    """The registration code is shown only now."""

    terminal: TerminalText
    code: str = Field(description="For one terminal, within a day.")


class Door(_Answer):
    door: DoorText
    name: Name
    created_at_ms: TimeMs


class DoorPage(_Answer):
    items: list[Door]
    next: CursorText | None


class NewDoor(_Answer):
    door: DoorText


class Grant(_Answer):
    door: DoorText
    account: AccountText
    schedule: str
    time_zone: str
    valid_from_ms: TimeMs
    valid_until_ms: TimeMs


class GrantPage(_Answer):
    items: list[Grant]
    next: CursorText | None


class Merchant(_Answer):
    merchant: MerchantText
    name: Name
    currency: str
    created_at_ms: TimeMs


class MerchantPage(_Answer):
    items: list[Merchant]
    next: CursorText | None


class NewMerchant(_Answer):
    merchant: MerchantText


class Earnings(_Answer):
    merchant: MerchantText
    currency: str
    earned_minor: int


class Payment(_Answer):
    attempt: AttemptText
    amount_minor: AmountMinor
    currency: str
    order: str
    state: Literal["pending", "posted", "voided", "expired"]
    at_ms: TimeMs


class PaymentPage(_Answer):
    items: list[Payment]
    next: CursorText | None


class Attempt(_Answer):
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


class AttemptPage(_Answer):
    items: list[Attempt]
    next: CursorText | None


class Checkpoint(_Answer):
    note: str = Field(description="C2SP tlog-checkpoint, a signed note.")


class Receipt(_Answer):
    receipt: str = Field(description="C2SP tlog-proof: verifies offline.")


class AuditEntry(_Answer):
    position: int
    leaf: str = Field(description="Base64 of the stored bytes.")
    leaf_hash: LeafHash


class EntryPage(_Answer):
    items: list[AuditEntry]
    next: int | None = Field(description="The next page's `start`.")


class FieldError(_Answer):
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
