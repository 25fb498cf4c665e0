"""Exact band statistics from histograms.

The histogram of a band has one bin for each of the 65,536 values, so counts, sums and order statistics follow from it
without rounding; histograms of parts are merged by addition.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards.layout.bands import BAND_SLICES, BANDS, RECORD_VALUES
from shards.runtime.arrow import numeric_array, numpy_values, text_array
from shards.text.json_fields import Fields

BINS: Final = 65_536
PERCENTILES: Final = (0.1, 1.0, 2.0, 50.0, 98.0, 99.0, 99.9)
NODATA: Final = 0
"""The value that marks a missing pixel in Sentinel-2 products."""

_CHUNK: Final = 8  # Records a counting pass: enough to spread the cost of a pass, few enough for the cache.
COMPILED_AFTER: Final = 8000
"""Records that a process counts by NumPy before it does so in compiled code: that takes 0.7 s to begin, and then 0.1 ms
less of each."""
_STARTS: Final = np.array([place.start for place in BAND_SLICES.values()] + [RECORD_VALUES], np.int64)
_num_counted = 0  # Records that this process has counted.
_count_values: Callable[[NDArray[np.uint16], NDArray[np.int64], NDArray[np.int64]], None] | None = None


def compile_counting() -> None:
    """Let this process count values in compiled code from now on; to begin takes 0.7 s, see `COMPILED_AFTER`."""
    global _count_values
    # Imported here, for numba is.
    from shards.layout.counting import count_values

    # The first call compiles, or loads what an earlier process has compiled.
    count_values(np.empty((0, RECORD_VALUES), np.uint16), _STARTS, np.zeros((len(BANDS), BINS), np.int64))
    _count_values = count_values


def preparation(num_records: int) -> Callable[[], None] | None:
    """Return `compile_counting` if it pays for a process that will count this many records, else None."""
    return compile_counting if num_records >= COMPILED_AFTER else None


class Histograms:
    """Counts of every value of every band, (12, 65536) int64, gathered record by record."""

    def __init__(self) -> None:
        self._counts = np.zeros((len(BANDS), BINS), np.int64)
        self._pending = np.empty((_CHUNK, RECORD_VALUES), np.uint16)
        self._num_pending = 0

    def next_record(self) -> NDArray[np.uint16]:
        """Return room for the next record, (80000,) uint16; it counts once `commit` is called."""
        record: NDArray[np.uint16] = self._pending[self._num_pending]
        return record

    def commit(self) -> None:
        """Count the record that `next_record` returned."""
        self._num_pending += 1
        if self._num_pending == _CHUNK:
            self._flush()

    def _flush(self) -> None:
        global _num_counted
        records = self._pending[: self._num_pending]
        if _count_values is None and _num_counted >= COMPILED_AFTER:
            compile_counting()
        if _count_values is not None:
            _count_values(records, _STARTS, self._counts)
        else:
            for counts, place in zip(self._counts, BAND_SLICES.values(), strict=True):
                # As many bins as the largest value needs: mostly a tenth of all, which is time saved.
                found = np.bincount(records[:, place].ravel())
                counts[: len(found)] += found
        _num_counted += len(records)
        self._num_pending = 0

    def counts(self) -> NDArray[np.int64]:
        """Return the counts of all committed records, (12, 65536) in the order of `BANDS`."""
        self._flush()
        return self._counts


def histogram_table(counts: NDArray[np.int64]) -> pa.Table:
    """Return the non-zero bins of (12, 65536) counts as a table of band, value, count."""
    band, value = np.nonzero(counts)
    names = pa.DictionaryArray.from_arrays(numeric_array(band, pa.int32()), text_array(BANDS))
    columns = [names, numeric_array(value, pa.uint16()), numeric_array(counts[band, value], pa.int64())]
    return pa.Table.from_arrays(columns, names=["band", "value", "count"])


def histogram_counts(table: pa.Table) -> NDArray[np.int64]:
    """Return the (12, 65536) counts of a table of `histogram_table`."""
    counts = np.zeros((len(BANDS), BINS), np.int64)
    band = numpy_values(pc.index_in(table["band"].cast(pa.string()), text_array(BANDS)))
    counts[band, numpy_values(table["value"])] = numpy_values(table["count"])
    return counts


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Statistics of one band over the native pixels of all patches of a split, missing pixels included.

    Attributes:
        count: pixels.
        nodata: pixels of value 0.
        min: smallest value.
        max: largest value.
        mean: arithmetic mean.
        std: population standard deviation.
        percentiles: by percent (`"0.1"` to `"99.9"`), interpolated linearly as `numpy.percentile` does.
    """

    count: int
    nodata: int
    min: int
    max: int
    mean: float
    std: float
    percentiles: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Fields) -> "BandStatistics":
        """Return the statistics that `to_json` wrote.

        Raises:
            CorruptShard: they are not those of any pixels.
        """
        fields.only([field.name for field in dataclass_fields(cls)])
        count = fields.integer("count", 1, 2**63 - 1)
        low = fields.integer("min", 0, BINS - 1)
        high = fields.integer("max", low, BINS - 1)
        # Zero is the least value, so it occurs if, and only if, it is the minimum.
        nodata = fields.integer("nodata", 1, count) if low == NODATA else fields.integer("nodata", 0, 0)
        percentiles, values, least = fields.fields("percentiles"), {}, float(low)
        percentiles.only([f"{q:g}" for q in PERCENTILES])
        for q in PERCENTILES:
            values[f"{q:g}"] = least = percentiles.number(f"{q:g}", least, high)
        return cls(
            count=count,
            nodata=nodata,
            min=low,
            max=high,
            mean=fields.number("mean", low, high),
            # The most that values of a range can spread (Popoviciu's inequality), and room for rounding.
            std=fields.number("std", 0, (high - low) / 2 * (1 + 1e-9)),
            percentiles=values,
        )


def band_statistics(histogram: NDArray[np.int64]) -> BandStatistics:
    """Return the statistics of one band's (65536,) histogram.

    Sums are Python integers, so mean and variance are rounded once, at the end.

    Raises:
        ValueError: the histogram is empty.
    """
    values = np.flatnonzero(histogram)
    if values.size == 0:
        raise ValueError("an empty histogram has no statistics")
    counts = histogram[values]
    pairs = list(zip(values.tolist(), counts.tolist(), strict=True))
    n = sum(count for _, count in pairs)
    total = sum(value * count for value, count in pairs)
    squares = sum(value * value * count for value, count in pairs)
    cumulative = np.cumsum(counts)
    return BandStatistics(
        count=n,
        nodata=int(histogram[NODATA]),
        min=int(values[0]),
        max=int(values[-1]),
        mean=total / n,
        # isqrt of the scaled exact variance n·Σv² − (Σv)² keeps all digits where the difference of squares is small.
        std=math.isqrt((n * squares - total * total) << 64) / n / 2**32,
        percentiles={f"{q:g}": _percentile(values, cumulative, n, q) for q in PERCENTILES},
    )


def _percentile(values: NDArray[np.intp], cumulative: NDArray[np.int64], n: int, percent: float) -> float:
    """Linear interpolation between the order statistics around (n − 1)·percent/100."""
    place = (n - 1) * (percent / 100)
    below = math.floor(place)
    first, second = (int(values[np.searchsorted(cumulative, k, side="right")]) for k in (below, min(below + 1, n - 1)))
    return first + (second - first) * (place - below)
