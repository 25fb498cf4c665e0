"""Squares of a matrix in colours: sequential, or diverging about a middle, for names against names."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.colors import LogNorm, Normalize, TwoSlopeNorm
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.lines import Marks
from bigearth_pipeline.report.figure.look import GRID, WIDTH, look, new_axes
from bigearth_pipeline.report.figure.svg import svg

MOST_DOUBLINGS: Final = 6
"""Colours of ratios end at two to this power, and at one divided by it."""


def heat_map(
    name: str,
    title: str,
    labels: Sequence[str],
    values: NDArray[np.float64],
    axis: str,
    *,
    ratio: bool = False,
    linear: bool = False,
) -> str:
    """Return a square matrix as SVG: counts in cividis on a logarithmic scale, or ratios in PuOr about 1.

    Both palettes keep their order for people with any kind of colour blindness.

    Args:
        name: see `svg`.
        title: see `svg`.
        labels: of rows and columns; a column has the number of its row.
        values: (n, n) float64 from above 0; NaN and 0 for squares that stay empty.
        axis: words at the scale of colours, with the unit.
        ratio: whether values are ratios, of which 2 and 1/2 are as far from 1.
        linear: whether the scale of values that are no ratios begins at 0 and is linear.
    """
    shown = np.ma.masked_invalid(np.where(values > 0, values, np.nan))
    norm: Normalize
    if ratio:
        shown = np.ma.log2(shown)
        most = max(1.0, float(np.abs(shown).max())) if shown.count() else 1.0
        most = min(most, float(MOST_DOUBLINGS))
        norm = TwoSlopeNorm(0, -most, most)
    else:
        high = float(shown.max()) if shown.count() else 1.0
        norm = Normalize(0, high) if linear else LogNorm(1, max(high, 2.0))
    with look():
        figure, axes = new_axes(WIDTH * 0.98)
        mesh = axes.pcolormesh(shown, cmap="PuOr_r" if ratio else "cividis", norm=norm, edgecolor="none", linewidth=0)
        places = np.arange(len(labels)) + 0.5
        axes.set_yticks(places, [f"{label}  {number}" for number, label in enumerate(labels, 1)], fontsize=8)
        axes.set_xticks(places, [str(number) for number in range(1, len(labels) + 1)], fontsize=7.5)
        axes.set_ylim(len(labels), 0)
        axes.set_aspect("equal")
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_color(GRID)
        bar = figure.colorbar(mesh, ax=axes, location="bottom", shrink=0.9, aspect=35, pad=0.02)
        if ratio:
            whole, step = range(-int(most), int(most) + 1), 2 if most > 3 else 1
            bar.locator = FixedLocator([float(power) for power in whole if power % step == 0])
            bar.formatter = FuncFormatter(_ratio)
        else:
            bar.formatter = Marks()
        bar.minorlocator = NullLocator()
        bar.update_ticks()
        bar.outline.set_visible(False)
        if bar.solids is not None:
            bar.solids.set_rasterized(True)  # Else there is a path for each of 256 colours.
        bar.set_label(axis)
        return svg(figure, name, title, cropped=True)


def _ratio(value: float, _: int) -> str:
    return f"{2**value:g}" if value >= 0 else f"1/{2**-value:g}"
