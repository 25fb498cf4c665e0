"""Plan of the synthetic patches: names, places, labels, splits and flags. Pure, from number, layout and seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

import numpy as np

from bigearth_pipeline.synth.geography import LANDSCAPES, PRODUCTS, Landscape, Product
from shards.errors import InvalidValue
from shards.layout.classes import CLASSES, CLC43_TO_19
from shards.layout.record import PATCH_METRES

Layout = Literal["v1", "v2"]
LAYOUTS: Final[tuple[Layout, ...]] = get_args(Layout)

CELLS: Final = 91
"""Patches along a side of a tile."""
MAX_PATCHES: Final = len(PRODUCTS) * CELLS * CELLS

_SPLITS: Final = ("train", "train", "validation", "test")
# A group of four patches, one cycle of the splits, is given a class that it must show; a third of the rounds over all
# classes do so, the first among them. Rare classes thus come in all splits, common ones keep about their frequency.
_ROUNDS: Final = 3
_FLAGGED_EVERY: Final = 33
_CLASSLESS_EVERY: Final = 200
_NUM_CLASSES: Final = (0.12, 0.22, 0.31, 0.23, 0.12)  # Chances of one to five classes.
_ODD_TIME: Final = 0.5  # Chance of the short time in products that have one; makes about 12 % of all patches.
_USUAL_CLC: Final = {
    "Discontinuous urban fabric",
    "Non-irrigated arable land",
    "Peatbogs",
    "Salt marshes",
    "Sea and ocean",
    "Water bodies",
}
_PLACE, _CONTENT, _PIXELS = 0, 1, 2  # What a stream of random numbers is for.


@dataclass(frozen=True, slots=True)
class SynthPatch:
    """A patch to write.

    Attributes:
        number: its place in the plan; seeds its pixels.
        product: the product that it is cut from.
        column: its place in the tile, west to east, in patches.
        row: its place in the tile, north to south, in patches.
        name: patch name in the layout that is planned.
        v1_name: patch name in version 1.
        labels: 19-class names in alphabetical order; empty where the 19 classes drop all of `clc_labels`.
        clc_labels: version 1 names in the order of the nomenclature.
        split: `train`, `validation` or `test`.
        snow: flagged as snowy.
        cloud: flagged as cloudy.
    """

    number: int
    product: Product
    column: int
    row: int
    name: str
    v1_name: str
    labels: tuple[str, ...]
    clc_labels: tuple[str, ...]
    split: str
    snow: bool
    cloud: bool

    @property
    def ulx(self) -> int:
        """Easting of the upper-left corner, in metres."""
        return self.product.ulx + self.column * PATCH_METRES

    @property
    def uly(self) -> int:
        """Northing of the upper-left corner, in metres."""
        return self.product.uly - self.row * PATCH_METRES

    @property
    def date(self) -> datetime:
        """Acquisition time (UTC)."""
        return datetime.strptime(self.product.parts[2], "%Y%m%dT%H%M%S")

    def pixel_source(self, seed: int) -> np.random.Generator:
        """Return the source of the patch's pixels: its own, so that no other patch has an influence."""
        return _source(seed, _PIXELS, self.number)


def plan_patches(patches: int, layout: Layout, seed: int) -> list[SynthPatch]:
    """Return the patches of a dataset, sorted by name.

    Both layouts have the same patches, except that in `v1` a few have no label that the 19 classes keep.

    Raises:
        ValueError: the number, the layout or the seed is out of range.
    """
    check_plan(patches, layout, seed)
    free = [list(_source(seed, _PLACE, i).permutation(CELLS * CELLS)) for i in range(len(PRODUCTS))]
    planned = [_plan_patch(number, layout, free, _source(seed, _CONTENT, number)) for number in range(patches)]
    return sorted(planned, key=lambda patch: patch.name)


