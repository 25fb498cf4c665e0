"""Evaluation of a finished run."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

import shards
from shards import Verify
from shards.errors import InvalidValue
from trainer.config import stored
from trainer.config.options import TrainConfig
from trainer.data.loader import Loader, LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.backend import can_prepare
from trainer.data.subset.rows import Subset
from trainer.definition.choices import DeviceName, Precision
from trainer.definition.machine import MachineConfig
from trainer.errors import BadCheckpoint, TrainError
from trainer.evaluation.measure import measure, predict
from trainer.evaluation.tuning_patches import own_selection, tuned_here
from trainer.models.create import Classifier
from trainer.runs import folder as run_folder
from trainer.runs import results
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.predictions import Predictions
from trainer.runs.results import Evaluation, Selection
from trainer.runtime.out_of_memory import out_of_memory_reported
from trainer.runtime.precision import autocast
from trainer.runtime.progress import Phase, Progress
from trainer.runtime.ranks import Ranks, open_ranks


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Options of the evaluation of a run.

    Attributes:
        run: folder of the run.
        split: name of the split.
        shards: folder of the shards; None for those of the run.
        where: SQL expression over the columns of the index; None for all patches.
        patches: file with the names of the patches to use; None for all.
        batch_size: patches at a time; None for that of the run.
        device: `cpu`, `cuda` or `auto`.
        threads: decode threads; None for the cores.
        verify: which records to compare with their checksums: `first`, `always` or `never`, see `shards.Store`.
        mapped: decode records of files in a memory file system where they lie, see `shards.Store`.
        allow_mixed_version: evaluate on the other version of BigEarthNet.
    """

    run: Path
    split: str = "test"
    shards: Path | None = None
    where: str | None = None
    patches: Path | None = None
    batch_size: int | None = None
    device: DeviceName = MachineConfig.device
    threads: int | None = MachineConfig.threads
    verify: Verify = MachineConfig.verify
    mapped: bool = MachineConfig.mapped
    allow_mixed_version: bool = False


def evaluate_run(config: EvaluationConfig, progress: Progress | None = None) -> tuple[Evaluation, Path]:
    """Evaluate the best checkpoint of a run, write the results into its folder and return them with the file's path.

    Raises:
        ShardError: the shards are damaged, or are none.
        TrainError: there is no run, or no checkpoint; its shards are not where it says; its checkpoint does not fit
            the shards; nothing is selected.
        NotWritten: the results, which it brings along, cannot be written.
        OSError: a file cannot be read.
    """
    written = stored.read(config.run)
    path = config.run / run_folder.BEST
    if not path.exists():
        raise TrainError(f"{config.run} has no {run_folder.BEST}: no epoch of it has ended")
    best = Checkpoint.read(path)
    try:
        # What the weights were trained with, whatever was written into the run's configuration since.
        trained = TrainConfig.from_json(best.config)
    except InvalidValue as err:
        raise BadCheckpoint(f"{path} does not hold the configuration of a run: {err}") from err
    if config.shards is None:
        run_folder.check_shards(written.data.shards, config.run, f"`run={config.run}` `shards=DIR`")
    batch_size = config.batch_size or trained.optimisation.batch_size
    with (
        out_of_memory_reported(batch_size),
        open_ranks(config.device) as ranks,
        shards.open(config.shards or written.data.shards, num_threads=config.threads, mapped=config.mapped) as store,
    ):
        best.check_version(path, store.manifest, allow_mixed=config.allow_mixed_version)
        selection = Selection.of(store, config.split, Subset(where=config.where, patches=config.patches))
        # A GPU has no numba, a CPU neither Triton nor float16, and the last bit matters to no score.
        fits = can_prepare(trained.machine.loader, ranks.device, trained.data.interpolation)
        precision: Precision = trained.machine.precision
        if precision == "fp16" and ranks.device.type == "cpu":
            precision = "fp32"
        logits, labels = predict_selection(
            best.create_model(),
            best.normalisation,
            selection,
            ranks,
            LoaderConfig(
                batch_size=batch_size,
                device=ranks.device,
                interpolation=trained.data.interpolation,
                loader=trained.machine.loader if fits else "auto",
                verify=config.verify,
            ),
            precision,
            progress,
        )
        metrics, _ = measure(logits, labels, best.thresholds, tuned_here=tuned_here(selection, best, config.run))
        found = Evaluation.of(metrics, selection, epoch=best.epoch, trained_on=best.source_version)
        own = _is_own(selection, trained, best, config.run)
        file = config.run
        if ranks.is_first:
            predictions = Predictions.of(selection.keys(), logits, labels, best.thresholds)
            file = results.write(config.run, found, predictions, own=own)
    return found, file


def predict_selection(
    model: Classifier,
    normalisation: Normalisation,
    selection: Selection,
    ranks: Ranks,
    config: LoaderConfig,
    precision: Precision,
    progress: Progress | None,
) -> tuple[Tensor, Tensor]:
    """Return logits and labels of a selection; of `config` only what differs between evaluations is looked at."""
    config = replace(config, order="sequential", layout=model.layout, rank=ranks.rank, num_ranks=ranks.num_ranks)
    with Loader(selection.store, selection.rows, normalisation, config) as loader, autocast(precision, ranks.device):
        return predict(model.to(ranks.device), loader, ranks, phase=Phase(selection.split), progress=progress)


def _is_own(selection: Selection, trained: TrainConfig, best: Checkpoint, run: Path) -> bool:
    """True if a selection is the one that the run itself had of the split."""
    if selection.manifest_sha256 != best.manifest_sha256:
        return False
    own = own_selection(selection.store, selection.split, trained, run)
    return own is not None and selection.is_same(own)
