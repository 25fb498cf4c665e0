"""A copy of the run that has a report, which tests change."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
