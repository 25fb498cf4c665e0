"""A finished run that predicts: records of pixels in, probabilities of the classes out."""

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shards import RECORD_VALUES
from shards.errors import InvalidValue
from trainer.data.batch import Batch, Draws, HostBatch
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.backend import Images, can_prepare
from trainer.data.prepare.reference import prepare
from trainer.definition.augmentation import RECIPES
from trainer.definition.check import check
from trainer.definition.choices import DeviceName, Interpolation, Tta
from trainer.definition.option import Option
from trainer.inference.average import with_tta
from trainer.inference.trained import TrainedRun
from trainer.models.create import Classifier
from trainer.runtime.precision import autocast, seek_convolutions
from trainer.runtime.ranks import open_ranks

THRESHOLD: Final = 0.5
"""Probability from which on a class counts as predicted, where a run has tuned none."""
BATCHES: Final = {"cpu": 16, "cuda": 128}
"""Patches that a network sees at a time where nothing else is said, by kind of device.

On a CPU each thread has a batch; larger ones are no faster and take more memory."""


class Predictor:
    """The best network of a run with all that it needs to see records as it did in training.

    Any thread may call it. The same records in the same batches give the same bits on the same machine, whatever runs
    beside them, inside of `one_thread_a_batch`.

    Attributes:
        run: folder of the run, with the checkpoint.
        network: in evaluation mode, on the device.
        bands: names of the bands that it sees, in channel order.
        nomenclature: its classes.
        classes: names of its outputs, in order.
        measured: (C,) bool, False for classes that it was not trained for, whose probability is 0.
        thresholds: by class name, the probability from which on it counts as predicted, tuned on validation.
        normalisation: of the bands.
        interpolation: how bands of 20 and 60 m are brought to 10 m, where the network takes one image.
        device: where it computes.
        batch_size: records that it takes at a time; more are cut.
    """

    def __init__(
        self, run: TrainedRun, device: torch.device, *, tta: Tta = "none", batch_size: int | None = None
    ) -> None:
        """Load the weights onto a device.

        Raises:
            BadCheckpoint: the weights are not those of the network.
            TrainError: the device cannot compute in the precision of the run.
        """
        best = run.checkpoint
        self.run = run
        self.network: Classifier = run.create_model().to(device).eval()
        self.bands = self.network.spec.bands
        self.nomenclature = self.network.spec.nomenclature
        self.classes = self.nomenclature.names
        self.measured = np.array([name not in self.network.spec.ignored for name in self.classes])
        tuned = best.thresholds or {}
        self.thresholds = {name: tuned.get(name, THRESHOLD) for name in self.classes}
        self.normalisation: Normalisation = best.normalisation
        self.device = device
        self.tta: Tta = tta
        self.batch_size = batch_size or BATCHES[device.type]
        self._called = with_tta(self.network, tta)
        self._precision = run.precision_on(device)
        self.interpolation: Interpolation = run.trained.data.interpolation
        self._fused = None
        if can_prepare("numba", device, self.interpolation):
            self._fused = Images(
                normalisation=self.normalisation,
                batch_size=self.batch_size,
                device=device,
                num_threads=1,
                layout=self.network.layout,
                interpolation=self.interpolation,
                augmentation=RECIPES["none"],
            ).by("numba")

    @property
    def about(self) -> dict[str, Any]:
        """Facts that the predictions depend on, as JSON values: weights, network, bands, averages."""
        best = self.run.checkpoint
        return {
            "run": str(self.run.folder),
            "checkpoint_sha256": hashlib.sha256(self.run.path.read_bytes()).hexdigest(),
            "model": best.model.name,
            "bands": list(self.bands),
            "epoch": best.epoch,
            "trained_on": best.source_version,
            "tta": self.tta,
            "device": self.device.type,
            "precision": self._precision,
            **({"ignored_labels": list(best.model.ignored)} if best.model.ignored else {}),
        }

    def prepare(self, records: NDArray[np.uint16]) -> Batch:
        """Return the images of records, as the network takes them; they are on the device.

        Args:
            records: (n, 80000) uint16, n at most `batch_size`.

        Raises:
            InvalidValue: they are of another shape or type.
        """
        if records.ndim != 2 or records.shape[1] != RECORD_VALUES or records.dtype != np.uint16:
            raise InvalidValue(
                f"records are {records.dtype} of shape {records.shape}, expected uint16 of shape (n, {RECORD_VALUES})"
            )
        records = np.ascontiguousarray(records)
        if self._fused is None:
            there = torch.from_numpy(records).to(self.device)
            return prepare(there, Draws(), self.normalisation, self.network.layout, self.interpolation)
        n = len(records)
        labels, rows, mask = np.zeros((n, len(self.classes)), np.float32), np.arange(n), np.ones(n, np.bool_)
        host = HostBatch(buffer=records, labels=labels, rows=rows, mask=mask, draws=Draws())
        (prepared,) = self._fused.run([host])
        return prepared.batch

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits of images, (n, C) float32 on the device."""
        seek_convolutions(self.device, for_these=False)
        with torch.inference_mode(), autocast(self._precision, self.device):
            return self._called(batch)

    def record_logits(self, records: NDArray[np.uint16]) -> Tensor:
        """Return the logits of (n, 80000) records, (n, C) float32 on the CPU."""
        parts = [
            self.logits(self.prepare(records[start : start + self.batch_size])).cpu()
            for start in range(0, len(records), self.batch_size)
        ]
        return torch.cat(parts) if parts else torch.zeros((0, len(self.classes)))

    def probabilities(self, records: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Return the probabilities of the classes, (n, C).

        Args:
            records: (n, 80000) uint16 as `shards.layout.bands` defines them; bands that the network does not see are
                ignored.

        Raises:
            InvalidValue: they are of another shape or type.
        """
        return self.record_logits(records).sigmoid().numpy()


def load(
    run: Path | str, *, device: DeviceName = "auto", tta: Tta = "none", batch_size: int | None = None
) -> Predictor:
    """Load the best network of a run.

    Args:
        run: folder of the run or of an export, or `hf://owner/name[@revision]`.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        tta: `d4` averages probabilities over the eight flips and turns of each patch.
        batch_size: records that it takes at a time; None for 16 on a CPU and 128 on a GPU.

    Raises:
        InvalidValue: `device`, `tta` or `batch_size` is none of those.
        TrainError: there is no run, no epoch of it has ended, its checkpoint is damaged, or there is no such device.
        OSError: a file cannot be read.
    """
    for name, value, hint in (
        ("device", device, DeviceName),
        ("tta", tta, Tta),
        ("batch_size", batch_size, int | None),
    ):
        check(name, value, hint, Option(help="", at_least=1))
    with open_ranks(device) as ranks:
        place = ranks.device
    return Predictor(TrainedRun.read(Path(run)), place, tta=tta, batch_size=batch_size)
