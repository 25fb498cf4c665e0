"""The folder of a run under hostile conditions: other processes, full disks, edited, damaged and made-up files."""

import copy
import io
import itertools
import json
import os
import resource
import shutil
import struct
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.models.train import train as bep_train
from shards.errors import BepError, InUse
from shards.testing.stores import make_store
from tests import commands
from tests.trainer.configs import edit_description, edit_options, with_option
from trainer.config import stored
from trainer.config.options import TrainConfig
from trainer.definition.augmentation import RECIPES
from trainer.definition.tables import LENGTH, OPTIONS, RESUMABLE
from trainer.errors import BadCheckpoint, TrainError
from trainer.runs import checksum
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.tensorboard import Board
from trainer.runtime.progress import Silent, StepReport, WindowReport
from trainer.training.start import resume, train

QUICK: dict[str, Any] = {"model": "test_resnet", "batch_size": 8, "threads": 1, "bands": ("B04", "B03", "B02")}


@pytest.fixture(scope="module")
def small(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A finished run of two epochs of three steps."""
    config = TrainConfig.of(shards=tiny, out=tmp_path_factory.mktemp("small") / "run", epochs=2, **QUICK)
    train(config)
    return config


@pytest.fixture
def folder_of_run(small: TrainConfig, tmp_path: Path) -> Path:
    """A copy of its folder."""
    return shutil.copytree(small.run.out, tmp_path / "run")


def refusal(folder: Path, *more: str) -> str:
    """Return the one line that `bep train --resume` ends in."""
    result = CliRunner().invoke(main, ["train", *more, "--resume", str(folder)])
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.output
    return result.stderr


OTHER: dict[str, Any] = {
    "model.model": "test_vit3",
    "model.weights": "/nowhere/weights.pt",
    "model.weights_bands": "rgb",
    "model.weights_classes": "paper",
    "data.bands": ["B02", "B03", "B04"],
    "data.where": "month = 6",
    "data.patches": "/nowhere/list.txt",
    "data.fraction": 0.5,
    "data.train_splits": ["validation", "train"],
    "data.statistics": "/nowhere/statistics.json",
    "optimisation.ema": 0.5,
}
"""Values of the options that are neither numbers nor choices, and of numbers that are not set."""
FIELDS = [key for key in OPTIONS if key not in RESUMABLE | {"run.out"}]


@pytest.mark.parametrize("key", FIELDS)
def test_an_edited_configuration_is_refused(folder_of_run: Path, key: str) -> None:
    """A run continues in its middle with another batch size, seed or learning rate."""

    def change(tables: dict[str, Any]) -> None:
        table, _, name = key.partition(".")
        before, choices = tables[table].get(name), OPTIONS[key].choices
        if choices and key not in OTHER:
            after: Any = next(choice for choice in choices if choice != before)
        elif key in OTHER:
            after = OTHER[key]
        elif isinstance(before, bool):
            after = not before
        elif isinstance(before, list):
            after = [value * 0.9 for value in before]
        else:
            after = before * 0.5 + 1 / 4 if isinstance(before, float) else (before or 0) + 1
        if key == "optimisation.max_positive_weight":
            after = 11.0
        assert after != before
        tables[table][name] = after
        if name == "train_splits":
            tables[table]["validation"] = False
        if name.startswith("weights_"):
            tables[table]["weights"] = OTHER["model.weights"]

    edit_options(folder_of_run, change)
    with pytest.raises(TrainError, match=f"config.toml was edited: checkpoints/last.pt was trained with .*{key} "):
        resume(folder_of_run)


def test_an_edited_configuration_of_an_old_run_is_refused(folder_of_run: Path) -> None:
    """A run of an earlier version resumes with other options, or not at all."""
    as_of_old(folder_of_run)
    assert resume(folder_of_run).stopped_by is None
    values = json.loads((folder_of_run / "config.json").read_text())
    values["options"]["lr"] = 0.5
    (folder_of_run / "config.json").write_text(json.dumps(values))
    with pytest.raises(TrainError, match=r"config\.json was edited: .*optimisation\.lr 0\.001"):
        resume(folder_of_run)


def as_of_old(folder: Path) -> None:
    """Make the folder of a run what it was before there were tables of options, checkpoints included."""
    tables = stored.read(folder).to_json()
    parts = {name: value for table in tables.values() for name, value in table.items()}
    options = {name: parts[name] for table in tables if table != "augmentation" for name in tables[table]}
    options |= {"data": options.pop("shards"), "augmentation": tables["augmentation"]}
    for name in ("start_factor", "final_factor"):
        del options[name]
    description = json.loads((folder / "description.json").read_text())
    (folder / "config.json").write_text(json.dumps({"options": options} | description))
    for name in ("config.toml", "description.json"):
        (folder / name).unlink()
    for path in (folder / "checkpoints").glob("*.pt"):
        hostile(path, config=options)


@pytest.mark.parametrize(
    "name", ["normalisation", "classes", "patches", "order", "precision", "parameters", "manifest_sha256"]
)
def test_an_edited_description_is_refused(folder_of_run: Path, name: str) -> None:
    """A file says of a run what is not so."""
    edit_description(folder_of_run, lambda values: values.update({name: "other"}))
    with pytest.raises(TrainError, match=f"description.json was edited: {name}|precision is 'other'"):
        resume(folder_of_run)


def test_a_description_that_is_cut_is_refused(folder_of_run: Path) -> None:
    """A file that no longer says what a run was is taken, and nothing is compared."""
    whole = (folder_of_run / "description.json").read_text()
    # Runs of before do not say where their store is.
    names = [name for name in json.loads(whole) if name != "store"]
    for lost in (names, *([name] for name in names)):
        (folder_of_run / "description.json").write_text(whole)
        edit_description(folder_of_run, lambda values, lost=lost: [values.pop(name) for name in lost])  # type: ignore[misc]
        assert f"description.json was edited: it lacks {', '.join(lost)};" in refusal(folder_of_run)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gain", "a", "gain is 'a', expected a number"),
        ("mixup", True, "mixup is True, expected a number"),
        ("offset", 10**4000, "expected a number"),
        ("turn", 3, "turn is 3, expected one of none, flips, d4"),
        ("crop_pad", 1.5, "crop_pad is 1.5, expected an integer"),
        ("crop_scale", [0.6], "crop_scale is (0.6,), expected 2 numbers"),
        ("crop_scale", ["a", 1], "crop_scale is ('a', 1), expected 2 numbers"),
        ("erase_area", 0.1, "erase_area is 0.1, expected 2 numbers"),
        ("3", 1, "augmentation.3 is no option of a run"),
        ("tilt", 1, "augmentation.tilt is no option of a run"),
        ("offsets", 1, "augmentation.offsets is no option of a run; perhaps augmentation.offset"),
    ],
    ids=itertools.count(),
)
def test_a_wrong_augmentation_is_named(folder_of_run: Path, name: str, value: object, message: str) -> None:
    """A user reads what Python says of a comparison, not which value is wrong; or half a cell is taken."""
    edit_options(folder_of_run, lambda tables: tables["augmentation"].update({name: value}))
    line = refusal(folder_of_run)
    assert "config.toml is not the configuration of a run: augmentation" in line
    assert message in line


def test_options_are_named_as_they_are_written(folder_of_run: Path) -> None:
    """A user looks for options under the names of fields."""
    line = refusal(folder_of_run, "--lr", "1", "--augment", "none")
    assert "--augment, --lr cannot change" in line
    can = line.split("these can: ")[1].strip().split(", ")
    written = {text for option in bep_train.params for text in option.opts}
    written |= {f"--set {key}" for key, entry in OPTIONS.items() if not entry.option.flag}
    assert set(can) - {"DIR"} <= written
    assert {"DIR", "--set machine.mapped", "--set run.max_minutes", "--loader"} <= set(can)
    assert len(can) == len(RESUMABLE | LENGTH)


def test_what_may_change_may_be_edited(folder_of_run: Path) -> None:
    """A run cannot be given more patience by hand."""

    def change(tables: dict[str, Any]) -> None:
        tables["run"] |= {"patience": 3, "save_steps": 1, "out": "elsewhere"}
        tables["machine"]["threads"] = 2

    edit_options(folder_of_run, change)
    assert resume(folder_of_run).stopped_by is None


NESTED = b'{"options":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b'{"options": 3}', b'{"options": {}}', b"\xff\xfe", NESTED, b'{"options": NaN}', b"9" * 5000],
)
@pytest.mark.parametrize("name", ["config.json", "description.json", "statistics.json"])
def test_json_that_is_none_of_ours(folder_of_run: Path, name: str, content: bytes) -> None:
    """A damaged file ends in a traceback."""
    if name == "config.json":
        as_of_old(folder_of_run)
    (folder_of_run / name).write_bytes(content)
    assert name in refusal(folder_of_run)


@pytest.mark.parametrize("value", [None, True, "x", 1.5, -1, [], {}, [1], {"a": 1}, float("inf"), "\x1b[2J"])
def test_values_of_wrong_types_are_named(folder_of_run: Path, value: object) -> None:
    """A configuration of wrong types ends in a traceback, perhaps hours later."""
    tables = stored.read(folder_of_run).to_json()
    for key, entry in OPTIONS.items():
        for wrong in (with_option(tables, key, value), tables | {entry.table: value}):
            with suppress(BepError):
                TrainConfig.from_json(wrong)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "link to itself"])
@pytest.mark.parametrize(
    "name",
    [
        "config.toml",
        "description.json",
        "statistics.json",
        "metrics.jsonl",
        "checkpoints/last.pt",
        "checkpoints/best.pt",
    ],
)
def test_files_that_are_no_files(folder_of_run: Path, name: str, kind: str) -> None:
    """A pipe in place of a file hangs for ever, /dev/zero fills the memory."""
    path = folder_of_run / name
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)
    before = time.monotonic()
    assert path.name in refusal(folder_of_run)
    assert time.monotonic() - before < 120


def mangled(lines: list[str], damage: str) -> list[str]:
    """Return the lines of a damaged metrics.jsonl."""
    first, second = lines
    return {
        "no line": [],
        "first missing": [second[:0], second],
        "last missing": [first],
        "swapped": [second, first],
        "no JSON": [first, second[:100] + "\n"],
        "cut": [first, second[:100]],
        "nested": ["[" * 100_000 + "\n", second],
        "other epoch": [first, second.replace('"epoch": 2', '"epoch": "2"')],
        "huge": ["x" * (3 << 20) + "\n", second],
        "nul": ["\0\n", second],
    }[damage]


@pytest.mark.parametrize(
    "damage",
    ["no line", "last missing", "swapped", "no JSON", "cut", "nested", "other epoch", "huge", "nul"],
)
def test_damaged_metrics_are_named(folder_of_run: Path, damage: str) -> None:
    """A learning curve with holes is continued in silence."""
    path = folder_of_run / "metrics.jsonl"
    path.write_text("".join(mangled(path.read_text().splitlines(keepends=True), damage)))
    content = path.read_bytes()
    assert f"{path} is damaged: line " in refusal(folder_of_run)
    assert path.read_bytes() == content


def test_what_a_kill_leaves_in_metrics_is_dropped(tmp_path: Path) -> None:
    """A run that was killed while it wrote a report cannot be resumed, or keeps reports that it writes again."""
    path = tmp_path / "metrics.jsonl"
    whole = "".join(f'{{"epoch": {number}}}\n' for number in (1, 2, 3))
    for rest in ("", '{"epoch": 4}\n', '{"epo'):
        path.write_text(whole + rest)
        run_folder.keep_epochs(path, 3)
        assert path.read_text() == whole
    path.unlink()
    run_folder.keep_epochs(path, 3)
    path.write_text('{"epoch": 4}\n{"epoch": 5}\n')
    run_folder.keep_epochs(path, 4)
    assert path.read_text() == '{"epoch": 4}\n'


def hostile(path: Path, **changes: Any) -> None:
    """Change fields of a checkpoint, and sign it as ours."""
    values = checksum.read(path)
    checksum.write(path, copy.deepcopy(values) | changes)


def deeper(values: dict[str, Any], name: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return nested dictionaries with one entry changed, or left out where the new value is `Ellipsis`."""
    head, _, rest = name.partition("/")
    new = deeper(values[head], rest, change) if rest else change(values[head])
    return {key: new if key == head else value for key, value in values.items() if key != head or new is not ...}


Change = tuple[str, Callable[[Any], Any]]
DICTS = ("state", "model", "config", "progress")
CHANGES: list[Change] = [
    *[(name, lambda value: ...) for name in (*DICTS, "classes", "epoch", "format_version")],
    *[(name, lambda value: 3.5) for name in (*DICTS, "classes", "normalisation", "ema")],
    *[(name, lambda value: [value]) for name in (*DICTS, "epoch", "metrics", "thresholds", "manifest_sha256")],
    ("format_version", lambda value: torch.zeros(2)),
    ("classes", lambda value: torch.zeros(19)),
    ("config", lambda value: {}),
    ("config/optimisation/batch_size", lambda value: "8"),
    ("model/name", lambda value: ["bepnet-s"]),
    ("model/bands", lambda value: 3),
    ("normalisation/scale", lambda value: ("x",) * 12),
    ("progress", lambda value: None),
    ("progress/state", lambda value: {}),
    ("progress/state/epoch", lambda value: 10**9),
    ("progress/state/epoch", lambda value: -1),
    ("progress/state/step", lambda value: 4),
    ("progress/state/step", lambda value: "1"),
    ("progress/state/best_score", lambda value: float("nan")),
    ("progress/state/loss", lambda value: {"total": "x", "num_patches": 1}),
    ("progress/chosen", lambda value: []),
    ("progress/chosen/order", lambda value: "random"),
    ("progress/chosen/backends", lambda value: {"train": 3}),
    ("progress/stepper", lambda value: {}),
    ("progress/stepper/scaler", lambda value: 3),
    ("progress/stepper/optimizer", lambda value: None),
    ("progress/stepper/optimizer/param_groups", lambda value: value[:1]),
    ("progress/stepper/optimizer/param_groups", lambda value: [value[0] | {"weight_decay": 0.5}, value[1]]),
    ("progress/stepper/optimizer/param_groups", lambda value: [value[0] | {"params": [0]}, value[1]]),
    ("progress/stepper/optimizer/state", lambda value: {0: 3}),
    ("progress/stepper/optimizer/state", lambda value: {10**6: value[0]}),
    ("progress/stepper/optimizer/state", lambda value: value | {0: value[0] | {"exp_avg": torch.zeros(3)}}),
    ("progress/stepper/optimizer/state", lambda value: value | {0: value[0] | {"step": torch.zeros(3)}}),
    ("state", lambda value: dict(list(value.items())[1:])),
    ("state", lambda value: value | {"more": torch.zeros(3)}),
    ("state", lambda value: value | {next(iter(value)): torch.zeros(3)}),
    ("state", lambda value: {name: tensor.double() for name, tensor in value.items()}),
    ("state", lambda value: value | {next(iter(value)): "weights"}),
    ("state", lambda value: value | {next(iter(value)): torch.zeros(3).to_sparse()}),
    ("ema", lambda value: {}),
]


@pytest.mark.parametrize(("name", "change"), CHANGES, ids=[f"{i}-{name}" for i, (name, _) in enumerate(CHANGES)])
def test_hostile_checkpoints_end_in_one_line(folder_of_run: Path, name: str, change: Callable[[Any], Any]) -> None:
    """A checkpoint that somebody made up ends in a traceback, or the run trains on from it."""
    path = folder_of_run / "checkpoints/last.pt"
    values = deeper(checksum.read(path), name, change)
    checksum.write(path, values)
    content = path.read_bytes()
    assert "last.pt" in refusal(folder_of_run)
    assert path.read_bytes() == content


def sign(content: bytes) -> bytes:
    """Return an archive with the checksum that `checksum.write` gives it."""
    return content[:-2] + struct.pack("<H", 71) + b"sha256=" + sha256(content).hexdigest().encode()


def packed(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def entries_of(path: Path) -> dict[str, bytes]:
    """Return the entries of a checkpoint's archive."""
    with zipfile.ZipFile(path) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


ARCHIVES = ["bomb", "short storage", "no pickle", "cut pickle", "nested pickle", "empty", "nothing"]


@pytest.mark.parametrize("kind", ARCHIVES)
def test_hostile_archives_end_in_one_line(folder_of_run: Path, kind: str) -> None:
    """An archive that somebody made up ends the process, fills the memory, or ends in a traceback."""
    path = folder_of_run / "checkpoints/last.pt"
    entries = entries_of(path)
    pickle_name = next(name for name in entries if name.endswith("data.pkl"))
    storage = max((name for name in entries if "/data/" in name), key=lambda name: len(entries[name]))
    if kind == "bomb":
        content = packed(entries | {storage: bytes(1 << 28)}, zipfile.ZIP_DEFLATED)
    elif kind == "short storage":
        content = packed(entries | {storage: entries[storage][:64]})
    elif kind == "no pickle":
        content = packed({name: value for name, value in entries.items() if name != pickle_name})
    elif kind == "cut pickle":
        content = packed(entries | {pickle_name: entries[pickle_name][:100]})
    elif kind == "nested pickle":
        content = packed(entries | {pickle_name: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."})
    else:
        content = packed({}) if kind == "empty" else packed({"a": b""})
    path.write_bytes(sign(content))
    if kind == "short storage":
        # In a process of its own, for it might be killed.
        done = commands.run("train", "--resume", folder_of_run)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "last.pt" in done.stderr
    else:
        assert "last.pt" in refusal(folder_of_run)


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


def test_events_that_cannot_be_written(tmp_path: Path) -> None:
    """TensorBoard's own thread fails with a traceback, or hangs the run."""
    with no_file_above(1000), Board(tmp_path, 0, is_writer=True) as board:
        report = WindowReport(1, 0.5, 1e-3, 2.0, 100.0, 0.1, None)
        message = r"events.out.tfevents\S* cannot be written: File too large; .*`resume="
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


def test_evaluated_checkpoints_are_checked_too(folder_of_run: Path) -> None:
    """A checkpoint of other weights ends `bep evaluate` in a traceback."""
    path = folder_of_run / run_folder.BEST
    state = checksum.read(path)["state"]
    hostile(path, state=state | {next(iter(state)): torch.zeros(3)})
    with pytest.raises(BadCheckpoint):
        Checkpoint.read(path).create_model()
    result = CliRunner().invoke(main, ["evaluate", str(folder_of_run)])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
