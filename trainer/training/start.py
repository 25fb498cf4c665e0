"""The entries to training: `train` begins a run, `resume` continues one."""

import json
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from shards.errors import BepError, InUse, InvalidValue
from shards.reporting import shortened
from shards.storage.atomic import folder_made
from trainer.config import chosen, effect, stored
from trainer.config.chosen import Chosen
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.definition.check import shown
from trainer.definition.tables import AUGMENT, KEYS, LENGTH, RESUMABLE
from trainer.errors import BadCheckpoint, TrainError
from trainer.runs import beginning
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.scored import SCORED
from trainer.runs.state import Result
from trainer.runs.store_place import describe_place, store_of
from trainer.runtime.out_of_memory import out_of_memory_reported
from trainer.runtime.progress import Progress, Silent
from trainer.runtime.ranks import Ranks, open_ranks
from trainer.training import launch
from trainer.training.extension import Length
from trainer.training.loop import Run
from trainer.training.parts.normalisation import statistics_of
from trainer.training.session import Session, open_session

_DESCRIBED: Final = (
    "model",
    "parameters",
    "order",
    "precision",
    "manifest_sha256",
    "source_version",
    "patches",
    "bands",
    "classes",
    "normalisation",
)
"""Parts of the description of a run that its checkpoint depends on."""


def train(config: TrainConfig, progress: Progress | None = None, given: Given | None = None) -> Result:
    """Train a model and leave configuration, metrics and checkpoints in `config.run.out`.

    The best checkpoint is that of the highest macro average precision on the validation split. A run that fails before
    a step of it is saved leaves no folder. Where `torchrun` starts
    the processes again, they resume the run that they began before.

    Args:
        config: of the run.
        progress: receives the reports.
        given: options that somebody gave, which must have an effect; None for those that are not as they are by
            default.

    Raises:
        InvalidValue: a name or a number is not allowed, or an option has no effect.
        ShardError: the shards are damaged, or are none.
        TrainError: the folder of the run is not empty, a split is missing, the loss is not finite, memory runs out, or
            the like.
        InUse: another training has begun in the folder at the same time.
        OSError: a file cannot be read or written.
    """
    progress = progress or Silent()
    asked = Given.by(config) if given is None else given
    effect.check(config, asked)
    with open_ranks(config.machine.device) as ranks:
        if launch.has_begun(config, ranks):
            return _resume(config.run.out, progress, ranks, {})
        with out_of_memory_reported(config.optimisation.batch_size, config.optimisation.accumulate):
            return _begin(config, progress, ranks, asked)


def _begin(config: TrainConfig, progress: Progress, ranks: Ranks, given: Given) -> Result:
    beginning.check_unused(config.run.out)
    # Nobody writes before all have looked.
    ranks.agree(0)
    with open_session(config, ranks, progress, given=given) as session, ExitStack() as stack:
        run = stack.enter_context(Run(session))
        if ranks.is_first:
            stack.enter_context(folder_made(config.run.out))
        stack.enter_context(_locked(config.run.out, ranks))
        if ranks.is_first:
            # Another one may have begun, and even ended, since the first look.
            beginning.check_unused(config.run.out)
            stack.enter_context(beginning.begun(config.run.out))
            described = session.describe() | describe_place(config.data.shards) | launch.describe()
            described |= {SCORED: session.scored}
            if session.store.manifest.synthetic:
                described |= {"synthetic": True}
            statistics = statistics_of(config, session.store.manifest, session.normalisation)
            with run_folder.written(config.run.out, config.run.out):
                (config.run.out / run_folder.LAST).parent.mkdir()
                stored.write(config.run.out, config, given)
                run_folder.write_json(config.run.out / run_folder.DESCRIPTION, described)
                run_folder.write_json(config.run.out / run_folder.STATISTICS, statistics)
        ranks.wait()
        return run.go()


