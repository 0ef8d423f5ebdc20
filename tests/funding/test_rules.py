"""The processor follows the ledger: what is asked of it, for every pair of sides."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.funding.processor import Side
from service.funding.rules import Act, next_act

ENDS = ("voided", "expired")
DONE = {  # what a processor that obeys has afterwards
    Act.CAPTURE: Side.CAPTURED,
    Act.VOID: Side.RELEASED,
    Act.REFUND: Side.REFUNDED,
}


@given(
    state=st.sampled_from(["pending", "posted", *ENDS]),
    refund=st.booleans(),
    side=st.sampled_from(Side),
    posted=st.integers(1, 100),
    confirmed=st.integers(0, 100),
    told=st.booleans(),
)
def test_an_act_that_was_carried_out_is_not_found_again(
    state: str, refund: bool, side: Side, posted: int, confirmed: int, told: bool
) -> None:
    posted_minor = posted if state == "posted" else 0
    facts = {"state": state, "refund": refund, "posted_minor": posted_minor}
    act = next_act(**facts, side=side, confirmed_minor=confirmed, told=told)  # type: ignore[arg-type]
    if act is Act.NOTHING:
        assert told
    if act in DONE:
        after = next_act(
            **facts,  # type: ignore[arg-type]
            side=DONE[act],
            confirmed_minor=posted_minor,
            told=True,
        )
        assert after is Act.NOTHING


@given(side=st.sampled_from(Side), told=st.booleans(), confirmed=st.integers(0, 100))
def test_nothing_is_taken_of_what_is_not_posted_and_all_is_let_go_that_ended(
    side: Side, told: bool, confirmed: int
) -> None:
    for state in ("pending", *ENDS):
        act = next_act(
            state=state, refund=False, posted_minor=0, side=side, confirmed_minor=confirmed,
            told=told,
        )  # fmt: skip
        assert act not in (Act.CAPTURE, Act.REFUND)
        assert (act is Act.WAIT) == (state == "pending")
        if state in ENDS and side in (Side.ASKED, Side.AUTHORIZED, Side.CAPTURED):
            assert act is Act.VOID


def test_more_than_was_posted_is_let_go() -> None:
    act = next_act(
        state="posted", refund=False, posted_minor=10, side=Side.CAPTURED, confirmed_minor=30,
        told=True,
    )  # fmt: skip
    assert act is Act.CAPTURE
