"""Bars: a group for each name and in it a bar for each series, lying for many or long names, else standing."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bigearth_pipeline.report.figure.lines import Marks
from bigearth_pipeline.report.figure.look import ALL, GRID, SERIES, look, new_axes
from bigearth_pipeline.report.figure.svg import svg

_GROUP = 0.8
"""Share of the place of a group that its bars take."""

_HEADROOM = 1.06
"""Length of the axis of values, in lengths of the largest bar."""


def lying_bars(
    name: str,
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    axis: str,
    *,
    colours: Sequence[int] = ALL,
) -> str:
    """Return horizontal bars as SVG, the first label on top.

    Args:
        name: see `svg`.
        title: see `svg`.
        labels: of the groups.
        series: a value for each label, by the name of the series; at most six.
        axis: words at the axis of values, with the unit.
        colours: number of the colour of each series.
    """
    with look():
        height = 0.75 + len(labels) * max(0.17, 0.075 * len(series))
        figure, axes = new_axes(height)
        places = np.arange(len(labels), dtype=np.float64)
        step = _GROUP / max(1, len(series))
        for number, (label, values) in enumerate(series.items()):
            offset = (number - (len(series) - 1) / 2) * step
            axes.barh(places + offset, values, height=step, color=SERIES[colours[number]], label=label)
        axes.set_yticks(places, labels)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_xlim(0, _end(max((float(value) for values in series.values() for value in values), default=0)))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=_are_whole(series)))
        axes.xaxis.set_major_formatter(Marks())
        axes.set_xlabel(axis)
        _legend(figure, series)
        return svg(figure, name, title)


def standing_bars(
    name: str,
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    axis: str,
    below: str = "",
    *,
    colours: Sequence[int] = ALL,
) -> str:
    """Return vertical bars as SVG, stacked.

    Args:
        name: see `svg`.
        title: see `svg`.
        labels: of the places, from left to right.
        series: a value for each label, by the name of the series, the first at the bottom; at most six.
        axis: words at the axis of values, with the unit.
        colours: number of the colour of each series.
        below: words below the labels.
    """
    with look():
        figure, axes = new_axes(2.3)
        places = np.arange(len(labels), dtype=np.float64)
        bottom = np.zeros(len(labels))
        for number, (label, values) in enumerate(series.items()):
            axes.bar(places, values, bottom=bottom, width=_GROUP, color=SERIES[colours[number]], label=label)
            bottom += np.asarray(values, np.float64)
        axes.set_xticks(places, labels)
        axes.set_xlim(-0.6, max(len(labels), 4) - 0.4)
        axes.set_ylim(0, _end(float(bottom.max(initial=0))))
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="x", visible=False)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=_are_whole(series)))
        axes.yaxis.set_major_formatter(Marks())
        axes.set_ylabel(axis)
        if below:
            axes.set_xlabel(below)
        axes.axhline(0, color=GRID, linewidth=0.6)
        _legend(figure, series)
        return svg(figure, name, title)


def _end(largest: float) -> float:
    """Return the end of an axis from 0, which the largest bar does not touch."""
    return _HEADROOM * largest or 1.0


def _are_whole(series: Mapping[str, Sequence[float]]) -> bool:
    return all(float(value).is_integer() for values in series.values() for value in values)


def _legend(figure: Figure, series: Mapping[str, Sequence[float]]) -> None:
    if len(series) > 1:
        figure.legend(loc="outside upper left", ncols=len(series), handlelength=1)
