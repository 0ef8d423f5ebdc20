from __future__ import annotations

import json
from dataclasses import replace

import pytest

from access.lockout import FOREVER_MS, Lockout
from face_engine.calibration import Calibration
from service.errors import Misconfigured
from service.verification.policy import Policy, default_policy
from wire.ids import DoorId, MerchantId
from wire.messages import (
    Context,
    Direction,
    EntryContext,
    Level,
    PaymentContext,
    Source,
    WithdrawalContext,
)


def payment(amount_minor: int) -> PaymentContext:
    return PaymentContext(
        amount_minor=amount_minor, currency="EUR", payee=MerchantId.new(), order="o"
    )


@pytest.mark.parametrize(
    ("context", "pin", "level"),
    [
        (payment(1), False, Level.STANDARD),
        (payment(10_000), False, Level.STANDARD),
        (payment(10_001), True, Level.STANDARD),
        (WithdrawalContext(amount_minor=100, currency="EUR"), True, Level.STRICT),
        (EntryContext(door=DoorId.new(), direction=Direction.IN), False, Level.PASSIVE),
    ],
)
def test_the_default_policy_asks_more_of_more_money(
    context: Context, pin: bool, level: Level
) -> None:
    tier = default_policy().tier_for(context)
    assert tier is not None
    assert (tier.pin, tier.liveness, tier.fmr) == (pin, level, 1e-4)


def test_an_amount_above_every_tier_has_none() -> None:
    assert default_policy().tier_for(payment(1_000_001)) is None


def test_a_policy_survives_its_document() -> None:
    policy = default_policy()
    assert Policy.from_document(policy.to_document()) == policy


def test_a_document_that_leaves_everything_else_out_gets_the_strict_defaults() -> None:
    tiers = json.loads(default_policy().to_document())["tiers"]
    strict = replace(default_policy(), without_face={})
    assert Policy.from_document(json.dumps({"tiers": tiers})) == strict


def _tiers(*tiers: dict[str, object]) -> dict[str, object]:
    every = json.loads(default_policy().to_document())["tiers"]
    return {"tiers": every | {"payment": list(tiers)}}


OPEN = {"fmr": 1e-4, "level": "standard", "pin": False}


@pytest.mark.parametrize(
    "change",
    [
        {"tiers": {}},
        {"tiers": None},
        {"unknown": 1},
        {"sources": []},
        {"sources": ["mirror"]},
        {"packs": []},
        {"packs": ["pip", "pip"]},
        {"challenge_ttl_ms": 1},
        {"hold_ttl_ms": 10**9},
        {"currency": "XXX"},
        {"lockout": {"failures": 6}},
        {"pin_lockout": {"failures": 6}},
        {"pin_lockout": {"hard_stop": 51}},
        {"without_face": {"payment": 0}},
        {"without_face": {"nose": 1}},
        {"without_face": []},
        {"consent_version": "none"},
        {"lockout": {"hard_stop": 51}},
        {"lockout": {"first_delay_ms": 1}},
        _tiers(),
        _tiers(OPEN | {"fmr": 0}),
        _tiers(OPEN | {"fmr": 0.5}),
        _tiers(OPEN | {"level": "some"}),
        _tiers(OPEN, OPEN),
        _tiers(OPEN | {"up_to_minor": 0}),
        _tiers(OPEN | {"up_to_minor": 5}, OPEN | {"up_to_minor": 5}),
        _tiers(*[OPEN | {"up_to_minor": end} for end in range(1, 10)]),
    ],
)
def test_a_policy_out_of_range_is_refused(change: dict[str, object]) -> None:
    document = json.loads(default_policy().to_document()) | change
    with pytest.raises(Misconfigured):
        Policy.from_document(json.dumps(document))


@pytest.mark.parametrize("document", ["", "[]", "null", "{", '"text"', "1"])
def test_a_document_that_is_no_policy_is_refused(document: str) -> None:
    with pytest.raises(Misconfigured):
        Policy.from_document(document)


def test_production_runs_neither_without_liveness_nor_without_a_camera() -> None:
    default_policy().check_for_production()
    document = json.loads(default_policy().to_document())
    for change in ({"sources": ["camera", "simulated"]}, _tiers(OPEN | {"level": "none"})):
        with pytest.raises(Misconfigured):
            Policy.from_document(json.dumps(document | change)).check_for_production()


def test_only_named_sources_are_accepted() -> None:
    accepted = {source for source in Source if default_policy().accepts(source)}
    assert accepted == {Source.CAMERA, Source.STREAM}


@pytest.mark.parametrize(
    ("failures", "level", "locked_ms"),
    [
        (4, Level.NONE, 0),
        (5, Level.NONE, 30_000),
        (6, Level.NONE, 60_000),
        (49, Level.NONE, 3_600_000),
        (9, Level.STANDARD, 0),
        (10, Level.STANDARD, 30_000),
        (99, Level.STANDARD, 3_600_000),
    ],
)
def test_the_delay_grows_with_the_failures(failures: int, level: Level, locked_ms: int) -> None:
    until = Lockout().locked_until_ms(failures, level=level, now_ms=1_000)
    assert until == (1_000 + locked_ms if locked_ms else 0)


@pytest.mark.parametrize(("failures", "level"), [(50, Level.NONE), (100, Level.PASSIVE)])
def test_the_hard_stop_has_no_end(failures: int, level: Level) -> None:
    assert Lockout().locked_until_ms(failures, level=level, now_ms=1_000) == FOREVER_MS


CALIBRATIONS = [
    Calibration(
        model_id=pack.encode().ljust(16),
        pack=pack,
        dimensions=128,
        provenance="made up",
        people=10,
        impostor_comparisons=1000,
        points=((0.5, 1e-3), (0.6, bound)),
    )
    for pack, bound in (("open", 1e-4), ("pip", 5e-4))
]


def test_a_policy_is_refused_at_start_where_a_calibration_cannot_show_its_rate() -> None:
    with pytest.raises(Misconfigured, match=r"FMR 0\.0001, but the calibration of pack pip"):
        default_policy().check_rates(CALIBRATIONS)
    replace(default_policy(), packs=("open",)).check_rates(CALIBRATIONS)


def test_a_policy_is_refused_at_start_where_a_pack_has_no_calibration() -> None:
    with pytest.raises(Misconfigured, match="pack pip, which has no calibration"):
        default_policy().check_rates(CALIBRATIONS[:1])


def test_the_text_in_force_is_accepted_in_any_language_and_no_other_text_is() -> None:
    policy = replace(default_policy(), consent_version="2026-11")
    for named in ("2026-11", "2026-11/es", "2026-11/zh"):
        assert policy.accepts_consent(named), named
    for named in ("2026-1", "2026-11/", "2026-11/ES", "2026-11/esp", "2026-11/es/es", "es", "/es"):
        assert not policy.accepts_consent(named), named
    assert replace(policy, consent_version="7/es").accepts_consent("7/es")