def resume(folder: Path | str, progress: Progress | None = None, given: Given | None = None, **changes: Any) -> Result:
    """Resume a run where its last state was saved; it ends as it would have without the interruption.

    With `epochs` or `max_steps` it gets another length: the learning rate follows the schedule of a run that long.

    Args:
        folder: of the run.
        progress: receives the reports.
        given: how the changes were given, for messages; None for in Python.
        changes: options of `RESUMABLE` and `LENGTH` that are to be others from now on, by their names alone.

    Raises:
        InvalidValue: an option would change what the run does, or the run is beyond the length.
        TrainError: there is no run, its files are damaged or were changed, or the shards are not those that it was
            trained on.
        InUse: another training is at work in the folder.
        OSError: a file cannot be read or written.
    """
    folder = Path(folder)
    keys = [AUGMENT if name == "augment" else KEYS.get(name, name) for name in changes]
    if wrong := [key for key in keys if key not in RESUMABLE | LENGTH]:
        written_as = (given or Given(other="code")).name
        refused, right = (", ".join(sorted(map(written_as, names))) for names in (wrong, RESUMABLE | LENGTH))
        raise InvalidValue(f"{refused} cannot change when a run is resumed; these can: {right}")
    # Checked first: where there is no run, no process waits for others.
    device = changes.get("device", stored.read(folder).machine.device)
    with open_ranks(device) as ranks:
        return _resume(folder, progress or Silent(), ranks, changes)


def _resume(folder: Path, progress: Progress, ranks: Ranks, changes: dict[str, Any]) -> Result:
    path, written = folder / run_folder.LAST, stored.read(folder)
    keys = [AUGMENT if name == "augment" else KEYS.get(name, name) for name in changes]
    with _locked(folder, ranks):
        if not path.exists():
            raise TrainError(
                f"{folder} has no {run_folder.LAST}: the run stopped before its first state was saved; "
                "delete the folder and start it again"
            )
        if ranks.is_first:
            run_folder.remove_temporaries(folder)
        last = Checkpoint.read(path)
        config = written.replace(out=folder, **changes)
        trained = _check_unchanged(written, last, folder, LENGTH & set(keys), is_loader_given="loader" in changes)
        if "shards" not in changes:
            place = store_of(config.data.shards, folder, f"`shards=DIR` `resume={folder}`")
            config = config.replace(shards=place)
        with (
            out_of_memory_reported(config.optimisation.batch_size, config.optimisation.accumulate),
            open_session(
                config,
                ranks,
                progress,
                kept=_kept(last, folder, "loader" in changes),
                normalised=last.normalisation,
            ) as session,
        ):
            _check_same(last, path, session)
            _check_files(session, folder)
            with Run(session) as run:
                run.load(last)
                length = Length.of(config)
                if length != Length.of(trained):
                    run.extend(Length.of(trained))
                if length != Length.of(trained) or config.machine.loader != trained.machine.loader:
                    run.save()
                # What the run keeps from here on.
                kept = written.replace(epochs=length.epochs, max_steps=length.max_steps, loader=config.machine.loader)
                if kept != written and ranks.is_first:
                    stored.write(folder, kept, stored.read_given(folder))
                return run.go()


