"""The folder of a run, its store and its disk: moved, full, removed, or taken by another process."""

import json
import resource
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from shards.errors import BepError, InUse
from shards.testing.stores import make_store
from tests.trainer.configs import edit_options
from tests.trainer.runs.changes import QUICK, refusal
from trainer.config import stored
from trainer.config.options import TrainConfig
from trainer.definition.augmentation import RECIPES
from trainer.errors import RunExists, TrainError
from trainer.runs import beginning, checksum
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.tensorboard import Board
from trainer.runtime.progress import Silent, StepReport, WindowReport
from trainer.training.start import resume, train


def test_a_store_that_was_moved(small: TrainConfig, folder_of_run: Path, tmp_path: Path) -> None:
    """A user is not told where the old path comes from, nor how to give the new one."""
    moved = shutil.copytree(small.data.shards, tmp_path / "moved")
    edit_options(folder_of_run, lambda tables: tables["data"].update(shards=str(tmp_path / "gone")))
    line = refusal(folder_of_run)
    for part in (
        f"{tmp_path / 'gone'} holds no manifest.json",
        "config.toml",
        f"name their new folder: bep train DIR --resume {folder_of_run}",
    ):
        assert part in line
    result = CliRunner().invoke(main, ["train", str(moved), "--resume", str(folder_of_run)])
    assert result.exit_code == 0, result.output
    other = make_store(tmp_path / "other", {"train": 24, "validation": 8}, seed=5)
    assert "a run resumes with the same shards only" in refusal(folder_of_run, str(other))


def test_a_list_that_has_changed(tiny: Path, tmp_path: Path) -> None:
    """A run continues with other patches because a file has changed."""
    keys = [f"{split}_{i}" for split, count in (("train", 24), ("validation", 8)) for i in range(count)]
    (tmp_path / "list.txt").write_text("\n".join(keys))
    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", patches=tmp_path / "list.txt", epochs=1, **QUICK)
    train(config)
    (tmp_path / "list.txt").write_text("\n".join(keys[1:]))
    assert "has the list" in refusal(config.run.out)


def test_the_weights_a_run_began_with_may_be_gone(small: TrainConfig, tmp_path: Path) -> None:
    """A run cannot be resumed, since a file that it needs no longer has been removed."""
    weights = Path(shutil.copy(small.run.out / run_folder.BEST, tmp_path / "weights.pt"))
    config = TrainConfig.of(shards=small.data.shards, out=tmp_path / "run", weights=weights, epochs=1, **QUICK)
    train(config)
    weights.unlink()
    assert resume(config.run.out).best_epoch == 1


