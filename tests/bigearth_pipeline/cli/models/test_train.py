"""`bep train` and `bep evaluate` as a user meets them: in a process of their own."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import shards
from bigearth_pipeline.cli import main
from shards.testing.stores import make_store
from tests.support.data import faults
from tests.support.paths import ROOT
from tests.support.running import commands
from tests.trainer.conftest import Run
from trainer.config import stored
from trainer.runs.checkpoint import Checkpoint


def call(*arguments: object) -> tuple[int, str, str]:
    """Run the command and return its status, output and error output."""
    done = commands.run(*arguments)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.long
def test_json_and_progress_are_apart(tiny: Path, tmp_path: Path) -> None:
    """A script cannot read the result, or a third-party warning spoils the output."""
    out_folder = tmp_path / "run"
    code, out, err = call("train", tiny, "--out", out_folder, "--epochs", 1, "--batch-size", 24, "--json", "--test")
    assert code == 0, err
    result = json.loads(out)
    assert (result["best_epoch"], result["finished"]) == (1, True)
    assert result["validation"]["count"] == 8
    assert result["test"] == json.loads((out_folder / "metrics-test.json").read_text())
    assert result["test"]["epoch"] == 1
    # Nothing but lines of our own; how many depends on the speed of the machine.
    assert all(line.startswith(("epoch 1/1", "test step", "order", "cache")) for line in err.splitlines()), err
    assert "validation AP macro" in err


@pytest.mark.long
def test_tables_are_printed(tiny: Path, tmp_path: Path) -> None:
    """A user is not shown the result of the run."""
    code, out, err = call("train", tiny, "--out", tmp_path / "run", "--epochs", 1, "--batch-size", 500)
    assert code == 0, err
    for text in ("validation, epoch 1", "Arable land", "absent", "macro", "micro", "checkpoints/best.pt"):
        assert text in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'DIR', the folder of the shards; or --config FILE, or --resume RUN."),
        (["--out", "run"], "Missing argument 'DIR', the folder of the shards; or --config FILE, or --resume RUN."),
        (["store"], "Missing option '--out', a new folder for the run."),
    ],
)
def test_what_is_missing_is_an_error_of_usage(arguments: list[str], message: str) -> None:
    """A script takes a wrong call for a run that failed."""
    result = CliRunner().invoke(main, ["train", *arguments], prog_name="bep")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: bep train [OPTIONS] [DIR]\n")
    assert result.stderr.endswith(f"Error: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "{tmp}", "--out", "{tmp}/run"], "holds no manifest.json: it is not a shard store"),
        (["train", "{store}", "--out", "{run}"], "holds a run; resume it with --resume"),
        (["train", "{store}", "--out", "{store}/manifest.json"], "is a file, expected a new folder for the run"),
        (["train", "{store}", "--out", "{tmp}/run", "--lr", "nan"], "--lr is nan, expected a number above 0"),
        (["train", "{store}", "--out", "{tmp}/run", "--bands", "B03,B10"], "no band 'B10'; there are B01, B02"),
        (["train", "{store}", "--out", "{tmp}/run", "--model", "resnet81"], "no model 'resnet81', perhaps resnet18"),
        (["train", "{store}", "--out", "{tmp}/run", "--where", "nation = 'Ireland'"], "country"),
        (["train", "{store}", "--out", "{tmp}/run", "--where", "country = 'Kosovo' and year = 1999"], "train"),
        (["train", "{store}", "--out", "{tmp}/run", "--where", "country <> 'Mordor'"], "no patch can have 'Mordor' in"),
        (["train", "{store}", "--out", "{tmp}/run", "--weights", "{store}/manifest.json"], "manifest.json"),
        (["train", "{store}", "--out", "{tmp}/run", "--precision", "fp16", "--device", "cpu"], "fp16 needs a GPU"),
        (["train", "{store}", "--out", "{tmp}/run", "--patches", "{tmp}/none"], "No such file"),
        (["train", "--resume", "{tmp}"], "holds no run: there is no config.toml"),
        (["train", "--resume", "{run}", "--lr", "1"], "--lr cannot change when a run is resumed"),
        (
            ["train", "{store}", "--out", "{tmp}/run", "--config", "{tmp}/none"],
            "No such file or directory; check the name",
        ),
        (["train", "--resume", "{tmp}/none"], "none does not exist, expected the folder of a run"),
        (["evaluate", "{tmp}"], "holds no run: there is no config.toml"),
        (["evaluate", "{store}"], "{store} holds no run: it is a store"),
        (["evaluate", "{run}/checkpoints"], "there is no config.toml; perhaps {run}"),
        (["evaluate", "{tmp}/none"], "none does not exist, expected the folder of a run"),
        (["evaluate", "{store}/manifest.json"], "manifest.json is a file, expected the folder of a run"),
        (["evaluate", "{run}", "--shards", "{tmp}"], "it is not a shard store"),
        (["evaluate", "{run}", "--where", "1 = 2"], "test"),
    ],
)
def test_errors_are_one_line(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    """A user's mistake ends in a traceback, or leaves a folder behind."""
    names = {"tmp": tmp_path, "store": run.config.data.shards, "run": run.config.run.out}
    before = sorted(run.config.run.out.rglob("*"))
    result = CliRunner().invoke(main, [argument.format(**names) for argument in arguments])
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert result.stderr.startswith("Error: ")
    assert message.format(**names) in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert sorted(run.config.run.out.rglob("*")) == before


