"""Ours: a store of `bep build-shards`, read with `trainer.Loader`."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import torch

import shards
from shards.layout.bands import BANDS
from tools.peers.client import ROOT
from tools.peers.work.job import Batch, Epochs, Job
from tools.peers.work.pixels import MEAN, STD
from trainer import RECIPES, Loader, LoaderConfig, Normalisation

SETTINGS = (
    "built by the whole command, start of Python and of its workers included; global shuffle; as many threads as "
    "others have workers; layout `record`, and `stacked` with recipe `flips`, with its default "
    "backend for the CPU; channels-last memory"
)


def convert(job: Job) -> None:
    """Build the store with the command that users have."""
    arguments = [job.patches.tree, "--metadata", job.patches.metadata, "--codec", job.option, "--out", str(job.store)]
    command = [sys.executable, "-m", "bigearth_pipeline", "build-shards", *arguments, "--workers", str(job.workers)]
    subprocess.run(command, cwd=ROOT, check=True)


def open_epochs(job: Job) -> Epochs:
    """Return the epochs."""
    store = shards.open(job.store, num_threads=job.workers)
    number_of = {key: i for i, key in enumerate(job.patches.keys)}
    numbers = np.array([number_of[key] for key in store.index.table["key"].to_pylist()])
    native = job.layout == "native"
    config = LoaderConfig(
        batch_size=job.batch_size,
        device=torch.device("cpu"),
        layout="record" if native else "stacked",
        augmentation=RECIPES["none" if native else "flips"],
    )
    normalisation = Normalisation.standard(BANDS, MEAN.ravel().tolist(), STD.ravel().tolist())
    loader = Loader(store, np.arange(len(store)), normalisation, config)

    def batches(epoch: int) -> Iterator[Batch]:
        loader.set_epoch(epoch)
        for batch in loader:
            yield numbers[batch["row"].numpy()], batch["record" if native else "image"]

    return batches
