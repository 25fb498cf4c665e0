"""`bep train` as a user meets it: in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.conftest import Run

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from trainer.cli import train; train(prog_name='bep train')"]


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the command."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(*arguments: object) -> tuple[int, str, str]:
    """Run the command and return its status, output and error output."""
    process = start(*arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_json_and_progress_are_apart(tiny: Path, tmp_path: Path) -> None:
    """A script cannot read the result, or a third-party warning spoils the output."""
    code, out, err = call(tiny, "--out", tmp_path / "run", "--epochs", 1, "--batch-size", 24, "--json", "--test")
    assert code == 0, err
    result = json.loads(out)
    assert result["best_epoch"] == 1
    assert result["validation"]["count"] == 8
    assert result["test"] | {"epoch": 1} == json.loads((tmp_path / "run" / "metrics-test.json").read_text())
    # Nothing but lines of our own; how many depends on the speed of the machine.
    assert all(line.startswith(("epoch 1/1", "test step")) for line in err.splitlines()), err
    assert "validation AP macro" in err


def test_tables_are_printed(tiny: Path, tmp_path: Path) -> None:
    """A user is not shown what the run has come to."""
    code, out, err = call(tiny, "--out", tmp_path / "run", "--epochs", 1, "--batch-size", 500)
    assert code == 0, err
    for text in ("validation, epoch 1", "Arable land", "absent", "macro, 6 classes", "micro", "checkpoint.pt"):
        assert text in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}", "--out", "{tmp}/run"], "holds no manifest.json: it is not a shard store"),
        (["{store}", "--out", "{run}"], "is not empty"),
        (["{store}", "--out", "{store}/manifest.json"], "Not a directory"),
        (["{store}", "--out", "{tmp}/run", "--lr", "nan"], "lr is nan, expected a number above 0"),
    ],
)
def test_errors_are_one_line(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    """A user's mistake ends in a traceback."""
    names = {"tmp": tmp_path, "store": run.config.data, "run": run.config.out}
    code, out, err = call(*(argument.format(**names) for argument in arguments))
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert message in err
    assert err.count("\n") == 1


def test_interrupt_ends_cleanly(tiny: Path, tmp_path: Path) -> None:
    """Ctrl-C hangs, prints a traceback, or looks like success to a script."""
    process = start(tiny, "--out", tmp_path / "run", "--epochs", 100, "--batch-size", 24)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("epoch 1/100")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("Interrupted: ")
    assert "Traceback" not in err


def test_help_imports_nothing_heavy() -> None:
    """`bep --help` takes seconds, since it loads torch."""
    code = "import sys, trainer.cli; print(sorted({'torch', 'nvidia', 'shards', 'rich', 'timm'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"
