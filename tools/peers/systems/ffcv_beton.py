"""FFCV: a file of uncompressed records mapped into memory, a pipeline that Numba compiles."""
# mypy: disable-error-code="import-not-found,import-untyped"

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from ffcv.fields import IntField, NDArrayField
from ffcv.fields.basics import IntDecoder
from ffcv.fields.ndarray import NDArrayDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.pipeline.allocation_query import AllocationQuery
from ffcv.pipeline.compiler import Compiler
from ffcv.pipeline.operation import Operation
from ffcv.pipeline.state import State
from ffcv.writer import DatasetWriter
from numpy.typing import NDArray

from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF, RECORD_VALUES
from tools.peers.work.job import Batch, Epochs, Job
from tools.peers.work.patches import Patches
from tools.peers.work.pixels import MEAN, SHAPES, SIZE, STD

SETTINGS = (
    "order RANDOM (global), os_cache, 3 batches ahead (default), compiled pipeline with as many threads as others have "
    "workers; image work in one operation of its own, compiled by Numba too; no compression, FFCV has "
    "none for arrays; it takes new memory in every epoch, for which epochs as short as these do not make up; installed "
    "beside Debian's libopencv-dev and libturbojpeg0-dev"
)


class Indexed:
    """The data set that FFCV's writer takes."""

    def __init__(self, patches: Patches) -> None:
        self._patches = patches

    def __len__(self) -> int:
        return len(self._patches)

    def __getitem__(self, number: int) -> tuple[int, NDArray[np.uint16]]:
        return number, self._patches.read(number)


class Images(Operation):  # type: ignore[misc]
    """Records to images: bands to 120×120, normalised, flipped."""

    def generate_code(self) -> Callable[..., Any]:
        """Return the function that Numba compiles."""
        parallel_range = Compiler.get_iterator()
        sizes = np.array([GROUP_OF[band].size for band in BANDS])
        starts = np.array([BAND_SLICES[band].start for band in BANDS])
        mean, factor = MEAN.ravel(), 1 / STD.ravel()
        size = SIZE

        def images(records: Any, images: Any) -> Any:
            turns = np.random.randint(0, 2, (records.shape[0], 2))
            for i in parallel_range(records.shape[0]):
                for band in range(len(sizes)):
                    side, times = sizes[band], size // sizes[band]
                    for y in range(side):
                        first = starts[band] + (side - 1 - y if turns[i, 0] else y) * side
                        top = images[i, band, y * times]
                        for x in range(side):
                            pixel = records[i, first + (side - 1 - x if turns[i, 1] else x)]
                            value = (np.float32(pixel) - mean[band]) * factor[band]
                            for k in range(times):
                                top[x * times + k] = value
                        for k in range(1, times):
                            images[i, band, y * times + k] = top
            return images

        images.is_parallel = True  # type: ignore[attr-defined]
        return images

    def declare_state_and_memory(self, previous_state: Any) -> tuple[Any, Any]:
        """Return what comes out, and the memory for it."""
        shape, dtype = SHAPES["float32"], np.dtype("float32")
        state: State = replace(previous_state, jit_mode=True, shape=shape, dtype=dtype)
        return state, AllocationQuery(shape, dtype)


def convert(job: Job) -> None:
    """Write the file with the library's writer, whose processes read the patches, in an order shuffled once."""
    job.store.mkdir()
    fields = {"number": IntField(), "record": NDArrayField(np.dtype("uint16"), (RECORD_VALUES,))}
    writer = DatasetWriter(str(job.store / "patches.beton"), fields, num_workers=job.workers)
    writer.from_indexed_dataset(Indexed(job.patches), shuffle_indices=True)


def open_epochs(job: Job) -> Epochs:
    """Return the epochs."""
    loader = Loader(
        str(job.store / "patches.beton"),
        batch_size=job.batch_size,
        num_workers=job.workers,
        os_cache=True,
        order=OrderOption.RANDOM,
        seed=0,
        drop_last=False,
        pipelines={
            "number": [IntDecoder()],
            "record": [NDArrayDecoder(), *([Images()] if job.layout == "float32" else [])],
        },
    )

    def batches() -> Iterator[Batch]:
        for numbers, pixels in loader:
            # FFCV fills its memory again some batches later.
            yield numbers.ravel().copy(), pixels

    return lambda epoch: batches()
