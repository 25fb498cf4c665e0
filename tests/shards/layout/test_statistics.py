"""Exact statistics."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shards.errors import CorruptShard
from shards.layout import statistics
from shards.layout.bands import BAND_SLICES, BANDS, RECORD_VALUES
from shards.layout.statistics import (
    PERCENTILES,
    BandStatistics,
    Histograms,
    band_statistics,
    histogram_counts,
    histogram_table,
)
from shards.text.json_fields import Fields
from tests.support.strategies import records

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
@given(
    st.lists(records(), min_size=1, max_size=40),
    st.integers(0, 40),
    st.sampled_from([0, 20, statistics.COMPILED_AFTER]),
)
def test_merged_histograms_equal_those_of_the_whole(some: list[np.ndarray], cut: int, compiled_after: int) -> None:
    """Statistics depend on how the patches are spread over shards, or on how many a process has counted before."""
    parts = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "COMPILED_AFTER", compiled_after)
        patch.setattr(statistics, "_num_counted", 0)
        patch.setattr(statistics, "_count_values", None)
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


@settings(max_examples=5)
@given(st.lists(records(), min_size=1, max_size=20), st.integers(0, 20))
def test_counting_changes_to_compiled_code_at_any_record(some: list[np.ndarray], begin: int) -> None:
    """Records that are not counted yet are lost, or counted twice, as a thread has loaded the compiled code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_num_counted", 0)
        patch.setattr(statistics, "_count_values", None)
        histograms = Histograms()
        for number, record in enumerate(some):
            if number == begin:
                statistics.compile_counting()
            histograms.next_record()[:] = record
            histograms.commit()
        found = histograms.counts()
    for counts, place in zip(found, BAND_SLICES.values(), strict=True):
        np.testing.assert_array_equal(counts, np.bincount(np.stack(some)[:, place].ravel(), minlength=65_536))


def test_compiled_counting_is_prepared_where_it_pays() -> None:
    """A small build waits for a compiler, or a large one counts by NumPy what it could have compiled from its start."""
    assert statistics.preparation(statistics.COMPILED_AFTER - 1) is None
    assert statistics.preparation(statistics.COMPILED_AFTER) is statistics.compile_counting


def test_a_record_counts_only_once_committed() -> None:
    """A patch that turns out bad while it is read stays in the statistics."""
    histograms = Histograms()
    histograms.next_record()[:] = 7
    histograms.next_record()[:] = 9
    histograms.commit()
    assert histograms.counts()[:, 9].sum() == RECORD_VALUES
    assert histograms.counts()[:, 7].sum() == 0


def fields_of(**changes: Any) -> Fields:
    """Return the JSON of the statistics of two pixels, 3 and 65,535, with changes."""
    histogram = np.zeros(65_536, np.int64)
    histogram[[3, 65_535]] = 1
    return Fields(band_statistics(histogram).to_json() | changes, "band")


@given(pixels)
def test_statistics_are_read_as_they_were_written(values: np.ndarray) -> None:
    """Statistics of a sound store are refused, as those of a band of zeros, or of two values far apart."""
    written = band_statistics(np.bincount(values, minlength=65_536))
    assert BandStatistics.from_json(Fields(written.to_json(), "band")) == written


@pytest.mark.parametrize("pair", [(0, 65_535), (0, 0), (65_535, 65_535), (3, 4), (0, 1)])
def test_the_widest_spread_is_allowed(pair: tuple[int, int]) -> None:
    """Two values in equal parts, which spread most, are refused."""
    histogram = np.zeros(65_536, np.int64)
    for value in pair:
        histogram[value] += 1
    written = band_statistics(histogram)
    assert written.std == (pair[1] - pair[0]) / 2
    assert BandStatistics.from_json(Fields(written.to_json(), "band")) == written


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 0},
        {"min": -1},
        {"min": 65_536, "max": 65_536},
        {"max": 2},
        {"max": 65_536},
        {"nodata": 1},
        {"nodata": -1},
        {"min": 0, "nodata": 0},
        {"min": 0, "nodata": 3},
        {"mean": 2.9},
        {"mean": 65_535.1},
        {"std": -0.1},
        {"std": 32_766.1},
        {"percentiles": {}},
        {"percentiles": {f"{percent:g}": 2.0 for percent in PERCENTILES}},
        {"percentiles": {f"{percent:g}": 65_536.0 for percent in PERCENTILES}},
        {"percentiles": {f"{percent:g}": 100.0 - percent for percent in PERCENTILES}},
        {"further": 1},
    ],
    ids=str,
)
def test_statistics_of_no_pixels_are_refused(changes: dict[str, Any]) -> None:
    """A damaged manifest normalises by numbers that no pixels have."""
    assert BandStatistics.from_json(fields_of()).count == 2
    with pytest.raises(CorruptShard):
        BandStatistics.from_json(fields_of(**changes))


def test_an_empty_histogram_is_refused() -> None:
    """A split without pixels gets made-up statistics."""
    with pytest.raises(ValueError, match="empty"):
        band_statistics(np.zeros(65_536, np.int64))
