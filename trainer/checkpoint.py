"""A checkpoint: the weights, and all that is needed to use them on other shards."""

import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shards import BANDS, CLASSES
from shards.durable import atomic_write
from trainer import models
from trainer.errors import BadCheckpoint
from trainer.normalisation import Normalisation


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained model.

    Attributes:
        model: name of the network, as timm calls it.
        state: its parameters and buffers by name.
        normalisation: statistics of the train split.
        epoch: the epoch, from 1, after which it was saved.
        metrics: metrics of the validation split then, as JSON values.
        config: options of the run, as JSON values.
        manifest_sha256: SHA-256 of the manifest of the shards it was trained on.
        bands: band names in channel order.
        classes: class names in output order.
    """

    model: str
    state: dict[str, Tensor]
    normalisation: Normalisation
    epoch: int
    metrics: dict[str, Any]
    config: dict[str, Any]
    manifest_sha256: str
    bands: tuple[str, ...] = BANDS
    classes: tuple[str, ...] = CLASSES

    def create_model(self) -> nn.Module:
        """Return the network with the weights."""
        model = models.create(self.model)
        model.load_state_dict(self.state)
        return model

    def write(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        with atomic_write(path) as file:
            torch.save(values | {"normalisation": asdict(self.normalisation)}, file)

    @classmethod
    def read(cls, path: Path, device: torch.device | None = None) -> "Checkpoint":
        """Read a checkpoint; its tensors go to `device`, by default the CPU. Nothing in the file is executed.

        Raises:
            BadCheckpoint: the file is no checkpoint, or its bands or classes are not those of this program.
            OSError: it cannot be read.
        """
        try:
            values = torch.load(path, map_location=device or "cpu", weights_only=True)
            checkpoint = cls(**values | {"normalisation": Normalisation(**values["normalisation"])})
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as err:
            raise BadCheckpoint(f"{path} is not a checkpoint of this program") from err
        for what, found, expected in (("bands", checkpoint.bands, BANDS), ("classes", checkpoint.classes, CLASSES)):
            if tuple(found) != expected:
                raise BadCheckpoint(f"{path} has the {what} {', '.join(found)}; expected {', '.join(expected)}")
        return checkpoint