class Interrupted(Silent):
    """Leaves a run after a number of steps, as a kill does."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do

    def step(self, report: StepReport) -> None:
        """Do it in the training phase."""
        if report.phase.split == "train":
            self._do()


def test_what_prepares_the_batches_is_kept(small: TrainConfig, folder_of_run: Path, monkeypatch: Any) -> None:
    """A run continues with other floats in its batches because the machine has something else installed."""
    kept = Checkpoint.read(folder_of_run / run_folder.LAST).progress
    assert kept is not None
    assert kept["chosen"]["backends"] == {"train": "numba", "validation": "numba"}
    used = []
    monkeypatch.setattr("trainer.training.loop.Run.go", lambda run: used.append(run.loader.backend))
    # What auto would take on another machine.
    monkeypatch.setattr(
        "trainer.data.prepare.backend.Images.resolve", lambda images, name: "dali" if name == "auto" else name
    )
    resume(folder_of_run)
    resume(folder_of_run, loader="torch")
    assert used == ["numba", "torch"]


def test_an_edited_loader_is_not_ignored(folder_of_run: Path) -> None:
    """The file says torch, numba prepares the batches, and the next checkpoint says torch as well."""
    assert Checkpoint.read(folder_of_run / run_folder.LAST).config["machine"]["loader"] == "auto"
    edit_options(folder_of_run, lambda tables: tables["machine"].update(loader="torch"))
    line = refusal(folder_of_run)
    assert "config.toml says machine.loader 'torch', but checkpoints/last.pt was trained with 'auto'" in line
    assert "put that back, or say --loader torch" in line
    # What is given is kept, in the file too.
    resume(folder_of_run, loader="numba", epochs=2)
    assert stored.read(folder_of_run).machine.loader == "numba"
    resume(folder_of_run)


def test_order_and_precision_are_kept(folder_of_run: Path, monkeypatch: Any) -> None:
    """A run changes its order since the store lies on another file system now."""
    monkeypatch.setattr("trainer.training.session.choose_kind", lambda folder: ("block", "it is far away"))
    sessions = []
    monkeypatch.setattr("trainer.training.loop.Run.go", lambda run: sessions.append(run._session))
    resume(folder_of_run)
    assert (sessions[0].order, sessions[0].config.machine.precision, sessions[0].options["data"]["order"]) == (
        "global",
        "fp32",
        "auto",
    )


def test_two_trainings_in_one_folder(small: TrainConfig, tmp_path: Path) -> None:
    """Two trainings write into one folder, and neither result is worth anything."""
    config, seen = small.replace(out=tmp_path / "run"), []

    def beside() -> None:
        if seen:
            return
        seen.append(sorted(path.name for path in config.run.out.iterdir()))
        with pytest.raises(InUse, match=f"{config.run.out} is in use by another training"):
            resume(config.run.out)
        with pytest.raises(TrainError, match="holds a run"):
            train(config)

    train(config, Interrupted(beside))
    assert run_folder.LOCK in seen[0]
    assert not (config.run.out / run_folder.LOCK).exists()


def test_only_one_of_two_that_begin_at_once_trains(small: TrainConfig, tmp_path: Path, monkeypatch: Any) -> None:
    """Two trainings that find the folder empty at the same time both take it."""
    config = small.replace(out=tmp_path / "run")
    config.run.out.mkdir()
    with run_folder.locked(config.run.out), pytest.raises(InUse, match="is in use by another training"):
        train(config)
    assert list(config.run.out.iterdir()) == []
    # The lock of a process that was killed is no hindrance.
    (config.run.out / run_folder.LOCK).touch()
    assert train(config).best_epoch


def test_what_is_left_of_a_lock_is_no_run(tmp_path: Path) -> None:
    """A training that was killed as it began, on a disk without locks, leaves a folder in which none can begin."""
    for name in (".lock", ".lock.held", f"..lock.held.host.1.{'0' * 8}.part"):
        (tmp_path / name).write_text("")
    beginning.check_unused(tmp_path)
    (tmp_path / ".lockfile").write_text("")
    with pytest.raises(RunExists):
        beginning.check_unused(tmp_path)


def test_a_run_begins_in_no_run_or_store(folder_of_run: Path, small: TrainConfig, tmp_path: Path) -> None:
    """A run lies where lists of runs do not look, or is a stray file of a store."""
    store = small.data.shards
    for folder, words in (
        (
            folder_of_run / "second",
            rf"lies in .*{folder_of_run.name}, which is a run, expected a folder outside of one",
        ),
        (folder_of_run / "deep/er", "which is a run"),
        (store / "runs/first", rf"lies in .*{store.name}, which is a store, expected a folder outside of one"),
    ):
        with pytest.raises(RunExists, match=words):
            train(small.replace(out=folder))
        assert not folder.parent.exists() or folder.parent in (folder_of_run, store)
        assert not folder.exists()
    for folder, kind in ((folder_of_run, "run"), (store, "store")):
        with pytest.raises(
            RunExists, match=rf"{folder.name} is a {kind}, expected a folder outside of one; name another"
        ):
            beginning.check_place(folder)
    beginning.check_place(tmp_path)
    beginning.check_place(tmp_path / "runs/first")


def test_only_our_temporaries_are_removed(folder_of_run: Path) -> None:
    """Temporary files of a killed run fill the disk, or files of somebody else are deleted."""
    ours = [
        ".config.json.host.12.0a1b2c3d.part",
        ".config.toml.host.12.0a1b2c3d.part",
        "checkpoints/.last.pt.host-1.12.0a1b2c3d.part",
    ]
    ours += ["checkpoints/.last.pt.4711.part", ".metrics.jsonl.4711.part"]
    foreign = [".x.part", ".photo.jpg.host.12.0a1b2c3d.part", "last.pt.part", "checkpoints/.mine.pt.12.part"]
    foreign += ["notes/.last.pt.12.part"]
    (folder_of_run / "notes").mkdir()
    for name in [*ours, *foreign]:
        (folder_of_run / name).write_text("x")
    resume(folder_of_run)
    assert [name for name in [*ours, *foreign] if (folder_of_run / name).exists()] == foreign


@contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """Let writes beyond a size fail as on a full disk, but for the number of the error (EFBIG in place of ENOSPC)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_that_cannot_be_written(folder_of_run: Path) -> None:
    """A full disk ends in a traceback, and the state that was saved before is gone."""
    path = folder_of_run / "checkpoints/last.pt"
    values = checksum.read(path)
    values["progress"]["state"] |= {"epoch": 1, "step": 2, "ended": False, "best_epoch": 1}
    checksum.write(path, values)
    content = path.read_bytes()
    assert len(content) > 300_000
    with no_file_above(300_000):
        result = CliRunner().invoke(main, ["train", "--resume", str(folder_of_run)])
    assert (result.exit_code, isinstance(result.exception, SystemExit)) == (1, True), result.exception
    last = result.stderr.splitlines()[-1]
    assert ".pt cannot be written: File too large" in last
    assert f"resume with --resume {folder_of_run}" in last
    assert path.read_bytes() == content
    assert not list(folder_of_run.rglob("*.part"))
    assert not (folder_of_run / run_folder.LOCK).exists()
    # With room again it resumes.
    assert resume(folder_of_run).stopped_by is None


