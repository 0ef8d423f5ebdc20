"""The stages of an attempt, as types: each is made by one step of :mod:`service.authorize`.

Guarantee: a step takes the stage before it, so leaving one out does not type-check. The way
without a face has stages of its own from (5) on, which no step of the other way takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from face_engine.calibration import Calibration
from face_engine.types import Embedding
from service.enrolment.accounts import Account
from service.terminals.challenges import IssuedChallenge
from service.terminals.store import Terminal
from service.verification.policy import Policy, Tier
from wire.denial import Denial, Reason
from wire.envelope import Signed
from wire.ids import AccountId, AttemptId, TerminalId
from wire.messages import CardEvidence, CardProbe, Context, Evidence, Factor, Probe

E = TypeVar("E", Evidence, CardEvidence)


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that gets no decision: it could not be believed, or must wait."""

    denial: Denial | None
    reason: Reason
    detail: str


def refused(denial: Denial, detail: str) -> Refused:
    return Refused(denial, denial.reason, detail)


@dataclass(frozen=True, slots=True)
class Denied:
    denial: Denial
    account: AccountId | None = None
    enrolled_model: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a decision says of its attempt; ``policy_version`` is 0 where no challenge was met."""

    attempt: AttemptId
    terminal: TerminalId
    context: Context
    evidence_digest: bytes
    policy_version: int
    factor: Factor


@dataclass(frozen=True, slots=True)
class Authenticated(Generic[E]):
    """(2): the evidence was signed by this registered terminal."""

    evidence: Signed[E]
    terminal: Terminal

    def tried(self, challenge: IssuedChallenge | None) -> Tried:
        """``challenge`` is the one that it answers, if there is one."""
        said = self.evidence.message
        way = Factor.FACE if isinstance(said, Evidence) else Factor.CARD_PIN
        return Tried(
            attempt=said.attempt,
            terminal=said.terminal,
            context=said.context,
            evidence_digest=self.evidence.digest,
            policy_version=challenge.policy_version if challenge else 0,
            factor=challenge.factor if challenge else way,
        )


@dataclass(frozen=True, slots=True)
class Challenged(Generic[E]):
    """(4): it answers a challenge of ours for this way, which is now used up."""

    authenticated: Authenticated[E]
    challenge: IssuedChallenge
    policy: Policy

    @property
    def evidence(self) -> E:
        return self.authenticated.evidence.message

    @property
    def tried(self) -> Tried:
        return self.authenticated.tried(self.challenge)


@dataclass(frozen=True, slots=True)
class Face:
    """The face by one model: one embedding, or the several of an enrolment."""

    calibration: Calibration
    embeddings: tuple[Embedding, ...]

    @property
    def model_id(self) -> bytes:
        return self.calibration.model_id


@dataclass(frozen=True, slots=True)
class Opened:
    """(5): what was sealed is readable, and by models that the policy accepts, best first."""

    challenged: Challenged[Evidence]
    tier: Tier
    probe: Probe
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class Live:
    """(6): the terminal reports a live person, as the policy asks."""

    opened: Opened


@dataclass(frozen=True, slots=True)
class Claimed:
    """(7): the account that was claimed, or the decoy; ``standing`` speaks against it.

    ``face`` is the one to compare: the best model's that the account has a reference of.
    """

    live: Live
    account: Account
    face: Face
    standing: Denial | None


@dataclass(frozen=True, slots=True)
class Verified:
    """(8): it is the person, 1:1; ``duress`` where the PIN was the one that calls for help."""

    claimed: Claimed
    duress: bool

    @property
    def account(self) -> AccountId:
        return self.claimed.account.account

    @property
    def challenged(self) -> Challenged[Evidence]:
        return self.claimed.live.opened.challenged


@dataclass(frozen=True, slots=True)
class CardOpened:
    """(5), without a face: the policy allows it, and what was sealed is readable."""

    challenged: Challenged[CardEvidence]
    probe: CardProbe


@dataclass(frozen=True, slots=True)
class CardClaimed:
    """(7), without a face: there is nobody to be alive, and no consent to biometrics to ask."""

    opened: CardOpened
    account: Account
    standing: Denial | None


@dataclass(frozen=True, slots=True)
class CardVerified:
    """(8), without a face: what the person has and knows is the account's; ``duress`` as above."""

    claimed: CardClaimed
    duress: bool

    @property
    def account(self) -> AccountId:
        return self.claimed.account.account

    @property
    def challenged(self) -> Challenged[CardEvidence]:
        return self.claimed.opened.challenged


@dataclass(frozen=True, slots=True)
class Permitted:
    """(9): the money is reserved or moved, the door may open, or the account exists."""

    account: AccountId
    result: bytes
    lives_ms: int
    enrolled_model: bytes | None = None
    companion: AccountId | None = None


@dataclass(frozen=True, slots=True)
class Reserved:
    """(9), of outside money: it is pending, and is permitted if its processor holds it.

    ``posts``: the approval takes it, too; else it is held until somebody says what became of it.
    """

    tried: Tried
    permitted: Permitted
    posts: bool
