"""Values of the twelve bands: histograms, means and standard deviations beside the published ones."""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.geo.bands import SPECTRUM
from bigearth_pipeline.report.figure.distribution import Mark, distribution
from bigearth_pipeline.report.page.blocks import Block, Cell, Drawing, Figure, Section, Table, Text
from bigearth_pipeline.report.page.numbers import count_cell, number_cell, share_cell
from bigearth_pipeline.report.store.contents import Contents
from bigearth_pipeline.verify.tables import read_histograms
from shards import BANDS, CorruptShard
from shards.layout.bands import GROUP_OF
from shards.layout.statistics import BandStatistics
from shards.metadata.manifest import HISTOGRAMS, MANIFEST
from shards.metadata.published import Published, published

_BINS: Final = 90
_BEYOND: Final = 0.005
"""Share of the pixels of a band that may lie beyond the right edge: a few bright clouds would flatten the rest."""
IN_ORDER: Final = tuple(sorted(BANDS, key=lambda band: list(SPECTRUM).index(band)))
"""Bands by wavelength, as people list them."""


def band_words(band: str) -> str:
    """Return name, use, wavelength and resolution of a band."""
    spectrum = SPECTRUM[band]
    return f"{band}, {spectrum.use}, {spectrum.nanometres:,} nm, {GROUP_OF[band].metres} m"


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The histogram of a band in bins of equal width.

    Attributes:
        edges: (bins + 1,) whole digital numbers.
        shares: percent of the pixels of a split in each bin, (bins,) float64, by split.
        beyond: share of all pixels above the last edge.
    """

    edges: NDArray[np.int64]
    shares: dict[str, NDArray[np.float64]]
    beyond: float


def curve_of(counts: dict[str, NDArray[np.int64]]) -> Curve:
    """Return the curve of a band.

    Args:
        counts: how often each value occurs, (65536,) int64, by split; each split has pixels.
    """
    total = np.sum(list(counts.values()), axis=0)
    cumulative = np.cumsum(total)
    high = int(np.searchsorted(cumulative, (1 - _BEYOND) * cumulative[-1])) + 1
    low = int(np.flatnonzero(total)[0])
    low = 0 if low < high / 4 else low
    width = max(1, -(-(high - low) // _BINS))
    edges = np.arange(low, high + width, width)
    shares = {}
    for split, values in counts.items():
        whole = np.concatenate([[0], np.cumsum(values)])
        inside = np.diff(whole[np.minimum(edges, len(values))])
        shares[split] = 100 * inside / values.sum()
    end = min(int(edges[-1]), len(total))
    return Curve(edges, shares, 1 - float(cumulative[end - 1]) / float(cumulative[-1]))


def stored_histograms(contents: Contents) -> dict[str, NDArray[np.int64]] | None:
    """Return the (12, 65536) counts by split of the store's histogram file; None if that file is absent.

    Raises:
        CorruptShard: the file is damaged, or of other splits than the store.
    """
    path = contents.folder / HISTOGRAMS
    described = next((info for info in contents.manifest.files if info.path == HISTOGRAMS), None)
    if described is None:
        return None
    try:
        content = contents.store.read_file(HISTOGRAMS, described.size_bytes)
    except FileNotFoundError:
        return None
    if (digest := hashlib.sha256(content).hexdigest()) != described.sha256:
        raise CorruptShard(f"{path} has SHA-256 {digest}, expected {described.sha256} as in {MANIFEST}")
    found = read_histograms(path, content)
    if set(found) != set(contents.splits):
        raise CorruptShard(f"{path} has the splits {', '.join(sorted(found))}, expected {', '.join(contents.splits)}")
    return {split: found[split] for split in contents.splits}


def bands(contents: Contents) -> Section:
    """Return the section."""
    known = published(contents.manifest.source_version)
    histograms = stored_histograms(contents)
    blocks: list[Block] = []
    if histograms is None:
        blocks.append(Text(f"The store has no {HISTOGRAMS}, so there are no curves; the numbers are of its manifest."))
    else:
        blocks.append(_curves(contents, histograms, known))
    blocks += [_beside(contents, known), _statistics(contents)]
    return Section("bands", "Values of the bands", blocks)


def _curves(contents: Contents, histograms: dict[str, NDArray[np.int64]], known: Published) -> Figure:
    panels, beyond = [], []
    for band in IN_ORDER:
        i = BANDS.index(band)
        curve = curve_of({split: counts[i] for split, counts in histograms.items()})
        beyond.append(curve.beyond)
        marks = []
        for number, split in enumerate(contents.splits):
            found = contents.manifest.splits[split].statistics[band]
            marks.append(Mark(split, found.mean, found.std, contents.colours[number]))
        marks.append(Mark("published", *known.bands[band], None))
        title = f"Histogram of {band}"
        edges = curve.edges.astype(np.float64)
        panels.append(
            Drawing(
                distribution(
                    f"histogram-{band}", title, edges, curve.shares, marks, band_words(band), colours=contents.colours
                )
            )
        )
    first = contents.splits[0]
    statistics = contents.manifest.splits[first].statistics
    dark, bright = (pick(BANDS, key=lambda band: statistics[band].mean) for pick in (min, max))
    far = max(BANDS, key=lambda band: abs(statistics[band].mean - known.bands[band][0]) / known.bands[band][1])
    deviations = abs(statistics[far].mean - known.bands[far][0]) / known.bands[far][1]
    caption = (
        f"How often values occur, in digital numbers (10,000 is a reflectance of 1), from the exact histograms of "
        f"{', '.join(contents.splits)}; at most {100 * max(beyond):.2g} % of the pixels of a band lie beyond the right "
        f"edge. Dots and whiskers are mean and standard deviation of each split, the diamond the published ones. "
        f"In {first} {dark} is darkest (mean {statistics[dark].mean:,.1f}), {bright} brightest "
        f"({statistics[bright].mean:,.1f}); farthest from its published mean is {far}: {statistics[far].mean:,.1f}, "
        f"published {known.bands[far][0]:,.1f}, {deviations:.2f} of the published standard deviation away."
    )
    return Figure(
        "histograms-figure", caption, panels, "medium", list(zip(contents.splits, contents.colours, strict=True))
    )


def _beside(contents: Contents, known: Published) -> Table:
    split = contents.splits[0]
    statistics = contents.manifest.splits[split].statistics
    rows = []
    for band in IN_ORDER:
        found, (mean, std) = statistics[band], known.bands[band]
        rows.append(
            [
                Cell(band_words(band)),
                number_cell(found.mean, 4),
                number_cell(mean, 4),
                number_cell(100 * (found.mean / mean - 1), 2),
                number_cell(found.std, 4),
                number_cell(std, 4),
                number_cell(100 * (found.std / std - 1), 2),
            ]
        )
    columns = ["band", "mean", "mean, published", "difference, %", "std", "std, published", "difference, %"]
    caption = f"Mean and standard deviation of {split} beside the published ones. Source: {known.bands_source}."
    return Table("bands-published", caption, columns, rows)


def _statistics(contents: Contents) -> Table:
    rows = [
        _row(split, band, contents.manifest.splits[split].statistics[band])
        for split in contents.splits
        for band in IN_ORDER
    ]
    percents = [
        f"{percent} %" for percent in next(iter(contents.manifest.splits.values())).statistics[BANDS[0]].percentiles
    ]
    columns = ["split", "band", "pixels", "missing", "missing, share", "min", *percents, "max", "mean", "std"]
    return Table("bands-table", "All exact statistics, by split and band", columns, rows, folded=True)


def _row(split: str, band: str, found: BandStatistics) -> list[Cell]:
    return [
        Cell(split),
        Cell(band),
        count_cell(found.count),
        count_cell(found.nodata),
        share_cell(found.nodata, found.count),
        count_cell(found.min),
        *(number_cell(value, 1) for value in found.percentiles.values()),
        count_cell(found.max),
        number_cell(found.mean, 4),
        number_cell(found.std, 4),
    ]