@pytest.mark.parametrize("size_bytes", [10, 100_000])
def test_the_first_files_cannot_be_written(small: TrainConfig, tmp_path: Path, size_bytes: int) -> None:
    """A disk that is full before any state was saved: the advice is to resume, which is then refused."""
    config = small.replace(out=tmp_path / "run", epochs=1)
    with no_file_above(size_bytes), pytest.raises(TrainError) as caught:
        train(config)
    assert "no state of the run was saved before: mend that" in str(caught.value)
    assert str(caught.value).endswith(") and start it again")
    # The advice is true: one way is refused, the other one goes.
    with pytest.raises(TrainError, match="does not exist, expected the folder of a run"):
        resume(config.run.out)
    assert not config.run.out.exists()
    assert train(config).best_epoch == 1


def test_events_that_cannot_be_written(tmp_path: Path) -> None:
    """TensorBoard's own thread fails with a traceback, or hangs the run."""
    with no_file_above(1000), Board(tmp_path, 0, is_writer=True) as board:
        report = WindowReport(1, 0.5, 1e-3, 2.0, 100.0, 0.1, None)
        message = r"events.out.tfevents\S* cannot be written: File too large; no state of the run was saved"
        with pytest.raises(TrainError, match=message):
            deque(map(board.window, [report] * 100))


def test_a_folder_that_is_removed_meanwhile(small: TrainConfig, tmp_path: Path) -> None:
    """A run whose folder is gone ends in a traceback, or makes it anew without the configuration."""
    config = small.replace(out=tmp_path / "run")
    with pytest.raises(TrainError, match=r"cannot be written: the folder of the run was removed meanwhile"):
        train(config, Interrupted(lambda: shutil.rmtree(config.run.out, ignore_errors=True)))
    assert not config.run.out.exists()


def test_a_state_is_saved_within_an_epoch(small: TrainConfig, tmp_path: Path) -> None:
    """`run.save_minutes` and `run.save_steps` do nothing."""
    for number, options in enumerate(({"save_minutes": 1e-9}, {"save_steps": 2}, {})):
        config = small.replace(out=tmp_path / f"run{number}", epochs=1, **options)
        saved: list[int] = []
        look = partial(
            lambda path, found: found.append(Checkpoint.read(path).step), config.run.out / run_folder.LAST, saved
        )
        train(config, Interrupted(look))
        # The report of the last step of an epoch, the third one, comes before the state is saved.
        assert saved[-1] == (2 if options else 0)


@pytest.mark.parametrize("save_minutes", [1e-9, 10.0])
def test_a_benchmark_writes_nothing(small: TrainConfig, tmp_path: Path, monkeypatch: Any, save_minutes: float) -> None:
    """A benchmark of more than ten minutes fails, since it saves the state of a run that has no folder."""
    from bigearth_pipeline.bench.train.measure import bench_train

    monkeypatch.chdir(tmp_path)
    config = small.replace(out=Path("unused"), epochs=1_000_000, save_minutes=save_minutes)
    bench_train(config, steps=2, repeats=1, warm_up=0, least_seconds=0, say=lambda text: None)
    assert list(tmp_path.iterdir()) == []


def test_recipes_are_readable_again() -> None:
    """A recipe of augmentation does not come back from the configuration of a run."""
    for recipe in RECIPES.values():
        config = TrainConfig.of(shards=Path("data"), out=Path("out"), augmentation=recipe)
        assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    with pytest.raises(BepError, match="more is no option of a run"):
        TrainConfig.from_json({"data": "a", "out": "b", "more": 1})
