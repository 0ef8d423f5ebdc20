"""What ``countenance evaluate liveness --json`` measured, as an operator put it beside the service.

Guarantees: a file of more than ``BYTES_MAX`` is not read; a figure that is not there, or not of its
kind, or that contradicts the counts, makes the whole file none: nothing is filled in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BYTES_MAX = 256 * 1024
SPECIES_MAX = 200
ROUNDING = 1e-5


class TrialError(Exception):
    """The file cannot be read, or is not such a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Species:
    """One kind of attack. ``apcer_upper95`` bounds the rate of accepted attempts."""

    name: str
    attempts: int
    accepted: int
    apcer: float
    apcer_upper95: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessTrial:
    """``species`` as they were written, worst first; of live people ``undecided`` are those that
    were asked again."""

    level: str
    seed: int
    species: tuple[Species, ...]
    live: int
    rejected: int
    undecided: int
    bpcer: float


def read_trial(path: Path) -> LivenessTrial:
    """Raises :class:`TrialError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
        if len(raw) > BYTES_MAX:
            raise TrialError("it is too long")
        return _trial(json.loads(raw))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrialError(type(error).__name__) from None


def _trial(document: Any) -> LivenessTrial:
    named, live = document["species"], document["live"]
    if not isinstance(named, dict) or len(named) > SPECIES_MAX:
        raise ValueError("species")
    species = sorted(
        (_species(name, fields) for name, fields in named.items()),
        key=lambda each: -each.apcer_upper95,
    )
    attempts, rejected = _count(live, "attempts"), _count(live, "rejected")
    return LivenessTrial(
        level=_word(document["level"]),
        seed=_count(document, "seed"),
        species=tuple(species),
        live=attempts,
        rejected=rejected,
        undecided=_count(live, "undecided"),
        bpcer=_rate(live, "bpcer", rejected, attempts),
    )


def _species(name: str, fields: Mapping[str, Any]) -> Species:
    attempts, accepted = _count(fields, "attempts"), _count(fields, "accepted")
    apcer = _rate(fields, "apcer", accepted, attempts)
    upper = float(fields["apcer_upper95"])
    if not apcer <= upper <= 1:
        raise ValueError("apcer_upper95")
    return Species(
        name=_word(name),
        attempts=attempts,
        accepted=accepted,
        apcer=apcer,
        apcer_upper95=upper,
    )


def _word(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 80 or not value.isprintable():
        raise ValueError("a name")
    return value


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields[name]
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(name)
    return value


def _rate(fields: Mapping[str, Any], name: str, part: int, whole: int) -> float:
    """What part of the whole it is, which must be what the counts say."""
    value = float(fields[name])
    if part > whole or abs(value - (part / whole if whole else 0)) > ROUNDING:
        raise ValueError(name)
    return value
