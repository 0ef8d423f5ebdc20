"""The stages of an attempt, as types: each is made by one step of :mod:`service.authorize`.

Guarantee: a step takes the stage before it, so leaving one out does not type-check.
"""

from __future__ import annotations

from dataclasses import dataclass

from face_engine.calibration import Calibration
from face_engine.types import Embedding
from service.enrolment.accounts import Account
from service.terminals.challenges import IssuedChallenge
from service.terminals.store import Terminal
from service.verification.policy import Policy, Tier
from wire.denial import Denial, Reason
from wire.envelope import Signed
from wire.ids import AccountId
from wire.messages import Evidence, Probe


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


@dataclass(frozen=True, slots=True)
class Authenticated:
    """(2): the evidence was signed by this registered terminal."""

    evidence: Signed[Evidence]
    terminal: Terminal


@dataclass(frozen=True, slots=True)
class Challenged:
    """(4): it answers a challenge of ours, which is now used up."""

    authenticated: Authenticated
    challenge: IssuedChallenge
    policy: Policy
    tier: Tier

    @property
    def evidence(self) -> Evidence:
        return self.authenticated.evidence.message


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

    challenged: Challenged
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
    """(8): it is the person, 1:1."""

    claimed: Claimed


@dataclass(frozen=True, slots=True)
class Permitted:
    """(9): the money is reserved or moved, the door may open, or the account exists."""

    account: AccountId
    result: bytes
    lives_ms: int
    enrolled_model: bytes | None = None
