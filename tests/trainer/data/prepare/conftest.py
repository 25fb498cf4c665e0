"""The kernel that makes images, without a GPU."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest


@pytest.fixture
def interpreter(request: pytest.FixtureRequest) -> Iterator[None]:
    """The kernel runs on the CPU, but for tests on a GPU."""
    # A machine that is there for its GPU may lack DALI, and collects this file.
    from tests.trainer.data.prepare.interpreter import images_interpreted
    from trainer.data.prepare.dali import record_graph

    with nullcontext() if request.node.get_closest_marker("gpu") else images_interpreted(record_graph):
        yield
