"""Batches of what waits, and a search for neighbours that does not look at all patches."""

import threading

import numpy as np
import pytest

from bigearth_pipeline.serve.map.places import Places
from bigearth_pipeline.serve.patch.batches import Batches


def test_what_waits_is_computed_together() -> None:
    """A caller gets the result of another one, or of another kind, or each is computed alone."""
    sizes: list[int] = []
    begun, may_end = threading.Event(), threading.Event()

    def compute(kind: str, items: list[int]) -> list[str]:
        begun.set()
        assert may_end.wait(30)
        sizes.append(len(items))
        return [f"{kind}{item}" for item in items]

    batches = Batches(compute, 8)
    first = batches.begin("a", -1)
    assert begun.wait(30)
    others = [batches.begin("ab"[i % 2], i) for i in range(26)]
    may_end.set()
    assert first.result(30) == "a-1"
    assert [other.result(30) for other in others] == [f"{'ab'[i % 2]}{i}" for i in range(26)]
    assert sorted(sizes) == sorted([1] + [8, 4, 1] * 2)


def test_an_error_reaches_each_of_its_batch_and_no_other() -> None:
    """A record that is damaged leaves callers waiting, or the server without a thread for later ones."""

    def compute(kind: int, items: list[int]) -> list[float]:
        return [1 / kind for _ in items]

    batches = Batches(compute, 4)
    with pytest.raises(ZeroDivisionError):
        batches.begin(0, 5).result()
    assert batches.begin(2, 5).result() == 0.5


@pytest.mark.parametrize("north", [4_000_000.0, 5_800_000.0, 7_700_000.0])
def test_no_patch_that_is_near_is_overlooked(north: float) -> None:
    """A patch beside another one has no place among its neighbours, at any latitude of Europe or edge of a zone."""
    rng = np.random.default_rng(int(north))
    n = 3000
    epsg = np.full(n, 32633, np.int32)
    x, y = 170_000.0 + rng.integers(0, 60, n) * 600, north + rng.integers(0, 60, n) * 600
    places = Places.of(epsg, x, y)
    reach = 1800.0
    seen = []
    for row in range(0, n, 50):
        near = set(np.flatnonzero((np.abs(x - x[row]) < reach) & (np.abs(y - y[row]) < reach)).tolist())
        found = places.near(row, reach).tolist()
        assert near <= set(found)
        assert len(found) == len(set(found))
        seen.append(len(found))
    assert max(seen) < n / 2
