"""A map: squares in the colours of series over land, borders and sea."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.europe import Outlines
from bigearth_pipeline.report.figure.look import ALL, FIXED, GRID, INK, LAND, SERIES, SOFT, WIDTH, look
from bigearth_pipeline.report.figure.svg import svg

_MOST_SQUARES: Final = 3000
"""Of more squares the map shows an image, whose size does not grow with their number."""


@dataclass(frozen=True, slots=True)
class View:
    """A part of the map in metres: left, bottom, right, top."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, points: NDArray[np.float64], least: float, margin: float = 0.06) -> "View":
        """Return the view of all points, (n, 2) metres, at least `least` metres wide and high.

        It is 0.7 to 1.4 times as high as wide.
        """
        low, high = points.min(axis=0), points.max(axis=0)
        middle, size = (low + high) / 2, np.maximum((high - low) * (1 + 2 * margin), least)
        width = max(size[0], size[1] / 1.4)
        height = max(size[1], width * 0.7)
        (x, y) = middle
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    @property
    def width(self) -> float:
        """Metres from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Metres from bottom to top."""
        return self.top - self.bottom


def draw_map(
    name: str,
    title: str,
    view: View,
    squares: Mapping[str, NDArray[np.float64]],
    outlines: Outlines | None,
    *,
    colours: Sequence[int] = ALL,
    frame: View | None = None,
    label: str = "",
) -> str:
    """Return a map as SVG.

    Args:
        name: see `svg`.
        title: see `svg`.
        view: what part of the map is shown.
        squares: their corners, (n, 4, 2) metres, by the name of the series, of which there are at most three.
        outlines: land and borders; None for a part of the map that is too small for them.
        colours: number of the colour of each series, below three.
        frame: a part of it that is framed; None for no frame.
        label: words below the lower left corner, such as the name of the place; empty for none.
    """
    with look():
        height = WIDTH * view.height / view.width
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0, 0, 1, 1))
        if outlines is not None:
            _outlines(axes, view, outlines)
        is_image = sum(map(len, squares.values())) > _MOST_SQUARES
        palette = [(FIXED if is_image else SERIES)[number] for number in colours[: len(squares)]]
        for colour, corners in zip(palette, squares.values(), strict=True):
            axes.add_collection(
                PolyCollection(
                    list(corners), facecolor=colour, edgecolor="none", linewidth=0, antialiased=not is_image,
                    rasterized=is_image, zorder=3,
                )
            )  # fmt: skip
        axes.set_xlim(view.left, view.right)
        axes.set_ylim(view.bottom, view.top)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines[:].set(visible=True, color=GRID)
        if frame is not None:
            axes.add_patch(
                Rectangle(
                    (frame.left, frame.bottom), frame.width, frame.height, fill=False, edgecolor=INK, linewidth=1.2,
                    zorder=4,
                )
            )  # fmt: skip
        if label:
            # Outside, for a square can lie anywhere in it.
            axes.text(0, -0.012, label, transform=axes.transAxes, ha="left", va="top", fontsize=8)
        _scale(axes, view)
        _legend(axes, list(squares), palette)
        return svg(figure, name, title, cropped=True)


def _outlines(axes: Axes, view: View, outlines: Outlines) -> None:
    seen = [line for line in outlines.land if _is_near(line, view)]
    axes.add_collection(PolyCollection(seen, facecolor=LAND, edgecolor=SOFT, linewidth=0.4, zorder=1))
    borders = [line for line in outlines.borders if _is_near(line, view)]
    axes.add_collection(LineCollection(borders, color=SOFT, linewidth=0.4, linestyle=(0, (3, 1.5)), zorder=2))


def _is_near(line: NDArray[np.float64], view: View) -> bool:
    low, high = np.nanmin(line, axis=0), np.nanmax(line, axis=0)
    return bool(low[0] < view.right and high[0] > view.left and low[1] < view.top and high[1] > view.bottom)


def _scale(axes: Axes, view: View) -> None:
    """Draw a bar of a round length above the upper right corner."""
    lengths = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    length = next(found for found in lengths if found > view.width / 8)
    right, place = view.right, view.top + view.height * 0.02
    axes.plot([right - length, right], [place, place], color=SOFT, linewidth=1.5, solid_capstyle="butt", clip_on=False)
    words = f"{length / 1000:,.0f} km" if length >= 1000 else f"{length:,} m"
    axes.text(right - length - view.width * 0.01, place, words, ha="right", va="center", fontsize=7)


def _legend(axes: Axes, names: list[str], colours: list[str]) -> None:
    handles = [Patch(color=colour, label=name) for name, colour in zip(names, colours, strict=True)]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(handles), handlelength=1, borderaxespad=0.2
    )
