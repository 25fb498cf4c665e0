"""A plot of `bep bench loader`: a panel for each store and order, a bar for each pass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

# Not pyplot, which looks for a screen.
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bigearth_pipeline.bench.loader.measure import LoaderBench
from bigearth_pipeline.bench.loader.titles import TITLES
from shards.storage.atomic import atomic_write
from shards.text.words import patches

_COLOURS: Final = {"read": "#4477AA", "bound": "#BBBBBB", "stage": "#CCBB44", "loader": "#228833", "tier": "#AA3377"}
"""Of Paul Tol's "bright" scheme, which people with colour blindness can tell apart."""
_KINDS: Final = {
    "read": "reading",
    "bound": "least work possible",
    "stage": "other parts of the loader",
    "loader": "whole loader",
    "tier": "whole loader, records kept",
}
_BAR: Final = 0.27  # inches


def plot_loader(found: Sequence[tuple[Path, LoaderBench]], path: Path) -> None:
    """Draw medians as bars and lowest to highest as whiskers, on a logarithmic axis that all panels share.

    Args:
        found: folders of stores and what was measured there.
        path: PNG file to write.
    """
    rows = [[name for name in TITLES if name in bench.rates or name in bench.missing] for _, bench in found]
    values = [value for _, bench in found for rate in bench.rates.values() for value in (rate.lowest, rate.highest)]
    heights = [len(names) * _BAR + 0.7 for names in rows]
    figure = Figure(figsize=(11, sum(heights) + 0.9), layout="constrained")
    panels = figure.subplots(len(found), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, names, (folder, bench) in zip(panels, rows, found, strict=True):
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 1.6, max(values) * 2.2)
        _draw(axes, names, folder, bench)
    panels[-1].set_xlabel("patches/s: median, and lowest to highest")
    figure.legend(
        handles=[
            *(Patch(color=_COLOURS[kind], label=label) for kind, label in _KINDS.items()),
            Patch(facecolor="white", edgecolor="black", hatch="////", label="page cache cold"),
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150)


def _draw(axes: Axes, names: list[str], folder: Path, bench: LoaderBench) -> None:
    config, where = bench.config, bench.environment
    axes.set_title(
        f"{folder.name}: {bench.store['codec']}, order {config['order']}, {patches(config['patches'])}, batches of "
        f"{config['batch_size']}, threads: {config['threads']}, {where['device']}, {where['store_file_system']}",
        fontsize=9,
        loc="left",
    )
    left = axes.get_xlim()[0]
    for place, name in enumerate(names):
        title = TITLES[name]
        if name in bench.missing:
            # The white box hides the grid behind the words.
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text(left * 1.05, place, bench.missing[name], va="center", fontsize=7, style="italic", bbox=box)
            continue
        rate, is_cold = bench.rates[name], title.cache == "cold"
        colour = _COLOURS[title.kind]
        axes.barh(
            place,
            rate.median,
            height=0.75,
            color="white" if is_cold else colour,
            edgecolor=colour,
            hatch="////" if is_cold else None,
            xerr=[[rate.median - rate.lowest], [rate.highest - rate.median]],
            error_kw={"elinewidth": 1, "capsize": 2.5, "ecolor": "black"},
        )
        axes.text(rate.highest * 1.06, place, f"{rate.median:,.0f}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), [f"{TITLES[n].text}{', cold' * (TITLES[n].cache == 'cold')}" for n in names])
    axes.tick_params(axis="y", labelsize=8, length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", which="minor", linewidth=0.4, color="#dddddd")
    axes.grid(axis="x", which="major", linewidth=0.8, color="#bbbbbb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
