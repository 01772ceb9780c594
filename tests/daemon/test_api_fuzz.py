"""What the API's own schema allows, and much that it forbids, thrown at a running daemon."""

from __future__ import annotations

import contextlib
import warnings

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.daemon.conftest import Running

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)


def test_no_body_and_no_parameter_brings_the_api_down_or_makes_it_answer_off_its_schema(
    daemon: Running,
) -> None:
    process = daemon.start()
    with daemon.client() as client:
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        asked = 0
        for operation in schema.get_all_operations():
            for mode in MODES:
                asked += _throw(operation.ok(), mode, str(client.base_url), dict(client.headers))
        assert asked >= 100
        assert client.get("/health/live").json() == {"live": True}
        kinds = {event["kind"] for event in client.get("/events?limit=10000").json()["events"]}
        assert not kinds & {"OrderDecided", "OrderSent"}  # nothing that anybody shouted became an order
    assert process.poll() is None


def _throw(operation: schemathesis.APIOperation, mode: object, base: str, headers: dict[str, str]) -> int:
    """A score of calls of one operation; how many were made."""
    made = 0

    @settings(
        max_examples=10,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: schemathesis.Case) -> None:
        nonlocal made
        made += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the library's own transport
            response = case.call(base_url=base, headers=headers)
        case.validate_response(response, checks=CHECKS)

    with contextlib.suppress(Unsatisfiable):  # a call without parameters has no wrong ones
        call()
    return made
