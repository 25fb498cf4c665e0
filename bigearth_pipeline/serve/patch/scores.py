"""Probabilities of patches by runs, computed by their networks on demand."""

from concurrent.futures import Future
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.serve.contents.collector import spare
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.patch.batches import Batches
from bigearth_pipeline.serve.patch.cache import Cache
from trainer.inference import Predictor

MOST: Final = 1 << 14
"""Patches whose 19 probabilities are kept, of 0.5 KB with their names."""
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
        self._used: dict[int, Predictor] = {}

    def begin(self, run: int, source: str, key: str) -> Future[NDArray[np.float32]]:
        """Return the probabilities of a patch by a run, (19,), once they are computed.

        Raises:
            Absent: there is no such run or patch.
            TrainError: the run has no network yet.
            PipelineError: the source lacks a band that the network sees.
        """
        self._contents.network(run, source)
        key_of_cache = (run, self._contents.run(run).version, source, key)
        return self._cache.begin(key_of_cache, lambda: self._batches.begin(run, self._contents.record(source, key)))

    def _probabilities(self, run: int, records: list[NDArray[np.uint16]]) -> list[NDArray[np.float32]]:
        predictor = self._contents.run(run).predictor()
        found = list(predictor.probabilities(np.stack(records)))
        if self._used.get(run) is not predictor:
            # With the first batch libraries compile code, which stays.
            self._used[run] = predictor
            spare()
        return found
