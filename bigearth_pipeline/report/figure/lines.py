"""Lines over a common axis, one for each series: curves of training, precision over recall, reliability."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import Formatter, MaxNLocator
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.look import SERIES, SOFT, WIDTH, look, new_axes
from bigearth_pipeline.report.figure.svg import svg

STYLES: Final = ("-", "--", ":")
MOST_LINES: Final = len(SERIES) * len(STYLES)
"""Lines that can be told apart: six colours, each solid, dashed and dotted."""
SMALL: Final = 3.4
"""Width in inches of a chart of which two or three are in a row."""
_HANDLE: Final = 25
"""Points that the mark of a series in the legend, and the space beside it, take."""
_LONG_NAME: Final = 26
_START: Final = 10
"""Letters of the beginning of a long name, where the ends of names are alike."""
_MOST_DIGITS: Final = 12
"""Digits of a mark: floats of values that lie closer together are noise."""
_SMALL: Final = 1e-3
_LARGE: Final = 1e9
"""Numbers below and from which on marks have a power of ten."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A series.

    Attributes:
        label: its name; empty for a line that the legend leaves out.
        x: (n,) numbers.
        y: (n,) numbers; NaN for a gap.
        colour: number of its colour and style, below `MOST_LINES`.
    """

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    colour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis.

    Attributes:
        words: with the unit.
        limits: lowest and highest value; None for those of the lines.
        whole: whether only whole numbers are marked.
        log: whether it is logarithmic.
    """

    words: str
    limits: tuple[float, float] | None = None
    whole: bool = False
    log: bool = False


def draw_lines(
    name: str,
    title: str,
    lines: Sequence[Line],
    across: Axis,
    up: Axis,
    *,
    heading: str = "",
    diagonal: bool = False,
    level: float | None = None,
    marks: bool = False,
    width: float = WIDTH,
    height: float = 2.3,
) -> str:
    """Return lines as SVG.

    Args:
        name: see `svg`.
        title: see `svg`.
        lines: drawn on top of each other, at most `MOST_LINES`.
        across: horizontal axis.
        up: vertical axis.
        heading: words above.
        diagonal: whether a thin line leads from lowest to highest values, where both are equal.
        level: value of a thin horizontal line; None for none.
        marks: whether each point has a mark; a line of one point always has one.
        width: inches.
        height: inches.
    """
    with look():
        figure, axes = new_axes(height, width)
        add_lines(axes, lines, marks=marks)
        if diagonal:
            axes.axline((0, 0), slope=1, color=SOFT, linewidth=0.6, linestyle=(0, (3, 2)))
        if level is not None:
            axes.axhline(level, color=SOFT, linewidth=0.6, linestyle=(0, (3, 2)))
        set_axis(axes, "x", across)
        set_axis(axes, "y", up)
        if heading:
            axes.set_title(heading)
        legend(figure, [line.label for line in lines])
        return svg(figure, name, title)


def add_lines(axes: Axes, lines: Sequence[Line], *, marks: bool) -> None:
    """Draw lines, with a mark at each point if `marks` says so or there is only one."""
    for line in lines:
        style: dict[str, Any] = {"color": SERIES[line.colour % len(SERIES)]}
        style["linestyle"] = STYLES[line.colour // len(SERIES)]
        if marks or np.isfinite(line.y).sum() < 2:
            style |= {"marker": "o", "markersize": 3}
        axes.plot(line.x, line.y, label=line.label, zorder=3, **style)


def set_axis(axes: Axes, which: str, axis: Axis) -> None:
    """Give an axis, `x` or `y`, its words, limits and marks."""
    if axis.log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(axis.words)
    if axis.limits is not None:
        (axes.set_xlim if which == "x" else axes.set_ylim)(*axis.limits)
    place = axes.xaxis if which == "x" else axes.yaxis
    if not axis.log:
        place.set_major_locator(MaxNLocator(5, integer=axis.whole, min_n_ticks=1 if axis.whole else 2))
    place.set_major_formatter(Marks())


def legend(figure: Figure, labels: Sequence[str]) -> None:
    """Draw the legend of the series above, if there are several."""
    shown = [label for label in labels if label]
    if len(shown) > 1:
        size = FontProperties(size=rcParams["legend.fontsize"])
        widest = max(float(TextPath((0, 0), label, prop=size, usetex=False).get_extents().width) for label in shown)
        columns = max(1, int(72 * figure.get_figwidth() / (widest + _HANDLE)))
        figure.legend(
            loc="outside upper left", ncols=min(len(shown), columns), handlelength=1.6, columnspacing=1.2,
        )  # fmt: skip


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return names of series for a chart, long ones shortened so that they stay different."""
    ends = [shortened(name) for name in names]
    both = [name if name in ends else f"{name[:_START]}{shortened(name, _LONG_NAME - _START)}" for name in names]
    for found in (ends, both):
        if len(set(found)) == len(found):
            return found
    return [f"{number} {shortened(name, _LONG_NAME - 3)}" for number, name in enumerate(names, 1)]


def shortened(text: str, most: int = _LONG_NAME) -> str:
    """Return a name for a chart: of a long one its end, which tells runs apart."""
    return text if len(text) <= most else f"…{text[1 - most :]}"


class Marks(Formatter):
    """Numbers with as many digits as tell where each mark of an axis stands, all marks of a linear one with as many."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return one mark."""
        return self.format_ticks([x])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Return all marks of an axis."""
        is_log = self.axis is not None and getattr(self.axis, "get_scale", str)() == "log"
        largest = max(map(abs, values), default=0.0)
        tolerance = min((high - low for low, high in pairwise(sorted(set(values)))), default=largest) / 1000
        # One power of ten for all, else 9e−4 and 0.001 are marks of one axis.
        power = math.floor(math.log10(largest)) if 0 < largest < _SMALL or _LARGE <= largest < math.inf else 0
        marks: list[str] = []
        for digits in range(_MOST_DIGITS + 1):
            marks = [_own(value, digits) if is_log else _common(value, digits, power) for value in values]
            if np.allclose([float(mark.replace(",", "")) for mark in marks], values, rtol=0, atol=tolerance):
                break
        return [mark.replace("-", "−") for mark in marks]


def _common(value: float, decimals: int, power: int) -> str:
    if power:
        return f"{value / 10.0**power:.{decimals}f}e{power}" if value else "0"
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"  # Not as −0.0.


def _own(value: float, digits: int) -> str:
    digits = max(digits, 3)
    if value and abs(value) < _SMALL:
        factor, power = f"{value:.{digits - 1}e}".split("e")
        return f"{float(factor):.{digits}g}e{int(power)}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.{digits}g}"
