"""What a leaf of the audit log says: deterministic CBOR, pseudonymous.

Guarantee: a leaf holds ids, amounts and outcomes; never a claim, name, score, embedding or
PIN. After an account is erased, its id in old leaves leads to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wire import codec
from wire.codec import Message, on_wire
from wire.ids import AccountId, AttemptId, TerminalId, TransferId
from wire.messages import CONTEXT, MODEL_ID_BYTES, Completion, Context, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLeaf(Message):
    """One attempt's decision. ``account`` is absent where no account was found;
    ``enrolled_model`` is there where the attempt also enrolled the face by a newer model.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationLeaf(Message):
    """What became of an approval. ``finding`` names a money state that needs a person."""

    kind: str = field(default="confirmation", metadata=on_wire(1, codec.text(16)))
    at_ms: int = field(metadata=on_wire(2, codec.uint()))
    attempt: AttemptId = field(metadata=on_wire(3, codec.ident(AttemptId)))
    completion: Completion = field(metadata=on_wire(4, codec.code(Completion)))
    finding: str | None = field(metadata=on_wire(5, codec.text(40), optional=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ActLeaf(Message):
    """An administrative act: ``act`` is like ``account.suspend``, ``subject`` an id's text.

    ``actor`` is the API token's id; absent for the commands on the service's own machine.
    ``transfer`` and ``content`` (:attr:`service.ledger.rules.Transfer.content`) are those of
    an act that moved money.
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
