"""What commands write to terminals and pipes, whatever the files hold and whatever these can show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bigearth_pipeline.synth.dataset import write_dataset
from shards.manifest import Manifest
from tests.building import build_store
from tests.terminal import BEP, ENVIRONMENT

HOSTILE = "a\x1b]0;owned\x07\x9b2Jb"


@pytest.fixture(scope="module")
def hostile(scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in a folder whose name holds control sequences, beside its source."""
    folder = tmp_path_factory.mktemp("output") / HOSTILE
    write_dataset(folder / "data", patches=40, layout="v2", seed=0, workers=1)
    build_store(folder / "store", folder / "data", scheduler=scheduler)
    return folder


def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run `bep` in a process of its own."""
    return subprocess.run(
        [*BEP, *map(str, arguments)], capture_output=True, timeout=300, env=dict(ENVIRONMENT) | environment
    )


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("inspect {}/store", 0),
        ("stats {}/store --split train", 0),
        ("verify {}/store --against {}/data", None),
        ("build-shards {}/data --out {}/store", 0),
        ("build-shards {}/data --out {}/data", 1),
        ("inspect {}/absent", 1),
        ("train {}/absent --out {}/run", 1),
        ("train {}/store --out {}/run --max-steps 1 --batch-size 8", 0),
        ("bench loader {}/store --repeats 1 --batch-size 8 --patches 8", 0),
    ],
)
def test_nothing_steers_the_terminal(hostile: Path, command: str, status: int | None) -> None:
    """Control sequences in names and files would rewrite what the terminal shows."""
    done = call(*(word.replace("{}", str(hostile)) for word in command.split()))
    assert status is None or done.returncode == status, done.stderr
    shown = (done.stdout + done.stderr).decode()
    # Statistics name bands and nothing else.
    assert ("\\x1b]0;owned\\x07\\x9b2Jb" in shown) == (not command.startswith("stats"))
    assert not [
        character for character in shown if (ord(character) < 32 and character != "\n") or ord(character) == 0x9B
    ]
    assert "Traceback" not in shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_stdout_that_lacks_characters_fails_nothing(hostile: Path, tmp_path: Path, encoding: str) -> None:
    """The work is done by the time the summary is printed."""
    done = call("build-shards", hostile / "data", "--out", tmp_path / "store", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "store" / "manifest.json").exists()
    assert b"GeoTIFFs" in done.stdout


def test_json_stays_json(hostile: Path) -> None:
    """Scripts read it, so it is escaped as JSON escapes, and nothing else is on stdout."""
    done = call("inspect", hostile / "store", "--json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["count"] == Manifest.read(hostile / "store").count


def test_a_closed_pipe_is_no_traceback(hostile: Path) -> None:
    """`bep inspect … | head -1` ends early on purpose."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*BEP, "inspect", str(hostile / "store")], stdout=writer, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=60
    )
    os.close(writer)
    assert b"Traceback" not in done.stderr, done.stderr


def test_a_bug_shows_its_traceback_and_how_to_report_it(tmp_path: Path) -> None:
    """A line without the place in the code helps nobody."""
    script = (
        "import bigearth_pipeline.cli.inspect, shards.manifest\n"
        "shards.manifest.Manifest.read = lambda folder: {}['no such field']\n"
        "from bigearth_pipeline.cli import main\n"
        f"main(['inspect', {str(tmp_path)!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 1
    assert "KeyError: 'no such field'" in done.stderr
    assert "This is a bug of bep" in done.stderr.splitlines()[-1]
