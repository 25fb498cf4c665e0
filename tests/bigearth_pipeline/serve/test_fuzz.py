"""The API under values that nobody has thought of: its description holds, and no request is an error of the server."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from bigearth_pipeline.serve.app import api_of
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stopping import Stopping

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
pytestmark = pytest.mark.long


def test_answers_are_as_described(contents: Contents) -> None:
    """A value ends in status 500, or in an answer that the description does not have."""
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", api_of(contents, Stopping()))
    wanted = [
        schemathesis.checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]

    def check(case: Any) -> None:
        case.call_and_validate(checks=wanted)

    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        values = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
        values(given(operation.as_strategy())(check))()
