"""Charts in a file of their own, as PNG or SVG: a row of panels with lines, and values of rows below them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Literal

from matplotlib.figure import Figure

from bigearth_pipeline.report.figure.intervals import Value, add_intervals
from bigearth_pipeline.report.figure.lines import Axis, Line, add_lines, set_axis
from bigearth_pipeline.report.figure.look import IN_FILES, PAPER, look

FORMATS: Final = ("png", "svg")
Format = Literal["png", "svg"]
_WIDTH: Final = 9.5
_PANEL: Final = 2.6
_NO_METADATA: Final = {"svg": dict.fromkeys(("Date", "Creator")), "png": {"Software": None}}
"""So that the same charts give the same bytes on any day."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A chart of lines.

    Attributes:
        heading: words above.
        lines: at most `MOST_LINES`.
        across: horizontal axis.
        up: vertical axis.
    """

    heading: str
    lines: Sequence[Line]
    across: Axis
    up: Axis


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Values by row and series.

    Attributes:
        heading: words above.
        labels: of the rows, from the top.
        series: a value for each row, by the name of the series; at most six.
        axis: words at the axis of values, with the unit.
    """

    heading: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[Value]]
    axis: str


def draw_panels(panels: Sequence[Panel], rows: Rows | None, names: Sequence[str], file_format: Format) -> bytes:
    """Return a picture as the content of a file; equal arguments give equal bytes.

    Args:
        panels: side by side.
        rows: below them; None for none.
        names: of the series in the legend.
        file_format: `png` or `svg`.
    """
    below = 0.0 if rows is None else 0.8 + len(rows.labels) * max(0.2, 0.1 * len(rows.series))
    with look(IN_FILES):
        figure = Figure(figsize=(_WIDTH, _PANEL + below), layout="constrained", facecolor=PAPER)
        heights = [_PANEL] if rows is None else [_PANEL, below]
        grid = figure.add_gridspec(len(heights), len(panels), height_ratios=heights)
        for number, panel in enumerate(panels):
            axes = figure.add_subplot(grid[0, number])
            axes.set_title(panel.heading)
            add_lines(axes, panel.lines, marks=max((len(line.x) for line in panel.lines), default=0) < 40)
            set_axis(axes, "x", panel.across)
            set_axis(axes, "y", panel.up)
        if rows is not None:
            axes = figure.add_subplot(grid[1, :])
            axes.set_title(rows.heading)
            add_intervals(axes, rows.labels, rows.series, rows.axis)
        if len(names) > 1:
            found = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in reversed(figure.axes)]
            handles = {label: handle for pairs in found for handle, label in pairs}
            shown = [name for name in names if name in handles]
            figure.legend([handles[name] for name in shown], shown, loc="outside upper left", ncols=3)
        out = BytesIO()
        figure.savefig(out, format=file_format, metadata=_NO_METADATA[file_format], dpi=150, facecolor=IN_FILES[PAPER])
        return out.getvalue()
