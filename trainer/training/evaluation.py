"""Evaluation of a finished run: what `bep evaluate` does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import shards
from shards import Verify
from trainer.data.loader import Loader, LoaderConfig
from trainer.data.subset import Subset, select
from trainer.errors import TrainError
from trainer.metrics.metrics import Metrics
from trainer.training import run_folder
from trainer.training.checkpoint import Checkpoint
from trainer.training.config import TrainConfig
from trainer.training.evaluate import measure, predict
from trainer.training.memory import out_of_memory_reported
from trainer.training.progress import Phase, Progress
from trainer.training.ranks import open_ranks
from trainer.training.step import autocast


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What to evaluate.

    Attributes:
        run: folder of the run.
        split: name of the split.
        data: folder of the shards; None for those of the run.
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
    data: Path | None = None
    where: str | None = None
    patches: Path | None = None
    batch_size: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    verify: Verify = "first"
    mapped: bool = True
    allow_mixed_version: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation has found.

    Attributes:
        epoch: epoch, from 1, of the checkpoint.
        metrics: on the split.
        about: what was evaluated on what, as JSON values.
        path: file that holds it all.
    """

    epoch: int
    metrics: Metrics
    about: dict[str, Any]
    path: Path

    def to_json(self) -> dict[str, Any]:
        """Return what the file holds."""
        return self.about | self.metrics.to_json()


def evaluate_run(config: EvaluationConfig, progress: Progress | None = None) -> Evaluation:
    """Evaluate the best checkpoint of a run and write the results into its folder.

    Raises:
        ShardError: the shards are damaged, or are none.
        TrainError: there is no run, or no checkpoint; its checkpoint does not fit the shards; nothing is selected.
        OSError: a file cannot be read or written.
    """
    trained = TrainConfig.read(config.run)
    path = config.run / run_folder.BEST
    if not path.exists():
        raise TrainError(f"{config.run} has no {run_folder.BEST}: no epoch of it has ended")
    best = Checkpoint.read(path)
    batch_size = config.batch_size or trained.batch_size
    with (
        out_of_memory_reported(batch_size),
        open_ranks(config.device) as ranks,
        shards.open(config.data or trained.data, num_threads=config.threads, mapped=config.mapped) as store,
    ):
        best.check_version(path, store.manifest, allow_mixed=config.allow_mixed_version)
        subset = Subset(where=config.where, fraction=None, patches=config.patches)
        rows = select(subset, store.index, trained.seed, needed=(config.split,))[config.split]
        model = best.create_model().to(ranks.device)
        loader_config = LoaderConfig(
            batch_size=batch_size,
            device=ranks.device,
            kind="sequential",
            layout=model.layout,
            interpolation=trained.interpolation,
            backend=trained.loader,
            rank=ranks.rank,
            num_ranks=ranks.num_ranks,
            verify=config.verify,
        )
        with (
            Loader(store, rows, best.normalisation, loader_config) as loader,
            autocast(trained.precision, ranks.device),
        ):
            predictions = predict(model, loader, ranks, phase=Phase(config.split), progress=progress)
        metrics, _ = measure(*predictions, thresholds=best.thresholds)
        about = {
            "split": config.split,
            "epoch": best.epoch,
            "shards": str(store.folder),
            "source_version": store.manifest.source_version,
            "trained_on": best.source_version,
            "where": config.where,
            "patches": config.patches and str(config.patches),
        }
        result = Evaluation(best.epoch, metrics, about, config.run / run_folder.split_metrics(config.split))
        if ranks.is_first:
            run_folder.write_json(result.path, result.to_json())
    return result
