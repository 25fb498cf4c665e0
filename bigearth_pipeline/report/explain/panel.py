"""A panel of explanations for a page: maps over true colour by class, and weights of bands."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.pictures.compose import TRUE_COLOUR, Stretch, colours
from bigearth_pipeline.pictures.png import png
from bigearth_pipeline.progress import Phases
from bigearth_pipeline.report.explain.explained import Explained, explain_patches
from bigearth_pipeline.report.explain.patches import Chosen
from bigearth_pipeline.report.figure.overlay import colour_key, limit_of, overlay
from bigearth_pipeline.report.page.blocks import Block, Cell, Drawing, Figure, Group, Picture, Sheet, Table, Text
from bigearth_pipeline.report.page.numbers import number_cell
from shards.text.words import counted
from trainer.explain.methods.integrated_gradients import is_complete
from trainer.explain.methods.registry import methods as all_methods
from trainer.explain.names import GRAD_CAM
from trainer.inference import Predictor

_REFERENCE: Final = (255, 230, 0)
"""Colour of the outline of a class in its reference map."""


def panel(
    predictor: Predictor,
    name: str,
    patches: Sequence[Chosen],
    classes: Sequence[str],
    methods: Sequence[str],
    phases: Phases | None = None,
) -> list[Block]:
    """Explain patches and return the blocks that show it, for any page.

    Args:
        predictor: the run.
        name: identifier on the page, letters, digits and `-`; those of the blocks begin with it.
        patches: at least one.
        classes: names of the classes; empty for those that are predicted or labelled.
        methods: names of methods of `trainer.explain.names.OF_PATCHES`.
        phases: receives a phase for each method; None for no reports.
    """
    chosen = {each: method for each, method in all_methods().items() if each in methods}
    return blocks(explain_patches(predictor, patches, chosen, classes=classes, phases=phases), name)


def blocks(explained: Explained, name: str) -> list[Block]:
    """Return the blocks of finished explanations; see `panel`."""
    found: list[Block] = [Text(f"{method}: {reason}.") for method, reason in explained.impossible.items()]
    found += [_key(name), _sheet(explained, name)]
    found += [_bands(explained, name, method) for method, maps in explained.maps.items() if maps.bands is not None]
    return found


def true_colour(record: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return a patch in true colour, (120, 120, 3) uint8."""
    return colours(record, TRUE_COLOUR, Stretch.fixed())


def map_picture(explained: Explained, pair: int, method: str) -> NDArray[np.uint8] | None:
    """Return a map over true colour, (120, 120, 3) uint8, the class outlined if its places are known.

    None for a method without maps.
    """
    pixels = explained.maps[method].pixels
    if pixels is None:
        return None
    number, each = explained.pairs[pair]
    patch = explained.patches[number]
    return outlined(overlay(true_colour(patch.record), pixels[pair]), patch.reference, each)


def outlined(picture: NDArray[np.uint8], reference: NDArray[np.uint8] | None, number: int) -> NDArray[np.uint8]:
    """Return a picture with the edge of the places of a class; as it is without a reference map."""
    if reference is None:
        return picture
    inside = reference == number
    padded = np.pad(inside, 1, constant_values=False)
    inner = inside & padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    found = picture.copy()
    found[inside & ~inner] = _REFERENCE
    return found


def words(explained: Explained, pair: int) -> str:
    """Return class, probability and label of a pair."""
    number, each = explained.pairs[pair]
    labels = explained.patches[number].labels
    truth = "" if labels is None else ", labelled" if labels[each] else ", not labelled"
    return f"{explained.classes[each]}: probability {explained.probabilities[number, each]:.2f}{truth}"


def _key(name: str) -> Figure:
    """Return the colours of the maps."""
    caption = (
        "Colours of the maps from −1 (left: the place lowers the score of the class) by 0 (no colour) to +1 (right: it "
        "raises the score), in units of the value below a map (±, in logits). Beyond it colours stay the same: 99.5 % "
        "of the pixels are within."
    )
    return Figure(f"{name}-key", caption, (Drawing(colour_key(f"{name}-colours")),), "key")


def _sheet(explained: Explained, name: str) -> Sheet:
    groups = []
    for number, patch in enumerate(explained.patches):
        plain = Picture(png(true_colour(patch.record)), f"{patch.key} in true colour", "true colour")
        rows: list[tuple[Sequence[Picture], str]] = [([plain], "")]
        rows += [(_pictures(explained, pair), words(explained, pair)) for pair in explained.of_patch(number)]
        groups.append(Group(patch.key, rows))
    outline = " Yellow: outline of the class in the reference map." if _has_references(explained) else ""
    caption = (
        f"{counted(len(explained.patches), 'patch', 'patches')} in true colour, and maps over them in the colours "
        "above. Maps of Grad-CAM (no purple, no unit) are coarse: they are stretched from the last grid of the "
        f"network.{outline}"
    )
    return Sheet(f"{name}-maps", caption, groups, wide=True)


def _has_references(explained: Explained) -> bool:
    return any(patch.reference is not None for patch in explained.patches)


def _pictures(explained: Explained, pair: int) -> list[Picture]:
    number, each = explained.pairs[pair]
    key = explained.patches[number].key
    found = []
    for method, maps in explained.maps.items():
        picture = map_picture(explained, pair, method)
        if picture is None or maps.pixels is None:
            continue
        unit = "" if method == GRAD_CAM else f", ±{f'{limit_of(maps.pixels[pair]):#.2g}'.rstrip('.')}"
        found.append(Picture(png(picture), f"{method} of {explained.classes[each]} on {key}", f"{method}{unit}"))
    return found


def _bands(explained: Explained, name: str, method: str) -> Table:
    maps = explained.maps[method]
    assert maps.bands is not None
    whole = [] if maps.gap is None else ["sum", "difference"]
    rows: list[list[Cell | str]] = []
    for pair, (number, each) in enumerate(explained.pairs):
        cells = [number_cell(value) for value in maps.bands[pair].tolist()]
        if maps.gap is not None and maps.difference is not None:
            total = float(maps.difference[pair])
            cells += [number_cell(float(maps.gap[pair]) + total), number_cell(total)]
        rows.append([explained.patches[number].key, explained.classes[each], *cells])
    caption = f"Weights of bands by {method}, in logits: above 0 where the band raises the score of the class."
    if maps.gap is not None:
        complete = int(is_complete(maps).sum())
        caption += (
            " The sum of all bands should be the difference of the logit from that of a patch of band means; it is, "
            f"within 5 %, for {complete} of {len(rows)}."
        )
    return Table(
        f"{name}-{method}",
        caption,
        ["patch", "class", *explained.bands, *whole],
        rows,
        folded=len(rows) > 24,
        dense=True,
    )
