"""From a false match rate to a threshold, with its 95 % upper bound.

A calibration holds, for one model, thresholds and the upper confidence bound of the false
match rate that was measured at each. Guarantee: :meth:`Calibration.threshold_for` returns the
lowest threshold whose bound is at most the rate asked for, or refuses and says what data it
would need; it never interpolates or extrapolates. How calibrations are made:
:mod:`face_engine.calibrate`.

The caller must still ask whether the people that it was measured on are like its own.
Source: ISO/IEC 19795-1 (false match rate, rule of 3, comparisons of one person are not
independent).
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

RULE_OF_3 = 3


class CalibrationUnsupportedError(Exception):
    """The data behind a calibration cannot show the false match rate that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """``points`` are (threshold, FMR upper bound), thresholds rising, bounds falling.

    Bounds below ``counted_fmr_min`` come from a fitted tail, those above it from counting.
    """

    model_id: bytes
    pack: str
    dimensions: int
    provenance: str
    people: int
    impostor_comparisons: int
    points: tuple[tuple[float, float], ...]
    counted_fmr_min: float = 0.0

    def __post_init__(self) -> None:
        thresholds = [threshold for threshold, _ in self.points]
        bounds = [bound for _, bound in self.points]
        if thresholds != sorted(set(thresholds)) or bounds != sorted(bounds, reverse=True):
            raise ValueError("a calibration's thresholds rise and its bounds fall")

    @property
    def fmr_min(self) -> float:
        """The lowest false match rate that it can show."""
        return min((bound for _, bound in self.points), default=1.0)

    def threshold_for(self, fmr: float) -> float:
        """The cosine from which on two faces match at the false match rate ``fmr``.

        Raises :class:`CalibrationUnsupportedError`.
        """
        for threshold, bound in self.points:
            if bound <= fmr:
                return threshold
        raise CalibrationUnsupportedError(
            f"the calibration of pack {self.pack} shows an FMR of {self.fmr_min:.2g} at best "
            f"(95 % upper bound; {self.impostor_comparisons} comparisons of {self.people} "
            f"people): {fmr:g} needs {self._needs(fmr)}, or another policy"
        )

    def _needs(self, fmr: float) -> str:
        """The data that would show ``fmr``: at least 3 / fmr comparisons (rule of 3).

        Where that many are there already, look-alikes are too large a part of them.
        """
        made = self.impostor_comparisons
        comparisons = max(math.ceil(RULE_OF_3 / fmr), math.ceil(made * self.fmr_min / fmr))
        # Comparisons grow with the square of the people.
        people = math.ceil(self.people * math.sqrt(comparisons / made)) if made else 0
        return (
            f"about {comparisons:,} comparisons (rule of 3), that is "
            f"{max(1, people - self.people)} more people with as many photos each"
        )

    def fmr_bound(self, threshold: float) -> float | None:
        """The 95 % upper bound of the FMR at ``threshold``; None where none is stated."""
        reached = [bound for at, bound in self.points if at <= threshold]
        return reached[-1] if reached else None

    def to_document(self) -> str:
        """JSON, one point a line; the same calibration always gives the same text."""
        fields = asdict(self) | {"model_id": self.model_id.hex()}
        points = ",\n".join(f"  [{at:.4f}, {bound:.3g}]" for at, bound in fields.pop("points"))
        head = json.dumps(fields, indent=1).removesuffix("\n}")
        return f'{head},\n "points": [\n{points}\n ]\n}}\n'

    @classmethod
    def parse(cls, text: str) -> Calibration:
        """Raises :class:`ValueError` for what is not a calibration."""
        try:
            fields: dict[str, Any] = json.loads(text)
            fields["model_id"] = bytes.fromhex(fields["model_id"])
            fields["points"] = tuple((float(one), float(two)) for one, two in fields["points"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ValueError("not a calibration") from error


@cache
def shipped() -> MappingProxyType[bytes, Calibration]:
    """The calibrations that come with the packs, by model id."""
    found = [
        Calibration.parse(path.read_text())
        for path in files("face_engine").joinpath("packs").iterdir()
        if path.name.endswith(".calibration.json")
    ]
    return MappingProxyType({each.model_id: each for each in found})
