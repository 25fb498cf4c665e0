"""The command that damages everything and counts what becomes of it."""

from pathlib import Path

import numpy as np
import pytest

from shards.errors import CorruptShard
from shards.testing.stores import make_store
from tools.faults import stores
from tools.faults.attempts import Attempts, outcome_of


@pytest.mark.parametrize(
    ("use", "outcome"),
    [
        (lambda: True, "same"),
        (lambda: False, "WRONG"),
        (lambda: 1 / 0, "TRACEBACK"),
        (lambda: (_ for _ in ()).throw(CorruptShard("x")), "refused"),
        (lambda: Path("/absent").read_bytes(), "refused"),
    ],
)
def test_outcomes_are_told_apart(use: object, outcome: str) -> None:
    """Wrong results, or a bug, would be counted as held."""
    found = Attempts("x")
    found.outcomes[outcome_of(use, "refused", "same")] += 1  # type: ignore[arg-type]
    assert list(found.outcomes) == [outcome]
    assert found.failures == (outcome in ("WRONG", "TRACEBACK"))


def test_a_damaged_store_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    """Damage stays behind and spoils the next attempt, or a kind of damage gives wrong results."""
    folder = make_store(tmp_path / "store", {"train": 3, "validation": 2})
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    rng = np.random.default_rng(0)
    found = [*stores.flips(folder, 16, rng), stores.cuts(folder, 8, rng), stores.strange_files(folder)]
    assert [kind.failures for kind in found] == [0] * len(found), found
    assert all(kind.times for kind in found)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
