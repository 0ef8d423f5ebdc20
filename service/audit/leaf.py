"""What a leaf of the audit log says: deterministic CBOR, pseudonymous.

Guarantee: a leaf holds ids, amounts and outcomes; never a claim, name, score, embedding or
PIN. After an account is erased, its id in old leaves leads to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wire import codec
from wire.codec import Message, on_wire
from wire.ids import AccountId, AlarmId, AttemptId, DoorId, TerminalId, TransferId
from wire.messages import (
    CONTEXT,
    MODEL_ID_BYTES,
    Completion,
    Context,
    DoorRecord,
    Factor,
    Outcome,
)
from wire.money import AMOUNT_MINOR_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLeaf(Message):
    """One attempt's decision. ``account`` is absent where no account was found;
    ``enrolled_model`` is there where the attempt also enrolled the face by a newer model,
    ``companion`` where a second person was let in with the first;
    ``factor`` says which way it was, and is absent in leaves from before there was a choice.
    """

    kind: str = field(default="decision", metadata=on_wire(1, codec.text(16)))
    at_ms: int = field(metadata=on_wire(2, codec.uint()))
    attempt: AttemptId = field(metadata=on_wire(3, codec.ident(AttemptId)))
    terminal: TerminalId = field(metadata=on_wire(4, codec.ident(TerminalId)))
    context: Context = field(metadata=on_wire(5, CONTEXT))
    evidence_digest: bytes = field(metadata=on_wire(6, codec.octets(32)))
    policy_version: int = field(metadata=on_wire(7, codec.uint()))
    outcome: Outcome = field(metadata=on_wire(8, codec.code(Outcome)))
    denial: str | None = field(metadata=on_wire(9, codec.text(40), optional=True))
    account: AccountId | None = field(metadata=on_wire(10, codec.ident(AccountId), optional=True))
    enrolled_model: bytes | None = field(
        default=None, metadata=on_wire(11, codec.octets(MODEL_ID_BYTES), optional=True)
    )
    factor: Factor | None = field(
        default=None, metadata=on_wire(12, codec.code(Factor), optional=True)
    )
    companion: AccountId | None = field(
        default=None, metadata=on_wire(13, codec.ident(AccountId), optional=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationLeaf(Message):
    """What became of an approval. ``finding`` names a money state that needs a person;
    ``amount_minor`` is what was handed out, where it is less than was approved."""

    kind: str = field(default="confirmation", metadata=on_wire(1, codec.text(16)))
    at_ms: int = field(metadata=on_wire(2, codec.uint()))
    attempt: AttemptId = field(metadata=on_wire(3, codec.ident(AttemptId)))
    completion: Completion = field(metadata=on_wire(4, codec.code(Completion)))
    finding: str | None = field(metadata=on_wire(5, codec.text(40), optional=True))
    amount_minor: int | None = field(
        default=None, metadata=on_wire(6, codec.uint(AMOUNT_MINOR_MAX), optional=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ActLeaf(Message):
    """An administrative act: ``act`` is like ``account.suspend``, ``subject`` an id's text.

    A subject of two ids has a blank between: who, then where.
    ``actor`` is the API token's id; absent for the commands on the service's own machine.
    ``transfer`` and ``content`` (:attr:`service.ledger.rules.Transfer.content`) are those of
    an act that moved money; ``amount_minor`` is what was captured of a hold.
    """

    kind: str = field(default="act", metadata=on_wire(1, codec.text(16)))
    at_ms: int = field(metadata=on_wire(2, codec.uint()))
    act: str = field(metadata=on_wire(3, codec.text(40)))
    subject: str = field(metadata=on_wire(4, codec.text(80)))
    nonce: bytes = field(metadata=on_wire(5, codec.octets(16)))
    actor: str | None = field(metadata=on_wire(6, codec.text(80), optional=True))
    transfer: TransferId | None = field(
        default=None, metadata=on_wire(7, codec.ident(TransferId), optional=True)
    )
    content: bytes | None = field(
        default=None, metadata=on_wire(8, codec.octets(32), optional=True)
    )
    amount_minor: int | None = field(
        default=None, metadata=on_wire(9, codec.uint(AMOUNT_MINOR_MAX), optional=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmLeaf(Message):
    """Something that a person must look at. ``cause`` is a :class:`service.alarms.AlarmKind`."""

    kind: str = field(default="alarm", metadata=on_wire(1, codec.text(16)))
    at_ms: int = field(metadata=on_wire(2, codec.uint()))
    alarm: AlarmId = field(metadata=on_wire(3, codec.ident(AlarmId)))
    cause: str = field(metadata=on_wire(4, codec.text(40)))
    terminal: TerminalId = field(metadata=on_wire(5, codec.ident(TerminalId)))
    nonce: bytes = field(metadata=on_wire(6, codec.octets(16)))
    door: DoorId | None = field(metadata=on_wire(7, codec.ident(DoorId), optional=True))
    attempt: AttemptId | None = field(metadata=on_wire(8, codec.ident(AttemptId), optional=True))
    account: AccountId | None = field(metadata=on_wire(9, codec.ident(AccountId), optional=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorRecordLeaf(Message):
    """What a door reported, as it did; ``at_ms`` is when it came, ``head`` that of its chain.
    ``account`` and ``companion`` are whom the record's decision names."""

    kind: str = field(default="door", metadata=on_wire(1, codec.text(16)))
    at_ms: int = field(metadata=on_wire(2, codec.uint()))
    terminal: TerminalId = field(metadata=on_wire(3, codec.ident(TerminalId)))
    door: DoorId | None = field(metadata=on_wire(4, codec.ident(DoorId), optional=True))
    record: DoorRecord = field(metadata=on_wire(5, codec.nested(DoorRecord)))
    head: bytes = field(metadata=on_wire(6, codec.octets(32)))
    account: AccountId | None = field(
        default=None, metadata=on_wire(7, codec.ident(AccountId), optional=True)
    )
    companion: AccountId | None = field(
        default=None, metadata=on_wire(8, codec.ident(AccountId), optional=True)
    )
