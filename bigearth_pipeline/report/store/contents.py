"""The store as the sections see it: splits, labels and counts by group, from the index and the manifest."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shards import CLASSES, SPLITS, Manifest, Store

UNKNOWN: Final = "unknown"
"""Stands for null in tables and charts."""
_LAND: Final = "Land principally occupied by agriculture, with significant areas of natural vegetation"
_SHORT: Final = {
    "Annual crops associated with permanent crops": "Annual with permanent crops",
    "Complex cultivation patterns": "Complex cultivation",
    "Continuous urban fabric": "Continuous urban",
    "Discontinuous urban fabric": "Discontinuous urban",
    "Fruit trees and berry plantations": "Fruit trees, berries",
    "Industrial or commercial units": "Industry, commerce",
    _LAND: "Agriculture, natural veg.",
    "Moors, heathland and sclerophyllous vegetation": "Moors, heathland",
    "Non-irrigated arable land": "Non-irrigated arable",
    "Permanently irrigated land": "Irrigated land",
    "Road and rail networks and associated land": "Roads and railways",
    "Sport and leisure facilities": "Sport and leisure",
    "Natural grassland and sparsely vegetated areas": "Natural grassland",
    "Transitional woodland, shrub": "Transitional woodland",
    "Transitional woodland/shrub": "Transitional woodland",
}


def short_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of classes for charts."""
    return tuple(_SHORT.get(name, name) for name in names)


SHORT_CLASSES: Final = short_names(CLASSES)
"""Names of the classes for charts, in the order of `CLASSES`."""


@dataclass(frozen=True)
class Contents:
    """An open store, and its columns as arrays.

    Attributes:
        store: the store.
    """

    store: Store

    @property
    def folder(self) -> Path:
        """Folder of the store."""
        return self.store.folder

    @property
    def manifest(self) -> Manifest:
        """Manifest of the store."""
        return self.store.manifest

    def __len__(self) -> int:
        return len(self.store)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that have patches: train, validation, test."""
        return tuple(name for name in SPLITS if name in self.manifest.splits)

    @cached_property
    def colours(self) -> tuple[int, ...]:
        """Number of the colour of each of `splits`: a split has the same one in all stores."""
        return tuple(map(SPLITS.index, self.splits))

    @cached_property
    def split(self) -> NDArray[np.int64]:
        """Number of the split of each patch in `splits`, (patches,) int64."""
        codes, names = self.store.index.codes("split")
        return np.array([self.splits.index(name) for name in names], np.int64)[codes]

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """Labels of all patches, multi-hot, (patches, 19) uint8."""
        return self.store.index.labels()

    @cached_property
    def dates(self) -> NDArray[np.datetime64]:
        """Acquisition times in UTC, (patches,) datetime64[s]."""
        return self.store.index.column("date").astype("datetime64[s]")

    def by_split(self, groups: NDArray[Any], count: int) -> NDArray[np.int64]:
        """Return the patches of each group and split, (count, splits) int64.

        Args:
            groups: number of the group of each patch, (patches,) integers below `count`.
            count: number of groups.
        """
        flat = groups.astype(np.int64) * len(self.splits) + self.split
        return np.bincount(flat, minlength=count * len(self.splits)).reshape(count, len(self.splits))

    def is_true(self, flag: str) -> NDArray[np.bool_]:
        """Return for which patches a flag of the index is set, (patches,) bool; null is not."""
        column = self.store.index.table[flag].combine_chunks().fill_null(False)
        return np.asarray(column.to_numpy(zero_copy_only=False), np.bool_)

    def has_missing(self) -> NDArray[np.bool_]:
        """Return which patches have missing pixels, (patches,) bool; an unknown number counts as none."""
        return np.asarray(self.store.index.table["nodata_pixels"].fill_null(0).to_numpy() > 0, np.bool_)

    def num_null(self, column: str) -> int:
        """Return for how many patches a column of the index holds null."""
        return int(self.store.index.table[column].null_count)


def shown_classes(mask: NDArray[np.uint8]) -> str:
    """Return the short names of the classes of a multi-hot row, (19,) uint8."""
    return "; ".join(SHORT_CLASSES[i] for i in np.flatnonzero(mask)) or "no class"
