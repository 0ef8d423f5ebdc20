"""Schemathesis against the OpenAPI document: what it makes up is answered as the document says."""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.api.client import Client
from tests.api.test_document import OPERATIONS, lived_in
from tests.ceremony.house import House

__all__ = ["lived_in"]

EXAMPLES = int(os.environ.get("COUNTENANCE_SCHEMATHESIS_EXAMPLES", "6"))
# That a request is well formed does not mean that it may be done: an account has no money, a
# currency is another, a payment was captured.
LEFT_OUT = [positive_data_acceptance]
WILD = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


@pytest.mark.usefixtures("lived_in")
def test_every_operation_answers_whatever_is_sent_as_documented(
    house: House, api: Client, subtests: pytest.Subtests
) -> None:
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", house.app)
    headers = {"Authorization": f"Bearer {api.secret}"}
    tested = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        name = operation.definition.raw["operationId"]
        tested.add(name)
        for mode in WILD:

            @seed(4711)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case) -> None:
                house.clock.now_ms += 1000
                case.call_and_validate(headers=headers, excluded_checks=LEFT_OUT)

            with subtests.test(f"{name} {mode.value}"):
                ask()
    assert tested == set(OPERATIONS)
