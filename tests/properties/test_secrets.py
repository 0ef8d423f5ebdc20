"""Secrets show in no ``repr``, no error and no log line.

The walk goes by names: a field that holds a secret under an innocent name is not found, so new
secrets get a name from here.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import traceback
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vectors.shared import EVIDENCE, MESSAGES, PROBE
from wire import codec
from wire.errors import WireError
from wire.messages import Probe, Registration

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "wire",
    "access",
    "face_engine",
    "liveness",
    "terminal_client",
    "service",
    "countenance",
)
SECRET = re.compile(
    r"(^|_)(claim|pin|embeddings?|vector|share|probe|sealed|code|private|secret|password|pepper|"
    r"seed|token|transforms?|wrapping|ciphertext|wrapped_key|data_key|transform_key|pin_hash|url)$"
)
PLAIN = re.compile(r"\b(bytes|bytearray|str|Vector|NDArray|Any|object|dict|Mapping)\b")
# Fields of these names that hold something else, and why they may show.
SHOWN = {
    "face_engine.catalogue.DetectorWeights.url": "where weights are published",
    "face_engine.catalogue.Weights.url": "where weights are published",
    "face_engine.download.Download.url": "where weights are published",
    "face_engine.catalogue.EmbedderWeights.url": "where weights are published",
}


def modules() -> Iterator[object]:
    for package in PACKAGES:
        found = importlib.import_module(package)
        for each in pkgutil.walk_packages(found.__path__, f"{package}."):
            if each.name != "service.tasks.app":  # connects to a broker's settings on import
                yield importlib.import_module(each.name)


def dataclasses() -> dict[str, type]:
    return {
        f"{kind.__module__}.{kind.__qualname__}": kind
        for module in modules()
        for kind in vars(module).values()
        if isinstance(kind, type) and is_dataclass(kind) and kind.__module__.startswith(PACKAGES)
    }


def shown(kind: type) -> Iterator[str]:
    """The fields whose plain values a generated ``repr`` shows.

    A field of one of our types shows what that type shows, which is judged there.
    """
    if hasattr(kind.__repr__, "__wrapped__"):
        yield from (
            each.name for each in fields(kind) if each.repr and PLAIN.search(str(each.type))
        )


def test_no_dataclass_shows_a_secret() -> None:
    found = dataclasses()
    assert len(found) > 60
    leaks = {
        f"{place}.{name}"
        for place, kind in found.items()
        for name in shown(kind)
        if SECRET.search(name)
    }
    assert leaks - SHOWN.keys() == set()


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path, ast.parse(path.read_text())


def spoken(tree: ast.Module) -> Iterator[ast.expr]:
    """What is formatted into errors and log lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from node.exc.args
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("debug", "info", "warning", "error", "exception", "critical")
        ):
            yield from node.args


def names(expression: ast.expr) -> Iterator[str]:
    """Names whose values are put into a text; calls other than ``str`` and ``repr`` shorten."""
    for node in ast.walk(expression):
        if isinstance(node, ast.FormattedValue | ast.Name | ast.Attribute):
            inner = node.value if isinstance(node, ast.FormattedValue) else node
            if isinstance(inner, ast.Name):
                yield inner.id
            elif isinstance(inner, ast.Attribute):
                yield inner.attr


def test_no_error_or_log_line_is_made_from_a_secret() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, tree in trees()
        for expression in spoken(tree)
        for name in names(expression)
        if SECRET.search(name)
    ]
    assert found == []


CANARY = "canary7391"
WRONG = st.sampled_from(
    [
        CANARY,
        CANARY.encode(),
        CANARY * 50,
        CANARY.encode() * 1000,
        f"{CANARY}\n",
        [CANARY],
        [CANARY.encode()],
        {1: CANARY},
    ]
)


@given(
    message=st.sampled_from(
        [PROBE, EVIDENCE, *(m for m in MESSAGES if isinstance(m, Registration))]
    ),
    data=st.data(),
)
@settings(max_examples=400, deadline=None)
def test_a_refused_message_does_not_say_what_it_held(
    message: codec.Message, data: st.DataObject
) -> None:
    changed = message.to_map()
    changed[data.draw(st.sampled_from(sorted(changed)))] = data.draw(WRONG)
    raw = codec.encode(changed)
    try:
        type(message).decode(raw[: data.draw(st.sampled_from([len(raw), len(raw) - 1]))])
    except WireError as error:
        told = "".join(traceback.format_exception(error)) + repr(chain(error))
        assert CANARY not in told
        assert CANARY.encode().hex() not in told


def chain(error: BaseException | None) -> list[tuple[object, ...]]:
    """The arguments of an error and of all that it came from: a logger may show those."""
    found = []
    while error is not None:
        found.append((*error.args, getattr(error, "object", None)))
        error = error.__cause__ or error.__context__
    return found


def test_text_that_is_not_utf8_is_not_quoted() -> None:
    raw = codec.encode(PROBE.to_map() | {1: CANARY}).replace(b"7391", b"\xff\xff91")
    with pytest.raises(WireError) as refused:
        Probe.decode(raw)
    assert "canary" not in repr(chain(refused.value))


def test_what_the_threat_model_names_is_there() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    named = set(re.findall(r"`((?:tests|service)/[\w./-]*)`", text))
    assert len(named) > 10
    assert {path for path in named if not (ROOT / path).exists()} == set()
