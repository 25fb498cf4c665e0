"""A store that is open for the server: facts by row or key, filters and places."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

import shards
from bigearth_pipeline.pictures.compose import Stretch
from bigearth_pipeline.serve.map.places import Places
from bigearth_pipeline.serve.patch.cache import Cache
from bigearth_pipeline.show.rows import stretch_of
from shards import Store
from shards.runtime.arrow import numpy_values, text_array

_NAMES: Final = 4096
"""Names whose rows are kept: a search through 549,488 names takes milliseconds, and a view needs one seven times."""


@dataclass(frozen=True, eq=False)
class OpenStore:
    """A store.

    Attributes:
        number: in the addresses of the server.
        folder: as it was named.
        store: open for reading.
    """

    number: int
    folder: Path
    store: Store
    _rows: Cache[int | None] = field(default_factory=lambda: Cache(_NAMES), repr=False)

    @classmethod
    def of(cls, number: int, folder: Path) -> "OpenStore":
        """Open a store.

        Raises:
            ShardError: no store is there, or it is damaged.
        """
        return cls(number, folder, shards.open(folder))

    @property
    def name(self) -> str:
        """Address of its patches, such as `s0`."""
        return f"s{self.number}"

    def row_of(self, key: str) -> int | None:
        """Return the row of a patch; None if it has no such patch."""
        return self._rows.get(key, lambda: self._find(key))

    def _find(self, key: str) -> int | None:
        row = pc.index(self.store.index.table["key"], key).as_py()
        return None if row < 0 else int(row)

    def rows_of(self, keys: list[str]) -> NDArray[np.int64]:
        """Return the rows of patches, (n,) int64, -1 for those that it has not."""
        found: NDArray[np.int64] = numpy_values(
            pc.index_in(text_array(keys), self.store.index.table["key"]), null=-1
        ).astype(np.int64)
        return found

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """Labels of all patches, (patches, 19) uint8."""
        return self.store.index.labels()

    @cached_property
    def masks(self) -> NDArray[np.uint32]:
        """Label masks of all patches, (patches,) uint32."""
        return self.store.index.column("label_mask").astype(np.uint32, copy=False)

    @cached_property
    def split(self) -> tuple[NDArray[np.int64], list[str]]:
        """Number of the split of each patch, and the names of the splits."""
        codes, names = self.store.index.codes("split")
        return np.asarray(codes, np.int64), list(names)

    @cached_property
    def country(self) -> tuple[NDArray[np.int64], list[str]]:
        """Number of the country of each patch, -1 where unknown, and the names of the countries."""
        codes, names = self.store.index.codes("country")
        return np.asarray(codes, np.int64), list(names)

    @cached_property
    def month(self) -> NDArray[np.int64]:
        """Month of each patch, (patches,) 1 to 12."""
        dates = self.store.index.table["date"]
        return np.asarray(pc.month(dates).to_numpy(), np.int64)

    @cached_property
    def places(self) -> Places:
        """Places of the patches on the web map."""
        index = self.store.index
        return Places.of(*(index.column(name) for name in ("epsg", "ulx", "uly")))

    @cached_property
    def stretch(self) -> Stretch:
        """Brightness of pictures, the same for all of its patches."""
        return stretch_of(self.store)

    def about(self) -> dict[str, Any]:
        """Return facts for the page, as JSON values."""
        codes, splits = self.split
        months = sorted(set(np.unique(self.month).tolist()))
        countries = self.country[1]
        return {
            "number": self.number,
            "source": self.name,
            "folder": str(self.folder),
            "patches": len(self.store),
            "splits": {name: int((codes == i).sum()) for i, name in enumerate(splits)},
            "countries": sorted(countries),
            "months": months,
            "bounds": self.places.bounds,
            "layer_zoom": self.places.patch_zoom,
        }
