"""From a false match rate to a threshold, with its 95 % upper bound.

A calibration holds, for one model, thresholds and the upper confidence bound of the false
match rate that was measured at each. Guarantee: :meth:`Calibration.threshold_for` returns the
lowest threshold whose bound is at most the rate asked for, or refuses; it never interpolates
or extrapolates.

The caller must still ask whether the people that it was measured on are like its own.
Source: ISO/IEC 19795-1 (false match rate, comparisons of one person are not independent).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

_COUNTS = ("dimensions", "people", "impostor_comparisons")


class CalibrationUnsupportedError(Exception):
    """The data behind a calibration cannot show the false match rate that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """``points`` are (threshold, FMR upper bound), thresholds rising, bounds falling."""

    model_id: bytes
    pack: str
    dimensions: int
    provenance: str
    people: int
    impostor_comparisons: int
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        thresholds = [threshold for threshold, _ in self.points]
        bounds = [bound for _, bound in self.points]
        if thresholds != sorted(set(thresholds)) or bounds != sorted(bounds, reverse=True):
            raise ValueError("a calibration's thresholds rise and its bounds fall")

    def threshold_for(self, fmr: float) -> float:
        """The cosine from which on two faces match at the false match rate ``fmr``.

        Raises :class:`CalibrationUnsupportedError`.
        """
        for threshold, bound in self.points:
            if bound <= fmr:
                return threshold
        lowest = min((bound for _, bound in self.points), default=1.0)
        raise CalibrationUnsupportedError(
            f"the calibration of pack {self.pack} shows an FMR of {lowest:.1e} at best "
            f"(95 % upper bound; {self.impostor_comparisons} comparisons of {self.people} "
            f"people); {fmr:g} needs more people, or another policy"
        )

    @classmethod
    def parse(cls, text: str) -> Calibration:
        """Raises :class:`ValueError` for what is not a calibration."""
        try:
            fields: dict[str, Any] = json.loads(text)
            fields["model_id"] = bytes.fromhex(fields["model_id"])
            fields["points"] = tuple((float(one), float(two)) for one, two in fields["points"])
            if not all(math.isfinite(number) for point in fields["points"] for number in point):
                raise ValueError("a calibration's points are numbers")
            if any(type(fields[name]) is not int for name in _COUNTS):
                raise ValueError(f"whole numbers are {', '.join(_COUNTS)}")
            return cls(**fields)
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
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
