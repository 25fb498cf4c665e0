"""Exact statistics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shards.layout.bands import BAND_SLICES, BANDS, RECORD_VALUES
from shards.layout.statistics import (
    PERCENTILES,
    Histograms,
    band_statistics,
    histogram_counts,
    histogram_table,
)
from tests.strategies import records

pixels = hnp.arrays(np.uint16, st.integers(1, 400), elements=st.integers(0, 65_535))


@given(pixels)
def test_statistics_equal_those_of_the_pixels(values: np.ndarray) -> None:
    """The statistics of a histogram are not those of the pixels in it."""
    found = band_statistics(np.bincount(values, minlength=65_536))
    assert (found.count, found.nodata) == (values.size, (values == 0).sum())
    assert (found.min, found.max) == (values.min(), values.max())
    np.testing.assert_allclose(found.mean, values.mean(dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.std, values.std(dtype=np.float64), rtol=1e-9, atol=1e-9)
    for percent in PERCENTILES:
        expected = np.percentile(values.astype(np.float64), percent)
        np.testing.assert_allclose(found.percentiles[f"{percent:g}"], expected, rtol=1e-9, atol=1e-9)


def test_a_narrow_band_far_from_zero_keeps_its_deviation() -> None:
    """Cancellation eats the standard deviation of many nearly equal large values."""
    histogram = np.zeros(65_536, np.int64)
    histogram[65_534], histogram[65_535] = 10**10, 10**10
    assert band_statistics(histogram).std == pytest.approx(0.5, rel=1e-12)


@settings(max_examples=20)
@given(st.lists(records(), min_size=1, max_size=40), st.integers(0, 40))
def test_merged_histograms_equal_those_of_the_whole(some: list[np.ndarray], cut: int) -> None:
    """Statistics depend on how the patches are spread over shards."""
    parts = []
    for part in (some[:cut], some[cut:]):
        histograms = Histograms()
        for record in part:
            histograms.next_record()[:] = record
            histograms.commit()
        parts.append(histogram_counts(histogram_table(histograms.counts())))
    whole = np.stack(some)
    for i, band in enumerate(BANDS):
        expected = np.bincount(whole[:, BAND_SLICES[band]].ravel(), minlength=65_536)
        np.testing.assert_array_equal(parts[0][i] + parts[1][i], expected)


def test_a_record_counts_only_once_committed() -> None:
    """A patch that turns out bad while it is read stays in the statistics."""
    histograms = Histograms()
    histograms.next_record()[:] = 7
    histograms.next_record()[:] = 9
    histograms.commit()
    assert histograms.counts()[:, 9].sum() == RECORD_VALUES
    assert histograms.counts()[:, 7].sum() == 0


def test_an_empty_histogram_is_refused() -> None:
    """A split without pixels gets made-up statistics."""
    with pytest.raises(ValueError, match="empty"):
        band_statistics(np.zeros(65_536, np.int64))
