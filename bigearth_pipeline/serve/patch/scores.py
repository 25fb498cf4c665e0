"""Probabilities of patches by runs, computed by their networks on demand."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.patch.batches import Batches
from bigearth_pipeline.serve.patch.cache import Cache

MOST: Final = 1 << 16
"""Patches whose 19 probabilities are kept."""
BATCH: Final = 8
"""Patches that a network sees at a time, where as many wait: half of the time a patch of one at a time."""


class Scores:
    """Probabilities of the patches of a server."""

    def __init__(self, contents: Contents) -> None:
        """Take what the server shows."""
        self._contents = contents
        self._cache: Cache[NDArray[np.float32]] = Cache(MOST)
        contents.uploads.listeners.append(self._cache.drop)
        self._batches = Batches(self._probabilities, BATCH)

    def of(self, run: int, source: str, key: str) -> NDArray[np.float32]:
        """Return the probabilities of a patch by a run, (19,).

        Raises:
            Absent: there is no such run or patch.
            TrainError: the run has no network yet.
            CorruptShard: the record of the patch is damaged.
        """
        self._contents.network(run, source)
        key_of_cache = (run, self._contents.run(run).version, source, key)
        return self._cache.get(key_of_cache, lambda: self._batches.get(run, self._contents.record(source, key)))

    def _probabilities(self, run: int, records: list[NDArray[np.uint16]]) -> list[NDArray[np.float32]]:
        return list(self._contents.run(run).predictor().probabilities(np.stack(records)))
