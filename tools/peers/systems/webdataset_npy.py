"""`webdataset`: tars with an npy member a patch, as it is or compressed with zstd."""

import io
from typing import Any

import numpy as np
import webdataset
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from tools.peers.work.job import Epochs, Job
from tools.peers.work.loading import SETTINGS as LOADING
from tools.peers.work.loading import Collate, worker_options

SHARDS = 8
BUFFER = 1000
SETTINGS = (
    f"{SHARDS} tars, shuffled, and a shuffle buffer of {BUFFER} patches a worker; batches are made in the workers; "
    f"zstd level 3 by numcodecs; {LOADING}"
)


def convert(job: Job) -> None:
    """Write the tars with the library's writer."""
    job.store.mkdir()
    codec = Zstd(level=3)
    per_shard = -(-len(job.patches) // SHARDS)
    with webdataset.ShardWriter(str(job.store / "%06d.tar"), maxcount=per_shard, verbose=0) as writer:
        for number, record in job.patches.read_all(job.workers):
            file = io.BytesIO()
            np.save(file, record)
            member = file.getvalue() if job.option == "npy" else codec.encode(file.getvalue())
            writer.write({"__key__": job.patches.keys[number], job.option: member, "number": str(number).encode()})


def open_epochs(job: Job) -> Epochs:
    """Return the epochs."""
    codec = Zstd()

    def decode(sample: dict[str, Any]) -> tuple[int, NDArray[np.uint16]]:
        member = sample[job.option] if job.option == "npy" else codec.decode(sample[job.option])
        return int(sample["number"]), np.load(io.BytesIO(member))

    tars = sorted(str(path) for path in job.store.glob("*.tar"))
    dataset = (
        webdataset.WebDataset(tars, shardshuffle=len(tars), seed=0, empty_check=False)
        .shuffle(BUFFER)
        .map(decode)
        .batched(job.batch_size, collation_fn=Collate(job.layout), partial=True)
    )
    loader = webdataset.WebLoader(dataset, batch_size=None, **worker_options(job))
    return lambda epoch: loader
