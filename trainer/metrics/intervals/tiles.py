"""Sentinel-2 tiles as the units that a bootstrap draws: patches of a tile are neighbours, and not independent.

A tile is 109.8 km wide and lies on the 100 km squares of the Military Grid Reference System (ESA, Sentinel-2 Products
Specification Document, S2-PDGS-TAS-DI-PSD, "Tiling grid"). Names of v2 patches hold it (`…_T33UUP_45_65`); where names
do not, squares of 100 km of the patches' UTM zone stand for tiles.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SQUARE_METRES: Final = 100_000
FEWEST_TILES: Final = 5
"""Of fewer tiles an interval says nothing: there are not enough different samples of them."""
FEW_TILES: Final = 30
"""Of fewer clusters percentile intervals are too narrow (Cameron, Gelbach and Miller, "Bootstrap-based improvements for
inference with clustered errors", 2008, which looks at 5 to 30)."""

_TILE: Final = re.compile(r"_T(\d{2}[A-Z]{3})_\d+_\d+$", re.ASCII)

_ACQUISITION: Final = re.compile(r"(S2[A-D]_MSIL2A_\d{8}T\d+)_\d+_\d+", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """The tile of each patch.

    Attributes:
        number: of the tile of each patch, (N,) int64, below `count`.
        count: tiles.
        words: what a tile is here, for captions, in the plural.
    """

    number: NDArray[np.int64]
    count: int
    words: str

    @property
    def are_enough(self) -> bool:
        """True if intervals can be had of them."""
        return self.count >= FEWEST_TILES

    def of(self, chosen: NDArray[np.bool_]) -> int:
        """Return in how many tiles the chosen patches, (N,) bool, lie."""
        return len(np.unique(self.number[chosen]))


def tiles_of_names(keys: Sequence[str]) -> Tiles | None:
    """Return the tiles that names of patches hold; None if a name holds none."""
    found = [_TILE.search(key) for key in keys]
    names = [match[1] for match in found if match is not None]
    if len(names) < len(keys) or not names:
        return None
    return _numbered(np.array(names), "Sentinel-2 tiles")


def acquisitions_of_names(keys: Sequence[str]) -> Tiles | None:
    """Return the acquisitions that names of v1 patches hold, which lack the tile; None if a name holds none.

    An acquisition is of neighbouring tiles at one time, so that the same ground at two times counts as two units.
    """
    found = [_ACQUISITION.fullmatch(key) for key in keys]
    names = [match[1] for match in found if match is not None]
    if len(names) < len(keys) or not names:
        return None
    return _numbered(np.array(names), "Sentinel-2 acquisitions")


def tiles_of_places(epsg: NDArray[np.int32], ulx: NDArray[np.float64], uly: NDArray[np.float64]) -> Tiles:
    """Return squares of 100 km as tiles.

    Args:
        epsg: codes of the projected systems of N patches, (N,).
        ulx: eastings of the upper-left corners, m, (N,).
        uly: northings of the upper-left corners, m, (N,).
    """
    squares = np.stack([epsg, np.floor(ulx / SQUARE_METRES), np.floor(uly / SQUARE_METRES)], axis=1)
    return _numbered(squares, "squares of 100 km")


def _numbered(values: NDArray[np.generic], words: str) -> Tiles:
    found, number = np.unique(values, axis=0, return_inverse=True)
    return Tiles(number.reshape(-1).astype(np.int64), len(found), words)
