"""Which licences are free for commerce, and which ones were accepted by name.

Guarantee: weights under a licence that is not in ``FREE`` are not used before somebody has
accepted that licence by its name on this machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from platformdirs import user_config_path

from face_engine.errors import LicenceError

FREE = frozenset(
    {
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC-BY-4.0",
        "CC0-1.0",
        "ISC",
        "MIT",
        "Unlicense",
    }
)
NAMES_MAX = 64


def accepted() -> frozenset[str]:
    """By name; empty where nothing was accepted."""
    try:
        return frozenset(_file().read_text().split()[:NAMES_MAX])
    except OSError:
        return frozenset()


def accept(licence: str) -> None:
    """Remembers it for this user; raises :class:`LicenceError` where that cannot be written."""
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in sorted({*accepted(), licence})))
    except OSError as error:
        raise LicenceError(f"{path} cannot be written: {error.strerror}") from error


def missing(licences: Iterable[str]) -> list[str]:
    """Those that are neither free for commerce nor accepted."""
    return sorted(set(licences) - FREE - accepted())


def require(pack: str, licences: Iterable[str]) -> None:
    """Raises :class:`LicenceError`."""
    for licence in missing(licences):
        raise LicenceError(
            f"pack {pack} is under {licence}, which is not free for commerce: accept it by name "
            f"with 'countenance models pull {pack} --accept-licence {licence}'"
        )


def _file() -> Path:
    return user_config_path("countenance") / "accepted-licences"