@contextmanager
def _locked(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Hold the folder of a run while the block runs; the first rank does it for all."""
    with ExitStack() as stack:
        error: BepError | OSError | None = None
        if ranks.is_first:
            try:
                stack.enter_context(run_folder.locked(folder))
            except (BepError, OSError) as err:
                error = err
        if ranks.agree(int(error is not None)):
            raise error or InUse(f"the first rank cannot lock {folder}")
        yield


def _kept(last: Checkpoint, folder: Path, is_loader_given: bool) -> Chosen:
    """Return what a run had chosen."""
    path = folder / run_folder.LAST
    try:
        choices = (last.progress or {}).get("chosen")
        if choices is None:
            # The first version noted only these.
            described = run_folder.read_json(run_folder.description_path(folder))
            choices = {name: described.get(name) for name in ("order", "precision")}
        kept = Chosen.from_json(choices)
    except InvalidValue as err:
        raise BadCheckpoint(f"{path} does not hold the state of a run: {err}") from err
    return replace(kept, backends={}) if is_loader_given else kept


def _check_unchanged(
    written: TrainConfig, last: Checkpoint, folder: Path, given: Collection[str], *, is_loader_given: bool
) -> TrainConfig:
    """Check that nobody has edited the configuration since the state was saved, but for what may change.

    Args:
        written: in the file of the run.
        last: state of the run.
        folder: of the run.
        given: further options by key that may differ, since they are given anew.
        is_loader_given: `machine.loader` is given anew; without that the run keeps its own.

    Returns:
        The configuration of the state.

    Raises:
        TrainError: somebody has.
    """
    path = folder / run_folder.LAST
    try:
        trained = TrainConfig.from_json(last.config)
    except InvalidValue as err:
        raise BadCheckpoint(f"{path} does not hold the configuration of a run: {err}") from err
    now, then = written.values(), trained.values()
    edited = [key for key in now if key not in RESUMABLE | {"run.out"} | set(given) and now[key] != then[key]]
    if edited:
        said = ", ".join(f"{key} {shown(then[key])}" for key in edited)
        raise TrainError(
            f"{run_folder.config_path(folder)} was edited: {run_folder.LAST} was trained with {shortened(said, 300)}, "
            "which cannot change when a run is resumed; put that back, or begin a new run"
        )
    if not is_loader_given and (loader := written.machine.loader) != trained.machine.loader:
        raise TrainError(
            f"{run_folder.config_path(folder)} says machine.loader {shown(loader)}, but {run_folder.LAST} was trained "
            f"with {shown(trained.machine.loader)}, which a run keeps unless it is given anew: put that back, or say "
            f"`loader={loader}`"
        )
    return trained


def _check_same(last: Checkpoint, path: Path, session: Session) -> None:
    last.check_version(path, session.store.manifest, allow_mixed=False)
    last.check_bands(path, session.model.spec.bands)
    if last.model != session.model.spec:
        raise BadCheckpoint(f"{path} holds {last.model}, the options say {session.model.spec}")
    if last.manifest_sha256 != session.manifest_sha256:
        raise BadCheckpoint(
            f"{path} was trained on shards whose manifest has SHA-256 {last.manifest_sha256[:12]}…, "
            f"that of {session.store.folder} has {session.manifest_sha256[:12]}…: "
            "a run resumes with the same shards only"
        )
    for split, digest in ({} if session.kept is None else session.kept.rows).items():
        if split in session.rows and chosen.digest(session.rows[split]) != digest:
            raise TrainError(
                f"the run began with other patches of the {split} split than those that are selected now: has the list "
                f"{session.config.data.patches} changed?"
            )


def _check_files(session: Session, folder: Path) -> None:
    """Check that the other files of a run say what they said when it began.

    Raises:
        TrainError: one of them does not.
    """
    path = run_folder.description_path(folder)
    found, expected = run_folder.read_json(path), json.loads(json.dumps(session.describe()))
    missing = [name for name in expected if name not in found]
    if missing:
        raise TrainError(
            f"{path} was edited: it lacks {', '.join(missing)}; bring the file back from a copy, or begin a new run"
        )
    edited = [name for name in _DESCRIBED if found[name] != expected[name]]
    if edited:
        raise TrainError(
            f"{path} was edited: {', '.join(edited)} is not what the run was trained with; bring the file back from a "
            "copy, or begin a new run"
        )
    path = folder / run_folder.STATISTICS
    try:
        statistics = run_folder.read_json(path)
    except FileNotFoundError:
        return
    expected = statistics_of(session.config, session.store.manifest, session.normalisation)
    source = "the statistics in the manifest of the shards" if session.config.data.statistics is None else "the run's"
    if statistics != json.loads(json.dumps(expected)):
        raise TrainError(f"{path} was edited: it differs from {source}; bring the file back from a copy, or remove it")
