"""Evaluation of a finished run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

import shards
from shards import Verify
from shards.errors import InvalidValue
from shards.metadata.entries import check_split
from trainer.config.options import TrainConfig
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.subset.rows import Subset
from trainer.definition.choices import DeviceName, Precision, Tta
from trainer.definition.machine import MachineConfig
from trainer.definition.tables import check_fields
from trainer.evaluation.measure import measure, predict
from trainer.evaluation.radiometry import offset_note
from trainer.evaluation.tuning_patches import own_selection, tuned_here
from trainer.inference.average import Turned, mean_logits, with_tta
from trainer.inference.ensemble import check_classes, check_distinct, mean_thresholds
from trainer.inference.trained import TrainedRun
from trainer.models.create import Classifier
from trainer.runs import folder as run_folder
from trainer.runs import results
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.predictions import Predictions
from trainer.runs.results import Evaluation, Selection
from trainer.runs.store_place import store_of
from trainer.runtime.out_of_memory import out_of_memory_reported
from trainer.runtime.precision import autocast
from trainer.runtime.progress import Phase, Progress
from trainer.runtime.ranks import Ranks, open_ranks


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Options of the evaluation of a run; texts are taken for paths. `InvalidValue` if a value is not allowed.

    Attributes:
        run: folder of the run, or of an export of it (see `TrainedRun.read`).
        split: name of the split.
        shards: folder of the shards; None for those of the run, which an export does not know.
        where: SQL expression over the columns of the index; None for all patches.
        patches: file with the names of the patches to use; None for all.
        batch_size: patches at a time; None for that of the run.
        device: `cpu`, `cuda` or `auto`.
        threads: decode threads; None for the cores.
        verify: which records to compare with their checksums: `first`, `always` or `never`, see `shards.Store`.
        mapped: decode records of files in a memory file system where they lie, see `shards.Store`.
        cache_dir: folder in which records of an address are kept, see `shards.Store`.
        cache_bytes: bytes that it may take up.
        allow_mixed_version: evaluate on the other version of BigEarthNet.
        ensemble: folders of further runs, whose probabilities are averaged with those of `run`.
        tta: `d4` averages probabilities over the eight flips and turns of each patch.
        out: new file for the results of an export; None for none. Those of a run are in its folder.
        checkpoint: file of another checkpoint of `run`, or its name in the folder of them; None for the best.
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
    cache_dir: Path | None = MachineConfig.cache_dir
    cache_bytes: int | None = MachineConfig.cache_bytes
    allow_mixed_version: bool = False
    ensemble: tuple[Path, ...] = ()
    tta: Tta = "none"
    out: Path | None = None
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_split(self.split)

    @property
    def averaged(self) -> dict[str, Any] | None:
        """Runs and turns that probabilities are averaged over, as JSON values; None for one network as it is."""
        if not self.ensemble and self.tta == "none":
            return None
        return {"runs": [str(run) for run in (self.run, *self.ensemble)], "tta": self.tta}


def evaluate_run(config: EvaluationConfig, progress: Progress | None = None) -> tuple[Evaluation, Path | None]:
    """Evaluate the best checkpoint of a run, or another one of it.

    Results are written into the folder of the run, and returned with the path of their file.

    The folder of an export is left as it is: its results are written to `out`, or to no file.

    Probabilities that are averaged, over turns or runs, are thresholded at the mean of the runs' thresholds.

    Raises:
        InvalidValue: a run is named twice; the shards of an export are missing; `out` is given for a run.
        ShardError: the shards are damaged, or are none.
        TrainError: there is no run, or no checkpoint; its shards are not where it says; its checkpoint does not fit
            the shards; nothing is selected.
        NotWritten: the results, which it brings along, cannot be written.
        OSError: a file cannot be read.
    """
    check_distinct([config.run, *config.ensemble])
    runs = [TrainedRun.read(config.run, config.checkpoint), *map(TrainedRun.read, config.ensemble)]
    first, best = runs[0], runs[0].checkpoint
    check_classes([run.checkpoint.model for run in runs], [run.folder for run in runs])
    # The best one under its own name is what is evaluated without a name.
    checkpoint = None if config.checkpoint is None or first.path.name == run_folder.BEST.name else first.path.name
    data = _shards(first, config)
    if config.out is not None:
        if first.written is not None:
            raise InvalidValue(
                f"`out=` is for `weights=` and for exports; results of a run are in its folder, {config.run}"
            )
        results.check_new(config.out)
    batch_size = config.batch_size or first.trained.optimisation.batch_size
    with (
        out_of_memory_reported(batch_size),
        open_ranks(config.device) as ranks,
        shards.open(
            data,
            num_threads=config.threads,
            mapped=config.mapped,
            cache_dir=config.cache_dir,
            cache_bytes=config.cache_bytes,
        ) as store,
    ):
        for run in runs:
            run.checkpoint.check_version(run.path, store.manifest, allow_mixed=config.allow_mixed_version)
        if progress is not None and any(config.split in run.trained.data.train_splits for run in runs):
            progress.say(f"trained on the {config.split} split: these are no scores on unseen patches")
        selection = Selection.of(store, config.split, Subset(where=config.where, patches=config.patches))
        for run in runs:
            if progress is not None and (note := offset_note(store, selection.rows, run.checkpoint.manifest_sha256)):
                progress.say(note)
                break
        all_logits = []
        for run in runs:
            loader = LoaderConfig(
                batch_size=batch_size,
                device=ranks.device,
                interpolation=run.trained.data.interpolation,
                loader=run.loader_on(ranks.device),
                verify=config.verify,
                nomenclature=best.model.nomenclature,
            )
            logits, labels = predict_selection(
                with_tta(run.create_model(), config.tta),
                run.checkpoint.normalisation,
                selection,
                ranks,
                loader,
                run.precision_on(ranks.device),
                progress,
            )
            all_logits.append(logits)
        logits = mean_logits(all_logits)
        thresholds = _thresholds(runs)
        known = [tuned_here(selection, run.checkpoint, run.folder) for run in runs]
        on_these = True if True in known else None if None in known else False
        spec = best.model
        metrics, _ = measure(
            logits,
            labels,
            thresholds,
            tuned_here=on_these,
            ignored=spec.ignored,
            nomenclature=spec.nomenclature,
        )
        found = Evaluation.of(
            metrics,
            selection,
            epoch=best.epoch,
            trained_on=best.source_version,
            averaged=config.averaged,
            checkpoint=checkpoint,
        )
        own = config.averaged is None and checkpoint is None and _is_own(selection, first.trained, best, config.run)
        file: Path | None = config.run if first.written is not None else config.out
        if ranks.is_first and file is not None:
            predictions = Predictions.of(selection.keys(), logits, labels, thresholds, spec.ignored, spec.nomenclature)
            if config.out is None:
                file = results.write(config.run, found, predictions, own=own)
            else:
                results.write_new(config.out, found, predictions)
    return found, file


def _shards(run: TrainedRun, config: EvaluationConfig) -> Path:
    """Return the folder of the shards to evaluate on.

    Raises:
        InvalidValue: an export does not say where they are.
        TrainError: they are not where the run says.
    """
    if config.shards is not None:
        return config.shards
    if run.written is None:
        raise InvalidValue(f"{config.run} does not say where shards are, expected their folder, `shards=DIR`")
    return store_of(run.written.data.shards, config.run, f"`run={config.run}` `shards=DIR`")


def _thresholds(runs: list[TrainedRun]) -> dict[str, float] | None:
    """Return the thresholds of a run, or the mean of those of several; None if one of them has tuned none."""
    known = [run.checkpoint.thresholds for run in runs]
    found = [thresholds for thresholds in known if thresholds is not None]
    return mean_thresholds(found) if len(found) == len(known) else None


def predict_selection(
    model: Classifier | Turned,
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
