"""What an attempt must show: per purpose and amount, named by false match rate.

Guarantees: a policy that parses is complete and in range;
:meth:`Policy.check_for_production` refuses one that switches liveness or limits off or
accepts frames that are not from a camera, and :meth:`Policy.check_rates` one whose false match
rates no calibration supports.

The caller must still verify the signature of a stored policy (:mod:`service.policies`).
Sources: NIST SP 800-63B-4 section 3.2.3 (attempts), ISO/IEC 19795-1 (FMR).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, dataclass, field
from itertools import product
from typing import Any

from face_engine.calibration import Calibration, CalibrationUnsupportedError
from service.errors import Misconfigured
from service.ledger.limits import Limits, default_limits
from wire.messages import (
    MODELS_MAX,
    Context,
    Level,
    PaymentContext,
    Purpose,
    Source,
    WithdrawalContext,
    purpose_of,
)
from wire.money import MINOR_DIGITS

TIERS_MAX = 8
CAMERAS = ("camera", "stream")
FOREVER_MS = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What applies up to and including ``up_to_minor``; None is without limit."""

    fmr: float
    level: str
    pin: bool
    up_to_minor: int | None = None

    def __post_init__(self) -> None:
        if type(self.pin) is not bool or type(self.up_to_minor) not in (int, type(None)):
            raise ValueError("pin is true or false, and up_to_minor a whole number")
        if not 0 < self.fmr <= 0.01:
            raise ValueError("fmr is above 0 and at most 0.01")
        if self.level.upper() not in Level.__members__:
            raise ValueError("level is none, passive, standard or strict")

    @property
    def liveness(self) -> Level:
        return Level[self.level.upper()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockout:
    """Consecutive failures, delays and the hard stop (NIST SP 800-63B-4, 3.2.2 and 3.2.3).

    With presentation attack detection twice as many failures are allowed.
    """

    failures: int = 5
    hard_stop: int = 50
    first_delay_ms: int = 30_000
    longest_delay_ms: int = 3_600_000

    def __post_init__(self) -> None:
        if any(type(number) is not int for number in astuple(self)):
            raise ValueError("a lockout is made of whole numbers")
        if not 1 <= self.failures <= 5 or not self.failures <= self.hard_stop <= 50:
            raise ValueError("at most 5 failures before a delay, at most 50 before the hard stop")
        if not 30_000 <= self.first_delay_ms <= self.longest_delay_ms:
            raise ValueError("the first delay is at least 30 s")

    def locked_until_ms(self, failures: int, *, level: Level, now_ms: int) -> int:
        """When the account may try again after its ``failures``-th consecutive failure."""
        factor = 2 if level > Level.NONE else 1
        if failures >= self.hard_stop * factor:
            return FOREVER_MS
        over = failures - self.failures * factor
        if over < 0:
            return 0
        return now_ms + min(self.first_delay_ms << min(over, 20), self.longest_delay_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """``tiers`` maps a purpose's name to its tiers, cheapest first; ``limits`` maps payment and
    withdrawal to theirs, and one that ``limits`` does not name is without.

    ``packs`` names the model packs whose embeddings are accepted, best first: a face that is
    verified by a later one, and comes by an earlier one too, is enrolled under that as well.
    """

    tiers: Mapping[str, tuple[Tier, ...]]
    limits: Mapping[str, Limits] = field(default_factory=default_limits)
    lockout: Lockout = field(default_factory=Lockout)
    packs: tuple[str, ...] = ("open", "pip")
    sources: tuple[str, ...] = CAMERAS
    challenge_ttl_ms: int = 60_000
    hold_ttl_ms: int = 300_000
    consent_version: str = "2026-11"
    currency: str = "EUR"

    def __post_init__(self) -> None:
        if set(self.tiers) != {name.lower() for name in Purpose.__members__}:
            raise ValueError("tiers name payment, withdrawal, entry and enrolment")
        if not set(self.limits) <= set(default_limits()):
            raise ValueError("limits name payment and withdrawal")
        for name, tiers in self.tiers.items():
            ends = [tier.up_to_minor for tier in tiers]
            if not 1 <= len(tiers) <= TIERS_MAX or None in ends[:-1]:
                raise ValueError(f"{name}: 1 to {TIERS_MAX} tiers, and only the last is open")
            bounds = [end for end in ends if end is not None]
            if bounds != sorted(set(bounds)) or any(end <= 0 for end in bounds):
                raise ValueError(f"{name}: each tier reaches above the one before")
        if not 1 <= len(set(self.packs)) == len(self.packs) <= MODELS_MAX:
            raise ValueError(f"1 to {MODELS_MAX} different packs")
        if not self.sources or not set(self.sources) <= {
            name.lower() for name in Source.__members__
        }:
            raise ValueError("sources are camera, stream, file, simulated")
        if type(self.challenge_ttl_ms) is not int or type(self.hold_ttl_ms) is not int:
            raise ValueError("times are whole milliseconds")
        if not 5_000 <= self.challenge_ttl_ms <= 300_000:
            raise ValueError("a challenge lives 5 s to 5 min")
        if not 30_000 <= self.hold_ttl_ms <= 3_600_000:
            raise ValueError("a hold lives 30 s to 1 h")
        version = self.consent_version
        if not 1 <= len(version) <= 40 or not version.isprintable() or version != version.strip():
            raise ValueError("consent_version is printable text of 1 to 40 characters")
        if self.currency not in MINOR_DIGITS:
            raise ValueError("currency is an ISO 4217 code")

    def tier_for(self, context: Context) -> Tier | None:
        """The tier that a context falls in; None where its amount is above every tier."""
        purpose = purpose_of(context)
        amount = (
            context.amount_minor if isinstance(context, PaymentContext | WithdrawalContext) else 0
        )
        for tier in self.tiers[purpose.name.lower()]:
            if tier.up_to_minor is None or amount <= tier.up_to_minor:
                return tier
        return None

    def limits_for(self, context: Context) -> Limits:
        """What may be moved for a context; without limits where none are set."""
        return self.limits.get(purpose_of(context).name.lower(), Limits())

    def accepts(self, source: Source) -> bool:
        return source.name.lower() in self.sources

    @property
    def rates(self) -> list[float]:
        """The false match rates that the tiers ask for, lowest first."""
        return sorted({tier.fmr for tiers in self.tiers.values() for tier in tiers})

    def check_rates(self, calibrations: Iterable[Calibration]) -> None:
        """Raises :class:`Misconfigured` for a rate that a pack's calibration cannot show."""
        by_pack = {each.pack: each for each in calibrations}
        for pack, fmr in product(self.packs, self.rates):
            if pack not in by_pack:
                raise Misconfigured(f"the policy accepts the pack {pack}, which has no calibration")
            try:
                by_pack[pack].threshold_for(fmr)
            except CalibrationUnsupportedError as error:
                raise Misconfigured(f"the policy asks for FMR {fmr:g}, but {error}") from error

    def check_for_production(self) -> None:
        """Raises :class:`Misconfigured` for a policy that is fit for trials only."""
        every = [tier for tiers in self.tiers.values() for tier in tiers]
        if any(tier.liveness is Level.NONE for tier in every):
            raise Misconfigured("production needs liveness: a tier of the policy has 'none'")
        if not set(self.sources) <= set(CAMERAS):
            raise Misconfigured("production accepts frames from cameras only")
        if set(self.limits) != set(default_limits()):
            raise Misconfigured("production needs limits on payments and on withdrawals")

    def to_document(self) -> str:
        """The canonical text that is stored and signed."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_document(cls, document: str) -> Policy:
        """Raises :class:`Misconfigured`, saying what is wrong."""
        try:
            fields: dict[str, Any] = json.loads(document)
            fields["tiers"] = {
                name: tuple(Tier(**tier) for tier in tiers)
                for name, tiers in fields["tiers"].items()
            }
            if "limits" in fields:
                fields["limits"] = {
                    name: Limits.from_fields(limits) for name, limits in fields["limits"].items()
                }
            fields["lockout"] = Lockout(**fields.get("lockout", {}))
            for name in ("packs", "sources"):
                if name in fields:
                    fields[name] = tuple(fields[name])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Misconfigured(f"not a policy: {error}") from error


def default_policy() -> Policy:
    """DESIGN section 7: FMR 1e-4 everywhere; a PIN above 100.00 and at the ATM; limits."""
    return Policy(
        tiers={
            "payment": (
                Tier(fmr=1e-4, level="standard", pin=False, up_to_minor=10_000),
                Tier(fmr=1e-4, level="standard", pin=True, up_to_minor=1_000_000),
            ),
            "withdrawal": (Tier(fmr=1e-4, level="strict", pin=True, up_to_minor=100_000),),
            "entry": (Tier(fmr=1e-4, level="passive", pin=False),),
            "enrolment": (Tier(fmr=1e-4, level="standard", pin=False),),
        }
    )
