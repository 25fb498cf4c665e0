"""Networks that have learnt a class which lives in one quadrant and one band, and patches of it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from shards import BANDS, CLASSES
from shards.layout.bands import BAND_SLICES, GROUP_OF, RECORD_VALUES
from trainer.data.batch import Draws
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.reference import prepare
from trainer.explain.subject import Inputs, Subject
from trainer.models.create import create
from trainer.models.spec import ModelSpec

CLASS = 6
BAND = "B11"
QUADRANT = (slice(0, 60), slice(60, 120))
"""Rows and columns on the 10 m grid: the north-east."""
_LEVEL, _NOISE, _RAISED = 2000, 200, 1200
_STEPS, _BATCH = {"bepnet-s": 40, "resnet18": 20, "convnextv2_atto": 60}, 8


@dataclass(frozen=True)
class Taught:
    """A network that knows the class.

    Attributes:
        subject: the network.
        records: (8, 80000) uint16, patches that it has not seen; every other one has the class.
        labels: (8, 19) uint8.
        inputs: the images of those that have the class.
        targets: the class, for each of these.
    """

    subject: Subject
    records: NDArray[np.uint16]
    labels: NDArray[np.uint8]
    inputs: Inputs
    targets: torch.Tensor

    def logits(self, records: NDArray[np.uint16]) -> torch.Tensor:
        """Return the logits of records."""
        with torch.no_grad():
            return self.subject(*self.images(records))

    def images(self, records: NDArray[np.uint16]) -> Inputs:
        """Return the images of records."""
        return self.subject.inputs(images_of(records, self.subject))


def images_of(records: NDArray[np.uint16], subject: Subject) -> dict[str, torch.Tensor]:
    """Return the batch of records."""
    return prepare(torch.from_numpy(records), Draws(), subject.normalisation, subject.network.layout)


def patches(count: int, seed: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return records and labels; every other patch has the class.

    Patches of the class have higher values in one quadrant of one band. In all patches, another band is as high in a
    quadrant at random, so that neither height nor place alone tells the class.
    """
    rng = np.random.default_rng(seed)
    records = rng.normal(_LEVEL, _NOISE, (count, RECORD_VALUES)).clip(1, 65_535).astype(np.uint16)
    labels = np.zeros((count, len(CLASSES)), np.uint8)
    others = [band for band in BANDS if band != BAND]
    for i, record in enumerate(records):
        if i % 2:
            labels[i, CLASS] = 1
            _raise(record, BAND, 0, 1)
        _raise(record, others[rng.integers(len(others))], *rng.integers(0, 2, 2).tolist())
    return records, labels


def _raise(record: NDArray[np.uint16], band: str, down: int, across: int) -> None:
    size = GROUP_OF[band].size
    half = size // 2
    square = record[BAND_SLICES[band]].reshape(size, size)
    square[down * half : (down + 1) * half, across * half : (across + 1) * half] += np.uint16(_RAISED)


def taught(name: str) -> Taught:
    """Train a network for a few seconds."""
    torch.manual_seed(0)
    scale = [float(np.hypot(_NOISE, _RAISED * 0.2))] * len(BANDS)
    normalisation = Normalisation.standard(BANDS, [_LEVEL + 60.0] * len(BANDS), scale)
    network = create(ModelSpec(name, BANDS))
    subject = Subject(network, normalisation)
    records, labels = patches(64, 1)
    inputs, truth = subject.inputs(images_of(records, subject)), torch.from_numpy(labels).float()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    network.train()
    for step in range(_STEPS[name]):
        chosen = torch.randperm(len(records), generator=torch.Generator().manual_seed(step))[:_BATCH]
        loss = binary_cross_entropy_with_logits(subject(*(image[chosen] for image in inputs)), truth[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    records, labels = patches(8, 2)
    images = subject.inputs(images_of(records, subject))
    return Taught(subject, records, labels, tuple(image[1::2] for image in images), torch.full((4,), CLASS))
