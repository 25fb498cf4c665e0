"""Zarr: one array of records, read chunk by chunk with zarr-python, or with zarrs as its codec pipeline."""

from collections.abc import Iterator

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from zarr.codecs import BloscCodec

from shards.layout.bands import RECORD_VALUES
from tools.peers.work.job import Epochs, Job
from tools.peers.work.loading import SETTINGS as LOADING
from tools.peers.work.loading import loader_options

CHUNK = 64
MIXED = 4
SETTINGS = (
    f"Zarr v3, chunks of {CHUNK} patches, Blosc LZ4 with bitshuffle; chunks in random order, {MIXED} of them mixed "
    f"at a time by each worker; one thread a worker; {LOADING}"
)


class Chunks(IterableDataset[tuple[int, NDArray[np.uint16]]]):
    """Numbers and records of patches, whole chunks at a time."""

    def __init__(self, job: Job) -> None:
        self._store, self._with_zarrs = str(job.store), job.option == "zarrs"
        self._group: zarr.Group | None = None

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.uint16]]]:
        worker = get_worker_info()
        assert worker is not None
        if self._group is None:
            self._group = self._open()
        records, numbers = self._group["records"], self._group["numbers"]
        assert isinstance(records, zarr.Array)
        assert isinstance(numbers, zarr.Array)
        all_numbers = np.asarray(numbers[:])
        # The base seed is new in every epoch, and the same in all workers.
        chunks = np.random.default_rng(worker.seed - worker.id).permutation(-(-len(all_numbers) // CHUNK))
        mine = chunks[worker.id :: worker.num_workers]
        for start in range(0, len(mine), MIXED):
            places = [slice(i * CHUNK, (i + 1) * CHUNK) for i in mine[start : start + MIXED].tolist()]
            pixels = [np.asarray(records[place]) for place in places]
            samples = [(i, k) for i, part in enumerate(pixels) for k in range(len(part))]
            for j in torch.randperm(len(samples)).tolist():
                i, k = samples[j]
                yield int(all_numbers[places[i].start + k]), pixels[i][k]

    def _open(self) -> zarr.Group:
        # Here, behind the fork: the pipeline has threads.
        zarr.config.set({"threading.max_workers": 1, "async.concurrency": 1})
        if self._with_zarrs:
            import zarrs  # type: ignore[import-not-found,unused-ignore]  # noqa: F401 (registers the pipeline)

            zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True})
        return zarr.open_group(self._store, mode="r")


def convert(job: Job) -> None:
    """Write the array, a chunk at a time."""
    count = len(job.patches)
    group = zarr.create_group(str(job.store))
    records = group.create_array(
        "records",
        shape=(count, RECORD_VALUES),
        chunks=(CHUNK, RECORD_VALUES),
        dtype="uint16",
        compressors=BloscCodec(cname="lz4", shuffle="bitshuffle"),
    )
    numbers = group.create_array("numbers", shape=(count,), dtype="int64")
    buffer = np.empty((CHUNK, RECORD_VALUES), np.uint16)
    order = []
    for i, (number, record) in enumerate(job.patches.read_all(job.workers)):
        order.append(number)
        buffer[i % CHUNK] = record
        if (i + 1) % CHUNK == 0 or i + 1 == count:
            first = i - i % CHUNK
            records[first : i + 1] = buffer[: i + 1 - first]
    numbers[:] = np.array(order)


def open_epochs(job: Job) -> Epochs:
    """Return the epochs."""
    loader = DataLoader(Chunks(job), **loader_options(job))
    return lambda epoch: loader
