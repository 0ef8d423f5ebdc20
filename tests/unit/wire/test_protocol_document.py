"""``docs/protocol.md`` names every endpoint, status, code, reason, denial, message and field."""

from __future__ import annotations

from dataclasses import fields
from enum import IntEnum
from inspect import getmembers, isclass
from pathlib import Path

import pytest
from flask import Flask

from service import desk
from service.desk import Limits
from service.http import terminal as http
from service.terminals.registration import CODE_TTL_MS
from service.verification import liveness
from service.verification.policy import default_policy
from wire import bundle, codec, messages, plan
from wire.codec import Message
from wire.denial import Denial, Reason
from wire.errors import MalformedError

DOCUMENT = Path(__file__).parents[3].joinpath("docs", "protocol.md").read_text()
ONE_LINE = " ".join(DOCUMENT.split())
MESSAGES = [
    kind
    for _, kind in sorted(
        {*getmembers(messages, isclass), *getmembers(bundle, isclass)}, key=lambda member: member[0]
    )
    if issubclass(kind, Message) and kind is not Message
]
CODES = [kind for _, kind in getmembers(messages, isclass) if issubclass(kind, IntEnum)]


def table(heading: str) -> list[list[str]]:
    """The rows of the first table after a line, without its two head lines."""
    lines = DOCUMENT.partition(f"\n{heading}\n")[2].splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


@pytest.mark.parametrize("kind", MESSAGES)
def test_the_document_names_every_field_with_its_key_and_range(kind: type[Message]) -> None:
    section = DOCUMENT.partition(f"### {kind.__name__}\n")[2].partition("\n### ")[0]
    assert section
    assert f"label `{getattr(kind, 'LABEL', '')}`" in section or not hasattr(kind, "LABEL")
    rows = [line for line in section.splitlines() if line.startswith("| ") and "`" in line]
    assert [[row.split("`")[0:2], row.split(" | ")[2:]] for row in rows] == [
        [
            [f"| {each.metadata['key']} | ", each.name],
            ["no" if each.metadata["optional"] else "yes", f"{rule_of(each.metadata['kind'])} |"],
        ]
        for each in fields(kind)  # type: ignore[arg-type]
    ]


def rule_of(kind: codec.Kind[object]) -> str:
    with pytest.raises(MalformedError) as found:
        kind.read(None)
    return str(found.value).partition("must be ")[2]


def test_every_message_has_a_signer_or_travels_inside_one() -> None:
    signers = {row[0] for row in table("## Who says what")}
    signed = {kind.__name__ for kind in MESSAGES if hasattr(kind, "LABEL")}
    named = {name.partition(", with a sealed ")[0] for name in signers}
    assert named == signed | {"Problem"}


def test_the_endpoints_are_those_of_the_service() -> None:
    app = Flask("rules")
    app.register_blueprint(http.terminal_api)
    served = {
        f"`POST {rule.rule}`" for rule in app.url_map.iter_rules() if "static" not in rule.rule
    }
    assert {row[0] for row in table("## HTTP")} == served
    assert http.COSE in DOCUMENT


def test_the_statuses_are_those_of_the_service() -> None:
    written = {int(row[0]) for row in table("### Statuses")}
    assert written == set(http._STATUS.values()) | {400, 413, 415, 503}


def test_every_code_stands_with_its_number() -> None:
    assert table("## Codes") == [
        [f"`{kind.__name__}`", ", ".join(f"{each.value} {each.name.lower()}" for each in kind)]
        for kind in vars(messages).values()
        if kind in CODES and kind is not IntEnum
    ]


def test_every_reason_and_every_denial_stands_in_order() -> None:
    reasons = table("## What a terminal is told")
    assert [row[0] for row in reasons] == [f"`{each.value}`" for each in Reason]
    denials = table("### Denials")
    assert [row[:2] for row in denials] == [
        [f"`{each.value}`", f"`{each.reason.value}`"] for each in Denial
    ]
    assert all(len(row) == 3 and row[2] for row in denials)


@pytest.mark.parametrize(
    "text",
    [
        f"at most {codec.MAX_MESSAGE_BYTES} bytes",
        f"longer than {codec.MAX_MESSAGE_BYTES >> 10} KiB or nested deeper than {codec.MAX_DEPTH}",
        f"more than {desk.CLOCK_SKEW_MAX_MS // 1000} s off",
        f"with {liveness.CLOCK_TOLERANCE_MS // 1000} s of tolerance",
        f"({default_policy().challenge_ttl_ms // 1000} s after its issue, by default)",
        f"within {CODE_TTL_MS // 3_600_000} hours",
        f"ask for {Limits().per_minute} challenges a minute",
        f"modulo {plan.HOLD_MS_SPAN}, plus {plan.HOLD_MS_MIN}",
        f"at most {messages.PLAN_STEPS_MAX} plan steps, {messages.MODELS_MAX} model ids, "
        f"{messages.CUES_MAX} cues, {messages.REFERENCES_MAX} embeddings of 64 to "
        f"{messages.EMBEDDING_BYTES_MAX} bytes; claims to {messages.CLAIM_CHARS_MAX} characters",
        f"sealed part 1 to {messages.SEALED_BYTES_MAX}",
        f"`{messages.PROBE_LABEL.decode()}`",
    ],
)
def test_the_numbers_are_those_of_the_code(text: str) -> None:
    assert text in ONE_LINE


def test_the_plan_is_as_long_as_the_document_says() -> None:
    moves, colours = (
        ", ".join(str(numbers[level]) for level in messages.Level)
        for numbers in (plan.STEPS_AT, plan.COLOURS_AT)
    )
    names = ", ".join(level.name.lower() for level in messages.Level)
    assert f"`n` be {moves} moves and `c` {colours} colours for the levels {names}" in ONE_LINE