@pytest.mark.long
def test_damage_is_one_line(tiny: Path, tmp_path: Path) -> None:
    """A damaged record trains in silence unless checks were asked for, or the options for it do not reach the run."""
    damaged = faults.copy(tiny, tmp_path / "damaged")
    with shards.open(damaged) as store:
        key, place = store.index.key(3), int(store.index.column("s2_offset")[3]) + 6000
        faults.flip_bit(damaged / store.manifest.shards[0].files[0].path, place)
    for options, verify, mapped in (
        ((), "first", True),
        (("--verify", "--set", "machine.mapped=false"), "always", False),
        (("--verify", "never"), "never", True),
        (("--verify", "never", "--set", "machine.mapped=false"), "never", False),
    ):
        run = tmp_path / f"{verify}-{mapped}"
        arguments = [
            "train",
            str(damaged),
            "--out",
            str(run),
            "--set",
            "run.max_steps=4",
            "--batch-size",
            "24",
            *options,
        ]
        result = CliRunner().invoke(main, arguments)
        if verify == "never":
            found = stored.read(run)
            assert (found.machine.verify, found.machine.mapped) == (verify, mapped)
        else:
            # It ended before a step, so that the same command can be given again.
            assert not run.exists()
            assert (result.exit_code, result.stdout) == (1, "")
            line = result.stderr.splitlines()[-1]
            assert re.search(rf"\.tar: the record of {key} has CRC-32C [0-9a-f]{{8}}, expected", line)


def wait_for(process: commands.Command, text: str) -> None:
    """Wait until a line of the error output holds a text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"the command ended without {text!r}")


@pytest.mark.long
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state(tiny: Path, tmp_path: Path, sent: signal.Signals) -> None:
    """Ctrl-C hangs, prints a traceback, looks like success to a script, or loses the run."""
    run = tmp_path / "run"
    process = commands.start("train", tiny, "--out", run, "--epochs", 100_000, "--batch-size", 24)
    wait_for(process, "epoch 2/")
    process.send_signal(sent)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err.splitlines()[-1] == f"interrupted: the state is saved; resume with: bep train --resume {run}"
    assert "Traceback" not in err
    saved = Checkpoint.read(run / "checkpoints/last.pt")
    assert saved.epoch * 2 + saved.step >= 2
    code, _, err = call("train", "--resume", run, "--set", "run.max_minutes=0.02")
    assert code == 0, err
    assert err.splitlines()[-1].startswith("the time is up: the state is saved")


OPTIONS = ["--epochs", 6, "--batch-size", 7, "--set", "run.save_steps=3", "--threads", 2, "--model", "test_resnet"]
OPTIONS += ["--set", "optimisation.ema=0.9", "--set", "model.drop_rate=0.2"]


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody killed."""
    out = tmp_path_factory.mktemp("killed") / "whole"
    code, _, err = call("train", tiny, "--out", out, *OPTIONS)
    assert code == 0, err
    return out


@pytest.mark.long
@pytest.mark.parametrize("delay", [0.0, 0.2, 0.7])
def test_a_killed_run_ends_as_if_it_had_not_been(tiny: Path, tmp_path: Path, whole: Path, delay: float) -> None:
    """After kill -9 a run is lost, or ends with other weights."""
    killed = tmp_path / "killed"
    process = commands.start("train", tiny, "--out", killed, *OPTIONS)
    deadline = time.monotonic() + 300
    while not (killed / "checkpoints/last.pt").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.communicate()
    code, _, err = call("train", "--resume", killed, "--threads", 1)
    assert code == 0, err
    for name in ("last", "best"):
        expected, found = (Checkpoint.read(run / f"checkpoints/{name}.pt") for run in (whole, killed))
        assert found.ema is not None
        assert expected.ema is not None
        for key, values in (expected.state | expected.ema).items():
            assert torch.equal((found.state | found.ema)[key], values), (name, key)
    epochs = [json.loads(line)["epoch"] for line in (killed / "metrics.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, 7))


@pytest.mark.long
def test_evaluate_repeats_the_test(run: Run, tmp_path: Path) -> None:
    """`bep evaluate` gives other numbers than the training run did, or writes nothing."""
    copy = shutil.copytree(run.config.run.out, tmp_path / "run")
    path = copy / "metrics-test.json"
    before = json.loads(path.read_text())
    code, out, err = call("evaluate", copy, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert json.loads(path.read_text()) == found == before
    code, out, err = call("evaluate", copy, "--split", "validation", "--batch-size", 8)
    assert code == 0, err
    assert "validation, epoch" in out
    assert (copy / "metrics-validation.json").exists()


@pytest.mark.long
def test_the_other_version_needs_a_word(run: Run, tmp_path: Path) -> None:
    """A model is tested on patches that it was trained on."""
    copy = shutil.copytree(run.config.run.out, tmp_path / "copy")
    other = make_store(tmp_path / "store", {"train": 2, "validation": 2, "test": 4}, source_version="v1")
    code, _, err = call("evaluate", copy, "--shards", other)
    assert code == 1
    assert "trained on BigEarthNet v2, the shards are v1" in err
    code, _, err = call("evaluate", copy, "--shards", other, "--allow-mixed-version", "--json")
    assert code == 0, err
    code, _, err = call(
        "train", other, "--out", tmp_path / "run", "--weights", run.config.run.out / "checkpoints/best.pt"
    )
    assert code == 1
    assert "trained on BigEarthNet v2, the shards are v1" in err


def test_help_imports_nothing_heavy() -> None:
    """`bep --help` takes seconds, since it loads torch."""
    heavy = "{'torch', 'nvidia', 'shards', 'rich', 'timm', 'duckdb', 'tensorboard'}"
    commands = "bigearth_pipeline.cli.models.train, bigearth_pipeline.cli.models.evaluate"
    code = f"import sys, {commands}; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"
