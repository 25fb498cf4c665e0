"""A finished run on disk, or an exported one: its best checkpoint, and the options that it was trained with."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from shards.errors import InvalidValue
from shards.text.words import listed
from trainer.config import stored
from trainer.config.options import TrainConfig
from trainer.data.prepare.backend import can_prepare
from trainer.definition.choices import Backend, Precision
from trainer.definition.tables import LENGTH, RESUMABLE
from trainer.errors import BadCheckpoint, TrainError
from trainer.inference import hub
from trainer.inference.model_folder import WEIGHTS, is_model_folder, read_model_folder
from trainer.models.classifier import Classifier
from trainer.models.weights_config import CONFIG
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.kept import evaluable

_NETWORK: Final = ("model.model", "data.bands", "data.classes")
"""Options by which a network is another one."""


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
    def read(cls, folder: Path, checkpoint: Path | None = None) -> "TrainedRun":
        """Read a run, an export of one, or an export on the Hugging Face hub.

        Args:
            folder: of the run or export, or `hf://owner/name[@revision]`.
            checkpoint: file of another checkpoint of the run than its best; None for the best.

        Raises:
            InvalidValue: an address of the hub has another form; another checkpoint of an export is requested.
            TrainError: there is no run, or no epoch of it has ended; the hub or its cache does not have the files.
            BadCheckpoint: the checkpoint is damaged, or does not say what it was trained with.
            OSError: a file cannot be read.
        """
        named, is_remote = hub.shown(folder), hub.is_address(folder)
        folder = hub.locate(folder)
        if is_remote or is_model_folder(folder):
            if checkpoint is not None:
                raise InvalidValue(f"`checkpoint=` goes with a run, and {named} is an export, which holds one alone")
            exported = read_model_folder(folder)
            options = TrainConfig.from_json(exported.config)
            return cls(folder=folder, path=folder / WEIGHTS, checkpoint=exported, written=None, trained=options)
        written = stored.read(folder)
        path = folder / run_folder.BEST if checkpoint is None else _located(folder, checkpoint)
        if checkpoint is None and not path.exists():
            raise TrainError(f"{folder} has no {run_folder.BEST}: no epoch of it has ended")
        best = Checkpoint.read(path)
        try:
            # Not those of the folder, which may have been edited since.
            trained = TrainConfig.from_json(best.config)
        except InvalidValue as err:
            raise BadCheckpoint(f"{path} does not hold the configuration of a run: {err}") from err
        _check_network(path, trained, folder, written)
        if checkpoint is not None:
            _check_of_run(path, best, trained, folder, written)
        return cls(folder=folder, path=path, checkpoint=best, written=written, trained=trained)

    def create_model(self) -> Classifier:
        """Return the network with its weights, on the CPU.

        Raises:
            BadCheckpoint: there is no such network, or the weights are not those of it; the error names the file.
        """
        return self.checkpoint.create_model(self.path, self.folder / CONFIG if self.written is None else None)

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


def _located(folder: Path, checkpoint: Path) -> Path:
    """Return the file of a checkpoint: a path, or the name of a file among the run's checkpoints.

    Raises:
        TrainError: there is none.
    """
    own = folder / run_folder.BEST.parent
    for path in (checkpoint, own / checkpoint):
        if path.exists():
            return path
    close = difflib.get_close_matches(checkpoint.name, found := evaluable(folder), n=1)
    hint = f", perhaps {close[0]}" if close else ""
    there = f"{own} has {listed(found)}" if found else f"{own} has none that can be evaluated"
    raise TrainError(f"there is no checkpoint {checkpoint}, nor {own / checkpoint}{hint}; {there}")


def _check_network(path: Path, trained: TrainConfig, folder: Path, written: TrainConfig) -> None:
    """Check that a checkpoint is of the network that the folder of the run names.

    Raises:
        BadCheckpoint: it is of another one, as where it was copied from another run.
    """
    now, then = written.values(), trained.values()
    if other := [key for key in _NETWORK if now[key] != then[key]]:
        raise BadCheckpoint(
            f"{path} is not of the run {folder}: {', '.join(other)} differ from {run_folder.config_path(folder).name}; "
            "name the folder that it comes from"
        )


def _check_of_run(path: Path, checkpoint: Checkpoint, trained: TrainConfig, folder: Path, written: TrainConfig) -> None:
    """Check that a checkpoint is one of a run, and of an epoch that has ended.

    Raises:
        BadCheckpoint: it is not.
    """
    free, now, then = RESUMABLE | LENGTH | {"run.out"}, written.values(), trained.values()
    if other := [key for key in now if key not in free and now[key] != then[key]]:
        raise BadCheckpoint(f"{path} is not of the run {folder}: {', '.join(other)} differ; name a checkpoint of it")
    if checkpoint.thresholds is None:
        raise BadCheckpoint(
            f"{path} is for resuming and has no thresholds; name {run_folder.BEST.name} or an epoch that was kept"
        )
