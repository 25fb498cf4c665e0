"""The API under values that nobody has thought of: its description holds, and no request is an error of the server."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from bigearth_pipeline.serve.app import api_of
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stopping import Stopping

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def api(contents: Contents) -> Any:
    """The API with its description, as it is in this process."""
    return schemathesis.openapi.from_asgi("/api/openapi.json", api_of(contents, Stopping()))


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_described(case: Any) -> None:
    """A value ends in status 500, or in an answer that the description does not have."""
    checks = schemathesis.checks
    case.call_and_validate(
        checks=[
            checks.not_a_server_error,
            schemathesis.specs.openapi.checks.status_code_conformance,
            schemathesis.specs.openapi.checks.content_type_conformance,
            schemathesis.specs.openapi.checks.response_schema_conformance,
        ]
    )
