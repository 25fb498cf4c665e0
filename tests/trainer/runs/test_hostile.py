"""Checkpoints and metrics of runs that are damaged or made up."""

import io
import os
import struct
import time
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from tests.support.running import commands
from tests.trainer.runs.changes import hostile, refusal
from trainer.errors import BadCheckpoint
from trainer.runs import checksum
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint


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


@pytest.mark.product
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


def test_evaluated_checkpoints_are_checked_too(folder_of_run: Path) -> None:
    """A checkpoint of other weights ends `bep evaluate` in a traceback."""
    path = folder_of_run / run_folder.BEST
    state = checksum.read(path)["state"]
    hostile(path, state=state | {next(iter(state)): torch.zeros(3)})
    with pytest.raises(BadCheckpoint, match=r"best\.pt"):
        Checkpoint.read(path).create_model(path)
    result = CliRunner().invoke(main, ["evaluate", str(folder_of_run)])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert str(path) in result.stderr


@pytest.mark.parametrize(("table", "name", "value"), [("model", "model", "bepnet-s"), ("data", "bands", ["B02"])])
def test_a_checkpoint_of_another_network_is_refused(
    folder_of_run: Path, tmp_path: Path, table: str, name: str, value: object
) -> None:
    """Scores, maps and exports of a network bear the name of another one, after a checkpoint was copied."""
    path = folder_of_run / run_folder.BEST
    config = checksum.read(path)["config"]
    hostile(path, config=config | {table: config[table] | {name: value}})
    out = str(tmp_path / "out")
    for command in (["evaluate"], ["export", "--out", out], ["predict", "patch", "--out", out]):
        result = CliRunner().invoke(main, [command[0], str(folder_of_run), *command[1:]])
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
        assert f"best.pt is not of the run {folder_of_run}: {table}.{name} differ from config.toml" in result.stderr
