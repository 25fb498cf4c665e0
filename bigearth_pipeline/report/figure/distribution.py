"""The distribution of values as outlines, one for each series, with marks of means and spreads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.lines import Marks
from bigearth_pipeline.report.figure.look import ALL, INK, SERIES, look, new_axes
from bigearth_pipeline.report.figure.svg import svg

_WIDTH = 3.4


@dataclass(frozen=True, slots=True)
class Mark:
    """Mean and standard deviation, drawn as a dot and whiskers below the outlines.

    Attributes:
        label: whose they are.
        mean: in the unit of the values.
        std: likewise.
        series: number of its colour; None for that of text.
    """

    label: str
    mean: float
    std: float
    series: int | None


def distribution(
    name: str,
    title: str,
    edges: NDArray[np.float64],
    series: Mapping[str, NDArray[np.float64]],
    marks: list[Mark],
    heading: str,
    *,
    colours: Sequence[int] = ALL,
) -> str:
    """Return outlines as SVG.

    Args:
        name: see `svg`.
        title: see `svg`.
        edges: (bins + 1,) in the unit of the values.
        series: (bins,) each, by name, drawn on top of each other; at most six.
        marks: means and spreads, from top to bottom.
        heading: words above.
        colours: number of the colour of each series.
    """
    with look():
        figure, axes = new_axes(1.55 + 0.13 * len(marks), _WIDTH)
        high = max([float(values.max()) for values in series.values() if len(values)], default=1.0) or 1.0
        for number, values in enumerate(series.values()):
            colour = SERIES[colours[number]]
            if number == 0:
                axes.stairs(values, edges, color=colour, fill=True, alpha=0.25)
            axes.stairs(values, edges, color=colour)
        step = high * 0.11
        for number, mark in enumerate(marks):
            place = -step * (number + 0.8)
            colour = INK if mark.series is None else SERIES[mark.series]
            axes.errorbar(
                mark.mean, place, xerr=mark.std, fmt="o" if mark.series is not None else "D", markersize=3,
                color=colour, elinewidth=1, capsize=2,
            )  # fmt: skip
        axes.set_xlim(float(edges[0]), float(edges[-1]))
        axes.set_ylim(-step * (len(marks) + 0.3), high * 1.08)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(Marks())
        axes.set_title(heading)
        return svg(figure, name, title)
