"""Bodies that come in chunks, without a length, to the real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import urllib3

from countenance.stage import Stage
from wire.codec import MAX_MESSAGE_BYTES
from wire.denial import Reason
from wire.messages import Problem

PATHS = ("terminals", "challenges", "attempts", "confirmations")


def chunks(size: int) -> Iterator[bytes]:
    while size > 0:
        yield bytes(min(size, 8192))
        size -= 8192


def post(stage: Stage, path: str, size: int) -> tuple[int, Problem]:
    url = f"http://127.0.0.1:{stage.port}/v1/{path}"
    headers = {"Content-Type": "application/cose"}
    with urllib3.PoolManager(retries=False, timeout=10.0) as pool:
        answer = pool.request("POST", url, body=chunks(size), headers=headers, chunked=True)
    return answer.status, Problem.decode(answer.data)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [MAX_MESSAGE_BYTES + 1, 2 * MAX_MESSAGE_BYTES, 10_000_000])
def test_a_chunked_body_that_is_too_long_is_a_problem(stage: Stage, path: str, size: int) -> None:
    status, problem = post(stage, path, size)
    assert (status, problem.reason) == (413, Reason.EVIDENCE_NOT_ACCEPTED)


def test_a_chunked_body_that_is_no_message_is_a_problem(stage: Stage) -> None:
    status, problem = post(stage, "attempts", 1000)
    assert (status, problem.reason) == (400, Reason.EVIDENCE_NOT_ACCEPTED)
