"""What the report of a liveness trial says first."""

from __future__ import annotations

import pytest

from countenance.liveness_trial import Settings, Trial
from countenance.report.liveness import bar, judge, percent, render
from liveness.evaluate import LIVE, Attacks, Guessing, Result, summarise
from liveness.types import Level, Outcome

PASSED, ATTACK, UNDECIDED = Outcome.LIVE, Outcome.ATTACK, Outcome.UNDECIDED


def trial(**outcomes: list[Outcome]) -> Trial:
    results = [
        Result(species=name, outcome=one, took_ms=7_000, frames=9, cues={"motion": one})
        for name, every in outcomes.items()
        for one in every
    ]
    guessing = Guessing(
        tries=10_000,
        matched=0,
        moved=500,
        plans=2**20,
        right=Attacks(attempts=10, accepted=3, undecided=0),
        moves=Attacks(attempts=150, accepted=0, undecided=0),
        wrong=Attacks(attempts=150, accepted=0, undecided=0),
    )
    return Trial(
        settings=Settings(pack="pip", level=Level.STANDARD, seed=1),
        people=("one",),
        evaluation=summarise(results),
        pictures={},
        guessing=guessing,
    )


@pytest.mark.parametrize(
    ("live", "paper", "mood"),
    [
        ([PASSED] * 50, [ATTACK] * 50, "good"),
        ([PASSED] * 50, [ATTACK] * 20, "open"),
        ([PASSED] * 50, [ATTACK] * 45 + [PASSED] * 5, "bad"),
        ([PASSED] * 45 + [ATTACK] * 5, [ATTACK] * 50, "bad"),
        ([PASSED] * 40 + [UNDECIDED] * 10, [UNDECIDED] * 50, "bad"),
        ([], [ATTACK] * 50, "open"),
        ([PASSED] * 50, [], "open"),
    ],
)
def test_the_verdict_counts_attacks_people_and_how_sure_it_is(
    live: list[Outcome], paper: list[Outcome], mood: str
) -> None:
    measured = trial(**{LIVE: live, "print_flat": paper})
    assert judge(measured).mood == mood
    document = render(measured)
    assert judge(measured).headline in document
    assert "<script" not in document


def test_a_species_of_the_users_own_is_named_and_escaped() -> None:
    document = render(trial(**{"<b>wax</b>": [ATTACK]}))
    assert "&lt;b&gt;wax&lt;/b&gt;" in document
    assert "<b>wax" not in document


def test_rates_are_short_and_bars_end_at_their_width() -> None:
    assert [percent(value) for value in (0, 0.07, 0.068, 1)] == ["0%", "7%", "6.8%", "100%"]
    assert 'width="320"' in bar(Attacks(attempts=2, accepted=2, undecided=0))


def test_the_json_has_what_was_promised() -> None:
    document = trial(**{LIVE: [PASSED, ATTACK], "print_flat": [ATTACK] * 150}).to_json()
    assert document["species"] == {
        "print_flat": {"attempts": 150, "accepted": 0, "apcer": 0.0, "apcer_upper95": 0.019773}
    }
    assert document["live"] == {"attempts": 2, "rejected": 1, "undecided": 0, "bpcer": 0.5}
    assert document["verdict_ms_p50"] == 7_000
    assert document["guessing"]["allowed"] == 1
