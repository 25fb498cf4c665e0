"""Curves of histograms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigearth_pipeline.report.store.bands import IN_ORDER, curve_of
from shards import BANDS
from shards.layout.statistics import BINS

VALUES = st.lists(st.tuples(st.integers(0, BINS - 1), st.integers(1, 1000)), min_size=1, max_size=20)


@given(VALUES, VALUES)
def test_a_curve_counts_all_pixels_once(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    """Pixels are lost, counted twice, or more lie beyond the edge than the caption says."""
    counts = {}
    for split, pairs in (("train", one), ("test", other)):
        counts[split] = np.zeros(BINS, np.int64)
        for value, count in pairs:
            counts[split][value] += count
    curve = curve_of(counts)
    steps = np.diff(curve.edges)
    assert (steps == steps[0]).all()
    assert len(steps) <= 91
    total = sum(int(values.sum()) for values in counts.values())
    inside = sum(float(curve.shares[split].sum()) * float(values.sum()) for split, values in counts.items()) / 100
    assert inside == pytest.approx(total * (1 - curve.beyond), rel=1e-9)
    assert 0 <= curve.beyond <= 0.005 + 1e-9
    for split, values in counts.items():
        start, end = curve.edges[:2]
        assert curve.shares[split][0] == pytest.approx(100 * values[start:end].sum() / values.sum())


def test_bands_are_listed_by_wavelength() -> None:
    """A band is missing, or B8A follows B12."""
    assert sorted(IN_ORDER) == sorted(BANDS)
    assert IN_ORDER[7:10] == ("B08", "B8A", "B09")
