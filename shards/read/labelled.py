"""A split of a store as an `xarray.Dataset` whose pixels are read when they are used.

The only file that imports xarray; `shards.to_xarray` imports it on use.
"""

from typing import Any, Final

import numpy as np
import xarray
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from shards.layout.classes import CLASSES, FORTY_THREE
from shards.layout.record import S2, RecordGroup
from shards.read.store import Store

_FACTS: Final = ("country", "date", "epsg", "ulx", "uly", "seasonal_snow", "cloud_or_shadow", "nodata_pixels")
"""Columns of the index that become coordinates of patches."""


class _Pixels(BackendArray):
    """Pixels of a group: (patches, bands, rows, columns), read through the store, which compares their CRC-32C."""

    def __init__(self, store: Store, rows: NDArray[np.int64], group: RecordGroup) -> None:
        self._store = store
        self._rows = rows
        self._group = group
        self.shape = (len(rows), *group.shape)
        self.dtype = np.dtype(group.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        support = indexing.IndexingSupport.OUTER
        found: NDArray[Any] = indexing.explicit_indexing_adapter(key, self.shape, support, self._read)
        return found

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        rows = np.atleast_1d(self._rows[key[0]])
        values = self._group_of(rows)
        # Each axis by itself, from the last one: an integer takes its axis away, which moves none before it.
        for axis in (3, 2, 1):
            values = values[(slice(None),) * axis + (key[axis],)]
        return values[0] if np.ndim(self._rows[key[0]]) == 0 else values

    def _group_of(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        group, layout = self._group, self._store.manifest.layout
        if group.role != S2:
            return self._store.read_into(rows, np.empty((len(rows), *group.shape), group.dtype), group=group.name)
        records = self._store.read_into(rows, np.empty((len(rows), layout.record_values), np.uint16))
        return records[:, group.slice].reshape(len(rows), *group.shape)


def labelled(store: Store, split: str, patches_per_chunk: int | None) -> xarray.Dataset:
    """Return a split that the store has; see `shards.to_xarray`."""
    rows = store.index.rows(split)
    variables: dict[str, xarray.Variable] = {
        "labels": xarray.Variable(("patch", "class"), store.index.labels()[rows], {"long_name": "1: the class occurs"})
    }
    coordinates: dict[str, Any] = _coordinates(store, rows)
    if store.index.has(FORTY_THREE):
        labels = store.index.labels(FORTY_THREE)[rows]
        about_labels = {"long_name": "1: the class of BigEarthNet v1 occurs"}
        variables[FORTY_THREE.column] = xarray.Variable(("patch", "class43"), labels, about_labels)
        coordinates["class43"] = list(FORTY_THREE.names)
    for group in store.manifest.layout.groups:
        pixels = indexing.LazilyIndexedArray(_Pixels(store, rows, group))
        attributes = {"metres": group.metres, "role": group.role}
        variable = xarray.Variable(group.dimensions, pixels, attributes)
        variables[group.name] = variable if patches_per_chunk is None else variable.chunk({"patch": patches_per_chunk})
        coordinates |= _axes(group)
    about = {"split": split, "source_version": store.manifest.source_version}
    return xarray.Dataset(variables, coordinates, about)


def _coordinates(store: Store, rows: NDArray[np.int64]) -> dict[str, Any]:
    table = store.index.table.select(["key", *_FACTS]).take(rows)
    found: dict[str, Any] = {
        "patch": np.array(table["key"].to_pylist()),
        "class": list(CLASSES),
        "row": ("patch", rows),
    }
    for name in _FACTS:
        column = table[name]
        # A column with nulls has no type of NumPy's but object.
        is_plain = not column.null_count and name not in ("country", "seasonal_snow", "cloud_or_shadow")
        values = column.to_numpy() if is_plain else np.array(column.to_pylist(), object)
        found[name] = ("patch", values)
    return found


def _axes(group: RecordGroup) -> dict[str, Any]:
    _, bands, y, x = group.dimensions
    centres = (np.arange(group.size) + 0.5) * group.metres
    east = {"units": "m", "long_name": "centre of the pixel, east of the patch's ulx"}
    north = {"units": "m", "long_name": "centre of the pixel, north of the patch's uly"}
    return {bands: list(group.bands), x: (x, centres, east), y: (y, -centres, north)}
