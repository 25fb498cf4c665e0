"""A copy of a store, to be damaged."""

from pathlib import Path

import pytest

from tests.support.data import faults


@pytest.fixture
def damaged(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the store of that kind: train of three shards, validation and test of two each."""
    return faults.copy(request.getfixturevalue(kind), tmp_path / "damaged")