def check_plan(patches: int, layout: Layout, seed: int) -> None:
    """Check what a plan is made of.

    Raises:
        ValueError: the number, the layout or the seed is out of range.
    """
    if not 1 <= patches <= MAX_PATCHES:
        raise InvalidValue(
            f"patches is {patches}, expected 1 to {MAX_PATCHES} (the places in {len(PRODUCTS)} products)"
        )
    if layout not in LAYOUTS:
        raise InvalidValue(f"layout is {layout!r}, expected one of {', '.join(LAYOUTS)}")
    if seed < 0:
        raise InvalidValue(f"seed is {seed}, expected 0 or more")


def _plan_patch(number: int, layout: Layout, free: list[list[int]], rng: np.random.Generator) -> SynthPatch:
    """Plan one patch and take its place from the `free` ones of its product."""
    turn, wanted = divmod(number // len(_SPLITS), len(CLASSES))
    must = CLASSES[wanted] if turn % _ROUNDS == 0 else None
    landscapes = [one for one in LANDSCAPES if must is None or must in one.classes]
    landscape = landscapes[_draw([one.share * (one.classes[must] if must else 1) for one in landscapes], rng)]
    country = list(landscape.countries)[_draw(list(landscape.countries.values()), rng)]
    labels = _draw_labels(landscape, must, rng)
    clc_labels = _draw_clc(labels, rng)
    if layout == "v1" and number % _CLASSLESS_EVERY == _CLASSLESS_EVERY - 1:
        dropped = [name for name, kept in CLC43_TO_19.items() if kept is None]
        labels, clc_labels = (), (dropped[rng.integers(len(dropped))],)

    at_home = [i for i, product in enumerate(PRODUCTS) if product.country == country]
    chosen = at_home[rng.integers(len(at_home))]
    odd = rng.random() < _ODD_TIME
    while not free[chosen]:
        chosen = (chosen + 1) % len(PRODUCTS)
    product = PRODUCTS[chosen]
    row, column = divmod(int(free[chosen].pop()), CELLS)
    mission, level, time = product.parts[:3]
    if odd and product.odd_time:
        time = time[:8] + product.odd_time
    v1_name = f"{mission}_{level}_{time}_{column}_{row}"
    flagged, kind = number % _FLAGGED_EVERY == _FLAGGED_EVERY - 1, number // _FLAGGED_EVERY % 3
    return SynthPatch(
        number=number,
        product=product,
        column=column,
        row=row,
        name=v1_name if layout == "v1" else f"{product.name}_{column}_{row}",
        v1_name=v1_name,
        labels=labels,
        clc_labels=clc_labels,
        split=_SPLITS[number % len(_SPLITS)],
        snow=flagged and kind != 1,
        cloud=flagged and kind == 1,
    )


def _draw_labels(landscape: Landscape, must: str | None, rng: np.random.Generator) -> tuple[str, ...]:
    """Draw the classes of a patch, `must` among them."""
    num = min(1 + _draw(_NUM_CLASSES, rng), landscape.max_classes, len(landscape.classes))
    # Sampling without replacement by weights (Efraimidis and Spirakis, 2006).
    waits = dict(zip(landscape.classes, rng.exponential(size=len(landscape.classes)).tolist(), strict=True))
    ranked = sorted(waits, key=lambda name: -1.0 if name == must else waits[name] / landscape.classes[name])
    return tuple(sorted(ranked[:num]))


def _draw_clc(labels: tuple[str, ...], rng: np.random.Generator) -> tuple[str, ...]:
    """Draw version 1 labels that map to these 19-class ones, at times with one that maps to none."""
    drawn: set[str] = set()
    for label in labels:
        names = [name for name, kept in CLC43_TO_19.items() if kept == label]
        drawn.add(names[_draw([4.0 if name in _USUAL_CLC else 1.0 for name in names], rng)])
    if "Urban fabric" in labels and rng.random() < 0.1:
        drawn.add("Sport and leisure facilities")
    return tuple(name for name in CLC43_TO_19 if name in drawn)


def _draw(shares: Sequence[float], rng: np.random.Generator) -> int:
    """Draw a place in a list of shares, which need not add up to one."""
    bounds = np.cumsum(shares)
    return min(int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right")), len(bounds) - 1)


def _source(seed: int, purpose: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, number)))
