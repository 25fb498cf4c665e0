"""LitData: chunks compressed with zstd, in frames of 256 patches (its default) or patch by patch, on a local disk."""
# mypy: disable-error-code="import-not-found,import-untyped"

from functools import partial
from typing import Any

from litdata import StreamingDataLoader, StreamingDataset, optimize

from tools.peers.work.job import Epochs, Job
from tools.peers.work.loading import SETTINGS as LOADING
from tools.peers.work.loading import Collate, worker_options
from tools.peers.work.patches import read_patch

SETTINGS = (
    "chunks of 64 MB written by optimize, read in place; with frames batch_decode is auto (its default), with single "
    f"patches it is 0; {LOADING}"
)


def _sample(number: int, prefixes: list[str]) -> tuple[int, Any]:
    return number, read_patch(prefixes[number])


def convert(job: Job) -> None:
    """Write the chunks with the library's own function."""
    prefixes = [job.patches.prefix(i) for i in range(len(job.patches))]
    optimize(
        fn=partial(_sample, prefixes=prefixes),
        inputs=list(range(len(prefixes))),
        output_dir=str(job.store),
        chunk_bytes="64MB",
        compression="zstd",
        compression_level=job.option,
        num_workers=job.workers,
        verbose=False,
    )


def open_epochs(job: Job) -> Epochs:
    """Return the epochs."""
    dataset = StreamingDataset(
        str(job.store), shuffle=True, drop_last=False, batch_decode="auto" if job.option == "batch" else 0
    )
    loader = StreamingDataLoader(
        dataset, batch_size=job.batch_size, collate_fn=Collate(job.layout), **worker_options(job)
    )
    return lambda epoch: loader
