"""A store of many rows, of which little is read."""

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shards import Store
from shards.layout.classes import NINETEEN, Nomenclature

ROWS: Final = 590_326
"""Length of the repeated index."""


class LightStore(Store):
    """A store with a repeated index, of which only a share of every batch is read and decoded.

    It wraps an open store and opens nothing itself: only what a loader of layout `record` calls is there.
    """

    def __init__(self, store: Store, rows: NDArray[np.int64], share: float, length: int = ROWS) -> None:
        """Say what to repeat.

        Args:
            store: the real one.
            rows: of its index, to be repeated.
            share: of the records of a batch that are read, above 0 and at most 1.
            length: rows of the repeated index.
        """
        self._store, self._rows, self._share, self._length = store, rows, share, length
        self.index = self  # type: ignore[assignment]
        self.num_threads = store.num_threads

    def __len__(self) -> int:
        """Return the number of rows of the repeated index."""
        return self._length

    def labels(self, nomenclature: Nomenclature = NINETEEN) -> NDArray[np.uint8]:
        """Return the labels of the repeated index."""
        labels = self._store.index.labels(nomenclature)[self._rows]
        return np.resize(labels, (self._length, labels.shape[1]))

    def read_into(self, indices: ArrayLike, out: NDArray[Any], **options: Any) -> NDArray[Any]:
        """Read the first records of a batch; the others keep what the buffer holds."""
        rows = np.asarray(indices)
        count = max(1, round(self._share * len(rows)))
        self._store.read_into(self._rows[rows[:count] % len(self._rows)], out[:count], **options)
        return out

    def will_read(self, indices: ArrayLike, **options: Any) -> None:
        """Announce nothing: the records are in the page cache."""
