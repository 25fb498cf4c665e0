"""DALI's own WebDataset reader on uncompressed members, all of it on the CPU."""
# mypy: disable-error-code="import-untyped,no-untyped-call"

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import webdataset
from nvidia.dali import fn
from nvidia.dali.pipeline import pipeline_def
from nvidia.dali.types import DALIDataType, DALIInterpType
from torch.utils.dlpack import from_dlpack
from wds2idx import IndexCreator

from shards.layout.bands import GROUPS
from tools.peers.work.job import Batch, Epochs, Job
from tools.peers.work.pixels import MEAN, SIZE, STD

SHARDS = 8
BUFFER = 1000
DEPTH = 2
SETTINGS = (
    f"{SHARDS} tars with index files, mapped into memory; a shuffle buffer of {BUFFER} patches; exec_dynamic, "
    f"{DEPTH} batches at a time, only of the epoch that is timed; as many threads as others have workers"
)


def convert(job: Job) -> None:
    """Write tars with records as raw bytes, and their index files."""
    job.store.mkdir()
    per_shard = math.ceil(len(job.patches) / SHARDS)
    with webdataset.ShardWriter(str(job.store / "%06d.tar"), maxcount=per_shard, verbose=0) as writer:
        for number, record in job.patches.read_all(job.workers):
            id_bytes = np.int64(number).tobytes()
            writer.write({"__key__": job.patches.keys[number], "s2": record.tobytes(), "id": id_bytes})
    for tar in job.store.glob("*.tar"):
        with IndexCreator(str(tar), str(tar.with_suffix(".idx")), verbose=False) as creator:
            creator.create_index()


def open_epochs(job: Job) -> Epochs:
    """Return the epochs."""
    tars = sorted(job.store.glob("*.tar"))
    pipeline: Any = _pipeline(
        [str(tar) for tar in tars],
        [str(tar.with_suffix(".idx")) for tar in tars],
        job.layout == "float32",
        batch_size=job.batch_size,
        num_threads=job.workers,
        device_id=None,
        prefetch_queue_depth=DEPTH,
        exec_dynamic=True,
        seed=0,
    )
    pipeline.build()
    steps = math.ceil(len(job.patches) / job.batch_size)

    def batches() -> Iterator[Batch]:
        for _ in range(min(DEPTH, steps)):
            pipeline.schedule_run()
        for step in range(steps):
            numbers, pixels = pipeline.share_outputs()
            # The reader fills up the last batch of an epoch.
            count = min(job.batch_size, len(job.patches) - step * job.batch_size)
            yield np.asarray(numbers.as_tensor()).ravel()[:count].copy(), from_dlpack(pixels.as_tensor())[:count]
            pipeline.release_outputs()
            if step + DEPTH < steps:
                pipeline.schedule_run()

    return lambda epoch: batches()


@pipeline_def
def _pipeline(tars: list[str], indices: list[str], as_images: bool) -> tuple[Any, Any]:
    read: Any = fn.readers.webdataset(
        paths=tars,
        index_paths=indices,
        ext=["s2", "id"],
        dtypes=[DALIDataType.UINT16, DALIDataType.INT64],
        missing_component_behavior="error",
        random_shuffle=True,
        initial_fill=BUFFER,
        pad_last_batch=True,
    )
    record, number = read
    if not as_images:
        return number, fn.copy(record)
    left_right, up_down = fn.random.coin_flip(), fn.random.coin_flip()
    parts: list[Any] = []
    for group in GROUPS:
        part: Any = fn.reshape(record[group.start : group.start + group.values], shape=list(group.shape), layout="CHW")
        # Before the resize, where it is less work.
        part = fn.flip(part, horizontal=left_right, vertical=up_down)
        if group.size < SIZE:
            part = fn.resize(part, size=[SIZE, SIZE], interp_type=DALIInterpType.INTERP_NN, antialias=False)
        parts.append(part)
    image = fn.crop_mirror_normalize(
        fn.cat(*parts, axis=0),
        mean=MEAN.ravel().tolist(),
        std=STD.ravel().tolist(),
        dtype=DALIDataType.FLOAT,
        output_layout="CHW",
    )
    return number, image
