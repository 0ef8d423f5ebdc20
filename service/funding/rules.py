"""What is still to be asked of a processor, so that its side follows the ledger's.

Guarantee: the ledger decides and the processor follows. The same sides give the same act, so it
may be found and carried out twice, late, and by anybody; nothing is kept of what was intended.
"""

from __future__ import annotations

from enum import StrEnum

from service.funding.processor import Side

_HELD = (Side.AUTHORIZED, Side.CAPTURED)


class Act(StrEnum):
    WAIT = "wait"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    QUERY = "query"
    NOTHING = "nothing"


def next_act(
    *, state: str, refund: bool, posted_minor: int, side: Side, confirmed_minor: int, told: bool
) -> Act:
    """``state`` is the transfer's; ``posted_minor`` what was posted of it, 0 if it is not.

    ``told``: the processor was heard since something was last said to have changed.
    """
    if refund:
        return Act.REFUND if side is Side.ASKED else _look(told=told)
    if state == "pending":
        return Act.WAIT
    if state == "posted":
        if side is Side.AUTHORIZED or (side is Side.CAPTURED and confirmed_minor > posted_minor):
            return Act.CAPTURE
        return _look(told=told)
    if side is Side.ASKED or side in _HELD:
        return Act.VOID
    return _look(told=told)


def _look(*, told: bool) -> Act:
    return Act.NOTHING if told else Act.QUERY
