"""The clock that tests of workers put forward."""

import pytest

from bigearth_pipeline.workers import stall
from tests.bigearth_pipeline.workers.support import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which a cluster tells whether anything moves; limits can be as long as on a busy machine."""
    clock = Clock()
    monkeypatch.setattr(stall, "time", clock)
    return clock
