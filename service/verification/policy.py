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
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

from access.lockout import PIN_LOCKOUT, Lockout
from face_engine.calibration import Calibration, CalibrationUnsupportedError
from service.errors import Misconfigured
from service.ledger.limits import UNLIMITED, Limits, default_limits
from wire.denial import Denial
from wire.messages import (
    MODELS_MAX,
    NO_BIOMETRICS,
    Context,
    Factor,
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
LANGUAGE = re.compile("[a-z]{2}")


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

    @property
    def factor(self) -> Factor:
        return Factor.FACE_PIN if self.pin else Factor.FACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """``tiers`` maps a purpose's name to its tiers, cheapest first; ``limits`` maps payment and
    withdrawal to theirs, and one that ``limits`` does not name is without.

    ``packs`` names the model packs whose embeddings are accepted, best first: a face that is
    verified by a later one, and comes by an earlier one too, is enrolled under that as well.
    ``without_face`` maps a purpose's name to the most that card or code and PIN may move, None
    without limit; a purpose that it does not name is for faces only.
    """

    tiers: Mapping[str, tuple[Tier, ...]]
    limits: Mapping[str, Limits] = field(default_factory=default_limits)
    lockout: Lockout = field(default_factory=Lockout)
    pin_lockout: Lockout = field(default_factory=lambda: PIN_LOCKOUT)
    without_face: Mapping[str, int | None] = field(default_factory=dict)
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
        _check_without_face(self.without_face)
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
            raise ValueError("sources are camera, stream, file, simulated, browser")
        if type(self.challenge_ttl_ms) is not int or type(self.hold_ttl_ms) is not int:
            raise ValueError("times are whole milliseconds")
        if not 5_000 <= self.challenge_ttl_ms <= 300_000:
            raise ValueError("a challenge lives 5 s to 5 min")
        if not 30_000 <= self.hold_ttl_ms <= 3_600_000:
            raise ValueError("a hold lives 30 s to 1 h")
        _check_consent(self.consent_version)
        if self.currency not in MINOR_DIGITS:
            raise ValueError("currency is an ISO 4217 code")

    def tier_for(self, context: Context) -> Tier | None:
        """The tier that a context falls in; None where its amount is above every tier."""
        purpose, amount = purpose_of(context), _amount_minor(context)
        for tier in self.tiers[purpose.name.lower()]:
            if tier.up_to_minor is None or amount <= tier.up_to_minor:
                return tier
        return None

    def refuse_card(self, context: Context) -> Denial | None:
        """Whether, and up to what, card or code and PIN will do for a context."""
        purpose = purpose_of(context).name.lower()
        if purpose not in self.without_face:
            return Denial.FACTOR_NOT_ALLOWED
        most = self.without_face[purpose]
        return Denial.LIMIT_EXCEEDED if most is not None and _amount_minor(context) > most else None

    def accepts_consent(self, named: str) -> bool:
        """Whether that names the text in force, which may say its language: ``2026-11/es``."""
        version, _, language = named.rpartition("/")
        in_language = version == self.consent_version and LANGUAGE.fullmatch(language)
        return named == self.consent_version or bool(in_language)

    def limits_for(self, context: Context) -> Limits:
        """What may be moved for a context; without limits where none are set."""
        return self.limits.get(purpose_of(context).name.lower(), UNLIMITED)

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
            if "pin_lockout" in fields:
                fields["pin_lockout"] = Lockout(**fields["pin_lockout"])
            for name in ("packs", "sources"):
                if name in fields:
                    fields[name] = tuple(fields[name])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Misconfigured(f"not a policy: {error}") from error


def _check_without_face(without_face: Mapping[str, int | None]) -> None:
    if not set(without_face) <= {name.lower() for name in Purpose.__members__}:
        raise ValueError("without_face names payment, withdrawal, entry and enrolment")
    given = [most for most in without_face.values() if most is not None]
    if any(type(most) is not int or most <= 0 for most in given):
        raise ValueError("without_face has whole amounts above 0, or none")


def _check_consent(version: str) -> None:
    if not 1 <= len(version) <= 40 or not version.isprintable() or version != version.strip():
        raise ValueError("consent_version is printable text of 1 to 40 characters")
    if version == NO_BIOMETRICS:
        raise ValueError(f"consent_version {NO_BIOMETRICS} stands for no consent")


def _amount_minor(context: Context) -> int:
    if isinstance(context, PaymentContext | WithdrawalContext):
        return context.amount_minor
    return 0


def default_policy() -> Policy:
    """DESIGN section 7: FMR 1e-4 everywhere; a PIN above 100.00 and at the ATM; limits.

    Without a face up to 500.00 are paid and 200.00 drawn.
    """
    return Policy(
        without_face={"payment": 50_000, "withdrawal": 20_000, "entry": None, "enrolment": None},
        tiers={
            "payment": (
                Tier(fmr=1e-4, level="standard", pin=False, up_to_minor=10_000),
                Tier(fmr=1e-4, level="standard", pin=True, up_to_minor=1_000_000),
            ),
            "withdrawal": (Tier(fmr=1e-4, level="strict", pin=True, up_to_minor=100_000),),
            "entry": (Tier(fmr=1e-4, level="passive", pin=False),),
            "enrolment": (Tier(fmr=1e-4, level="standard", pin=False),),
        },
    )
