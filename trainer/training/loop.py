"""The entries to training: `train` does what `bep train` does, `resume` what `bep train --resume` does."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from shards.errors import InvalidValue
from trainer.errors import BadCheckpoint, TrainError
from trainer.training import run_folder
from trainer.training.checkpoint import Checkpoint
from trainer.training.config import TrainConfig
from trainer.training.memory import out_of_memory_reported
from trainer.training.progress import Progress, Silent
from trainer.training.ranks import open_ranks
from trainer.training.run import Run
from trainer.training.setup import Session, open_session
from trainer.training.state import Result

RESUMABLE: Final = frozenset(
    {
        "data",
        "device",
        "loader",
        "cache",
        "threads",
        "verify",
        "patience",
        "max_minutes",
        "save_minutes",
        "save_steps",
        "test",
    }
)
"""Options that may change when a run is resumed: none of them changes what a step does."""


def train(config: TrainConfig, progress: Progress | None = None) -> Result:
    """Train a model and leave configuration, metrics and checkpoints in `config.out`.

    The best checkpoint is that of the highest macro average precision on the validation split.

    Raises:
        ShardError: the shards are damaged, or are none.
        TrainError: the folder of the run is in use, a split is missing, the loss is not finite, memory runs out, or the
            like.
        ValueError: a name or a number is not allowed.
        OSError: a file cannot be read or written.
    """
    progress = progress or Silent()
    with out_of_memory_reported(config.batch_size, config.accumulate), open_ranks(config.device) as ranks:
        run_folder.check_unused(config.out)
        with open_session(config, ranks, progress) as session:
            run = Run(session)
            if ranks.is_first:
                (config.out / run_folder.LAST).parent.mkdir(parents=True, exist_ok=True)
                run_folder.write_json(config.out / run_folder.CONFIG, session.describe())
                statistics = {b: asdict(s) for b, s in session.store.manifest.splits["train"].statistics.items()}
                run_folder.write_json(config.out / run_folder.STATISTICS, statistics)
            ranks.wait()
            return run.go()


def resume(folder: Path, progress: Progress | None = None, **changes: Any) -> Result:
    """Go on with a run where its last state was saved; it ends as it would have without the interruption.

    Args:
        folder: of the run.
        progress: who is told.
        changes: options of `RESUMABLE` that are to be others from now on.

    Raises:
        TrainError: there is no run, its state is damaged, or the shards are not those that it was trained on.
        ValueError: an option would change what the run does.
    """
    if not changes.keys() <= RESUMABLE:
        raise InvalidValue(f"{', '.join(sorted(changes.keys() - RESUMABLE))} cannot change when a run is resumed")
    config = replace(TrainConfig.read(folder), out=folder, **changes)
    path = folder / run_folder.LAST
    if not path.exists():
        raise TrainError(
            f"{folder} has no {run_folder.LAST}: the run stopped before its first state was saved; "
            "delete the folder and start it again"
        )
    last = Checkpoint.read(path)
    progress = progress or Silent()
    with (
        out_of_memory_reported(config.batch_size, config.accumulate),
        open_ranks(config.device) as ranks,
        open_session(config, ranks, progress, resumed=True) as session,
    ):
        _check_same(last, path, session)
        run = Run(session)
        run.load(last)
        return run.go()


def _check_same(last: Checkpoint, path: Path, session: Session) -> None:
    last.check_version(path, session.store.manifest, allow_mixed=False)
    last.check_bands(path, session.model.spec.bands)
    if last.model != session.model.spec:
        raise BadCheckpoint(f"{path} holds {last.model}, {run_folder.CONFIG} says {session.model.spec}")
    if last.manifest_sha256 != session.manifest_sha256:
        raise BadCheckpoint(
            f"{path} was trained on shards whose manifest has SHA-256 {last.manifest_sha256[:12]}…, "
            f"that of {session.store.folder} has {session.manifest_sha256[:12]}…: "
            "a run goes on with the same shards only"
        )
