"""A finished run on disk, or an exported one: its best checkpoint, and the options that it was trained with."""

from dataclasses import dataclass
from pathlib import Path

import torch

from shards.errors import InvalidValue
from trainer.config import stored
from trainer.config.options import TrainConfig
from trainer.data.prepare.backend import can_prepare
from trainer.definition.choices import Backend, Precision
from trainer.errors import BadCheckpoint, TrainError
from trainer.inference import hub
from trainer.inference.model_folder import WEIGHTS, is_model_folder, read_model_folder
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """The best checkpoint of a run, or what `bep export` has made of it.

    Attributes:
        folder: of the run, or of the export; of one on the hub, where it is cached.
        path: file of the checkpoint, or of the weights.
        checkpoint: its content, on the CPU.
        written: options as the folder has them now; they say where the shards are. None of an export, which does not
            know that and is left as it is.
        trained: options that the weights were trained with.
    """

    folder: Path
    path: Path
    checkpoint: Checkpoint
    written: TrainConfig | None
    trained: TrainConfig

    @classmethod
    def read(cls, folder: Path) -> "TrainedRun":
        """Read a run, an export of one, or an export on the Hugging Face hub.

        Args:
            folder: of the run or export, or `hf://owner/name[@revision]`.

        Raises:
            InvalidValue: an address of the hub has another form.
            TrainError: there is no run, or no epoch of it has ended; the hub or its cache does not have the files.
            BadCheckpoint: the checkpoint is damaged, or does not say what it was trained with.
            OSError: a file cannot be read.
        """
        folder, is_remote = hub.locate(folder), hub.is_address(folder)
        if is_remote or is_model_folder(folder):
            exported = read_model_folder(folder)
            options = TrainConfig.from_json(exported.config)
            return cls(folder=folder, path=folder / WEIGHTS, checkpoint=exported, written=None, trained=options)
        written = stored.read(folder)
        path = folder / run_folder.BEST
        if not path.exists():
            raise TrainError(f"{folder} has no {run_folder.BEST}: no epoch of it has ended")
        best = Checkpoint.read(path)
        try:
            # Not those of the folder, which may have been edited since.
            trained = TrainConfig.from_json(best.config)
        except InvalidValue as err:
            raise BadCheckpoint(f"{path} does not hold the configuration of a run: {err}") from err
        return cls(folder=folder, path=path, checkpoint=best, written=written, trained=trained)

    def precision_on(self, device: torch.device) -> Precision:
        """Return the precision of the run, or fp32 in place of fp16 on a CPU, which has no float16."""
        precision = self.trained.machine.precision
        return "fp32" if precision == "fp16" and device.type == "cpu" else precision

    def loader_on(self, device: torch.device) -> Backend:
        """Return the backend that prepares the run's images, or `auto` where the device does not have it.

        A GPU has no numba and a CPU no Triton; they may differ in the last bit, which matters to no score.
        """
        backend = self.trained.machine.loader
        return backend if can_prepare(backend, device, self.trained.data.interpolation) else "auto"
