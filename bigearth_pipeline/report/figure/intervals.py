"""Values with intervals, as dots and whiskers: a row for each name and in it a dot for each series."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bigearth_pipeline.report.figure.lines import Marks, legend
from bigearth_pipeline.report.figure.look import SERIES, SOFT, look, new_axes
from bigearth_pipeline.report.figure.svg import svg

Value = tuple[float | None, float | None, float | None]
"""Value, lower and upper end of its interval; None for a value without an interval."""


def draw_intervals(
    name: str,
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[Value]],
    axis: str,
    *,
    zero: bool = False,
) -> str:
    """Return dots with whiskers as SVG, the first label on top.

    Args:
        name: see `svg`.
        title: see `svg`.
        labels: of the rows.
        series: a value for each label, by the name of the series; at most six.
        axis: words at the axis of values, with the unit.
        zero: whether a line marks 0.
    """
    with look():
        figure, axes = new_axes(0.8 + len(labels) * max(0.17, 0.085 * len(series)))
        add_intervals(axes, labels, series, axis)
        if zero:
            axes.axvline(0, color=SOFT, linewidth=0.8)
        legend(figure, list(series))
        return svg(figure, name, title)


def add_intervals(axes: Axes, labels: Sequence[str], series: Mapping[str, Sequence[Value]], axis: str) -> None:
    """Draw dots with whiskers and their axes; see `draw_intervals`."""
    step = 0.7 / max(1, len(series))
    for number, (label, values) in enumerate(series.items()):
        offset = (number - (len(series) - 1) / 2) * step
        dots = [(place + offset, value) for place, (value, _, _) in enumerate(values) if value is not None]
        colour = SERIES[number]
        axes.plot(
            [value for _, value in dots], [place for place, _ in dots], "o", markersize=3.2, color=colour,
            label=label, zorder=3,
        )  # fmt: skip
        for place, (_, low, high) in enumerate(values):
            if low is not None and high is not None:
                axes.hlines(place + offset, low, high, color=colour, linewidth=1.2, zorder=2)
    axes.set_yticks(np.arange(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(Marks())
    axes.set_xlabel(axis)
