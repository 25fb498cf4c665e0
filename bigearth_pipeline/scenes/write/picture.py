"""The quick-look picture: a scene in true colour beside its most probable classes, or a sheet of patches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.pictures.class_colours import colours_of
from bigearth_pipeline.scenes.write.blend import NODATA
from shards.layout.bands import B10, BAND_SLICES
from shards.storage.atomic import atomic_write
from shards.text.words import percentage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHEET: Final = 24
"""Patches of a sheet at most."""
_NO_RESULT: Final = "#bdbdbd"
_DPI: Final = 110
_LONGEST: Final = 1000
"""Pixels of a picture of a scene that are drawn, along the longer side."""
_SHARES: Final = (1, 99)
"""Percentiles of the pixels that become black and white."""
_CHARACTERS: Final = 32
"""Of a line below or above a patch at most."""
_PANEL: Final = 5.2
"""Inches that a panel of the picture of a scene is wide."""
_GAP: Final = 0.15
"""Inches around and between its panels."""
_TITLES: Final = 0.75
"""Inches above them."""
_LEGEND: Final = 3.0
"""Inches that its legend is wide."""
_LEGEND_LINE: Final = 0.16
"""Inches that a line of the legend takes."""
_LINE: Final = 0.1
"""Inches that such a line takes."""
_STRETCH: Final = f"black to white: percentiles {_SHARES[0]} to {_SHARES[1]}, square root"


def write_map_picture(
    path: Path,
    title: str,
    true_colour: NDArray[np.uint16] | None,
    best: NDArray[np.uint8],
    classes: Sequence[str],
) -> None:
    """Write the picture of a scene.

    Args:
        path: of the PNG.
        title: of the picture.
        true_colour: (3, rows, columns), a pixel for each cell; None where red, green or blue are not read.
        best: (rows, columns), number of the most probable class of each cell; 255 without a result.
        classes: names by number.

    Raises:
        OSError: it cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    step = -(-max(best.shape) // _LONGEST)
    cells = np.bincount(best.ravel(), minlength=NODATA + 1)
    shares = cells[: len(classes)] / max(1, cells[:NODATA].sum())
    best = best[::step, ::step]
    known = best != NODATA
    colours = colours_of(classes)
    palette = np.array([_rgb(colour) for colour in colours])
    image = np.where(known[..., None], palette[np.where(known, best, 0)], _rgb(_NO_RESULT))
    panels = 1 if true_colour is None else 2
    ratio = best.shape[0] / best.shape[1]
    order = [i for i in np.argsort(-shares, kind="stable").tolist() if shares[i] > 0]
    handles = [
        Patch(facecolor=colours[i], label=f"{_share(shares[i]):\N{FIGURE SPACE}>5}  {_wrapped(classes[i], 38)}")
        for i in order
    ]
    if cells[NODATA]:
        handles.append(Patch(facecolor=_NO_RESULT, label="no result"))
    lines = sum(str(handle.get_label()).count("\n") + 1 for handle in handles)
    width, high = (_PANEL + _GAP) * panels + _LEGEND, _PANEL * ratio
    height = _TITLES + max(high, _LEGEND_LINE * lines) + _GAP
    figure = Figure((width, height), dpi=_DPI)
    bottom = 1 - (_TITLES + high) / height
    axes = [
        figure.add_axes(((_GAP + i * (_PANEL + _GAP)) / width, bottom, _PANEL / width, high / height))
        for i in range(panels)
    ]
    if true_colour is not None:
        axes[0].imshow(stretched(true_colour[:, ::step, ::step]), interpolation="antialiased", aspect="auto")
        axes[0].set_title(f"true colour (B04, B03, B02)\n{_STRETCH}", fontsize=9)
    axes[-1].imshow(image, interpolation="nearest", aspect="auto")
    axes[-1].set_title("most probable class", fontsize=9)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    beside = (1 + _GAP / _PANEL, 1)
    axes[-1].legend(
        handles=handles, loc="upper left", bbox_to_anchor=beside, borderaxespad=0, fontsize=7, frameon=False
    )
    figure.suptitle(title, fontsize=10, y=1 - 0.5 * _GAP / height, va="top")
    _save(figure, path)


def write_sheet(
    path: Path,
    title: str,
    records: NDArray[np.uint16],
    names: Sequence[str],
    probabilities: NDArray[np.float32],
    thresholds: Mapping[str, float],
) -> None:
    """Write a sheet of patches in true colour with their classes.

    Args:
        path: of the PNG.
        title: of the picture.
        records: (n, 80000), n at most `SHEET`.
        names: of the patches.
        probabilities: (n, C), NaN without a result.
        thresholds: by class, in the order of the probabilities.

    Raises:
        OSError: it cannot be written.
    """
    from matplotlib.figure import Figure

    columns = min(6, len(records))
    rows = -(-len(records) // columns)
    above = [_title(name) for name in names]
    below = ["\n".join(_lines(values, thresholds)) for values in probabilities]
    lines = max(sum(text.count("\n") + 1 for text in texts) for texts in zip(above, below, strict=True))
    height = 2.5 + _LINE * lines
    figure = Figure((2.3 * columns + 0.2, height * rows + 0.4), dpi=_DPI, layout="constrained")
    figure.suptitle(f"{title}\neach patch in true colour (B04, B03, B02), {_STRETCH}", fontsize=9)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, record, over, under in zip(axes, records, above, below, strict=False):
        rgb = np.stack([record[BAND_SLICES[band]].reshape(B10.size, B10.size) for band in ("B04", "B03", "B02")])
        axis.imshow(stretched(rgb), interpolation="nearest")
        axis.set_title(over, fontsize=5.5)
        axis.text(0, -0.03, under, transform=axis.transAxes, va="top", fontsize=5.5)
    _save(figure, path)


def stretched(pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return (3, rows, columns) digital numbers as a picture, (rows, columns, 3): the 1st to 99th percentile, √.

    Missing pixels are grey.
    """
    valid = pixels.min(0) > 0
    if not valid.any():
        return np.full((*pixels.shape[1:], 3), 189, np.uint8)
    low, high = np.percentile(pixels[:, valid], _SHARES)
    scaled = np.sqrt(np.clip((pixels - low) / max(high - low, 1), 0, 1))
    picture: NDArray[np.uint8] = np.where(valid, scaled * 255, 189).astype(np.uint8).transpose(1, 2, 0)
    return picture


def _lines(values: NDArray[np.float32], thresholds: Mapping[str, float]) -> list[str]:
    if np.isnan(values[0]):
        return ["no result"]
    found = sorted(zip(values.tolist(), thresholds.items(), strict=True), key=lambda each: -each[0])
    chosen = [(value, name) for value, (name, threshold) in found if value >= threshold][:5]
    return [f"{value:.2f} {_wrapped(name, _CHARACTERS)}" for value, name in chosen] or ["no class above its threshold"]


def _title(name: str) -> str:
    """Return the name of a patch in lines that are as wide as its picture, which end behind an underscore."""
    if len(name) <= _CHARACTERS:
        return name
    end = name.rfind("_", 0, _CHARACTERS) + 1 or _CHARACTERS
    return f"{name[:end]}\n{_title(name[end:])}"


def _share(share: float) -> str:
    return percentage(share) if share >= 0.005 else "<1 %"


def _wrapped(text: str, characters: int) -> str:
    import textwrap

    return "\n          ".join(textwrap.wrap(text, characters))


def _rgb(colour: str) -> NDArray[np.uint8]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)


def _save(figure: "Figure", path: Path) -> None:
    metadata: dict[str, Any] = {"Software": None}
    with atomic_write(path) as file:
        figure.savefig(file, format="png", metadata=metadata)
