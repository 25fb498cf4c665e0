"""The one look of all charts. Colours are names that the page defines for light, dark and paper, see `svg`.

Series colours are of Okabe and Ito's palette, darkened or lightened for contrast: people with any kind of colour
blindness can tell them apart.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import get_named_colors_mapping
from matplotlib.figure import Figure

INK: Final = "bep:ink"
SOFT: Final = "bep:soft"
GRID: Final = "bep:grid"
LAND: Final = "bep:land"
PAPER: Final = "bep:paper"
SERIES: Final = tuple(f"bep:series-{i}" for i in range(1, 7))
"""Names of colours, which `look` gives to matplotlib."""

_IN_PAGES: Final = dict(zip((INK, SOFT, GRID, LAND, PAPER), (f"#0{i}0{i}0{i}" for i in range(1, 6)), strict=True)) | {
    name: f"#06060{i}" for i, name in enumerate(SERIES, 1)
}
"""Colours that no chart shows: each stands for a variable of the page's style."""
IN_FILES: Final = {
    INK: "#1b1f24",
    SOFT: "#555d66",
    GRID: "#d5d9de",
    LAND: "#e6e8e4",
    PAPER: "#ffffff",
    **dict(zip(SERIES, ("#0072b2", "#d98200", "#009e73", "#b0508a", "#7a6a00", "#2f9fd8"), strict=True)),
}
"""Colours of charts in files of their own: those of the page in light mode."""

ALL: Final = range(len(SERIES))
"""Numbers of the colours of series, in order."""

VARIABLES: Final[dict[str, str]] = {colour: f"--{name.removeprefix('bep:')}" for name, colour in _IN_PAGES.items()}

FIXED: Final = ("#0072b2", "#d98200", "#009e73")
"""Colours of the first series in images, which cannot follow the page; each is legible on white and on black."""

WIDTH: Final = 4.7
"""Width of a chart in inches: at 390 px text of 8 points is 8 px high or more, on wide screens the page enlarges it."""
_LOOK: Final[dict[str, Any]] = {
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.2,
    "path.simplify_threshold": 0.5,
    "savefig.dpi": 200,
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "bep",
    "text.color": INK,
    # Names from files may hold dollar signs.
    "text.parse_math": False,
    "xtick.color": SOFT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "xtick.major.size": 2.5,
    "ytick.color": SOFT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
    "ytick.major.size": 2.5,
}


@contextmanager
def look(colours: Mapping[str, str] = _IN_PAGES) -> Iterator[None]:
    """Draw in the one look, whatever settings of matplotlib the user has.

    Args:
        colours: by name; default: those that `svg` replaces by variables of the page.
    """
    plain: Any = {name: value for name, value in matplotlib.rcParamsDefault.items() if "backend" not in name}
    _name(colours)
    with matplotlib.rc_context():
        matplotlib.rcParams.update(plain | _LOOK)
        try:
            yield
        finally:
            _name(_IN_PAGES)


def _name(colours: Mapping[str, str]) -> None:
    known = get_named_colors_mapping()
    for name, colour in colours.items():
        # Not by update, which keeps what matplotlib remembers of a name.
        known[name] = colour


def new_axes(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Return a figure of that size in inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
