"""Points of two numbers with names: one value against another, such as score against time."""

from collections.abc import Sequence
from dataclasses import dataclass

from bigearth_pipeline.report.figure.lines import Axis, legend, set_axis
from bigearth_pipeline.report.figure.look import SERIES, look, new_axes
from bigearth_pipeline.report.figure.svg import svg

_MARKS = ("o", "s", "^")


@dataclass(frozen=True, slots=True)
class Point:
    """A point.

    Attributes:
        label: its name, for the legend.
        x: horizontal value.
        y: vertical value.
        colour: number of its colour and mark, below `MOST_LINES`.
    """

    label: str
    x: float
    y: float
    colour: int


def draw_points(name: str, title: str, points: Sequence[Point], across: Axis, up: Axis) -> str:
    """Return points as SVG; see `draw_lines`."""
    with look():
        figure, axes = new_axes(2.4)
        for point in points:
            colour, mark = SERIES[point.colour % len(SERIES)], _MARKS[point.colour // len(SERIES)]
            axes.plot([point.x], [point.y], mark, markersize=5, color=colour, label=point.label, zorder=3)
        axes.margins(0.12)
        set_axis(axes, "x", across)
        set_axis(axes, "y", up)
        legend(figure, [point.label for point in points])
        return svg(figure, name, title)
