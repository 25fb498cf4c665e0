"""MosaicML Streaming: MDS shards compressed with zstd, on a local disk."""
# mypy: disable-error-code="import-not-found,import-untyped"

from collections.abc import Iterator, Sequence
from typing import Any

from streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from streaming.base.util import clean_stale_shared_memory

from shards.layout.bands import RECORD_VALUES
from tools.peers.work.job import Batch, Epochs, Job
from tools.peers.work.loading import SETTINGS as LOADING
from tools.peers.work.loading import Collate, worker_options

SETTINGS = (
    "shards of 2^26 bytes, zstd level 3, num_canonical_nodes 1, shuffle_algo py1e (default); shards are unpacked "
    f"beside the compressed ones when they are first used, so timed epochs read unpacked bytes; {LOADING}"
)


class NumbersAndRecords:
    """Makes samples pairs, for a collate function of pairs."""

    def __init__(self, collate: Collate) -> None:
        self._collate = collate

    def __call__(self, samples: Sequence[dict[str, Any]]) -> Batch:
        """Return a batch."""
        return self._collate([(sample["number"], sample["record"]) for sample in samples])


def convert(job: Job) -> None:
    """Write the shards with the library's writer."""
    columns = {"number": "int", "record": f"ndarray:uint16:{RECORD_VALUES}"}
    with MDSWriter(out=str(job.store), columns=columns, compression="zstd:3") as writer:
        for number, record in job.patches.read_all(job.workers):
            writer.write({"number": number, "record": record})


def open_epochs(job: Job) -> Epochs:
    """Return the epochs."""
    clean_stale_shared_memory()
    dataset = StreamingDataset(
        local=str(job.store), shuffle=True, batch_size=job.batch_size, num_canonical_nodes=1, shuffle_seed=1
    )
    loader = StreamingDataLoader(
        dataset,
        batch_size=job.batch_size,
        collate_fn=NumbersAndRecords(Collate(job.layout)),
        **worker_options(job),
    )

    def batches() -> Iterator[Batch]:
        yield from loader

    return lambda epoch: batches()
