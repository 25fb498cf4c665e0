"""Output of commands to terminals and pipes, whatever the files hold and whatever these can show."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.display import streams
from bigearth_pipeline.synth.dataset import write_dataset
from shards.metadata.manifest import Manifest
from tests.support.data.building import build_store
from tests.support.running import commands
from tests.support.running.commands.command import ENVIRONMENT

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
    return commands.run(*arguments, text=False, env=ENVIRONMENT | environment)


@pytest.mark.long
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
        ("train {}/store --out {}/run --set run.max_steps=1 --batch-size 8", 0),
        ("bench loader {}/store --repeats 1 --least-seconds 0 --batch-size 8 --patches 8", 0),
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


def call_without(stream: str, *arguments: object, **environment: str) -> tuple[int, list[str]]:
    """Run `bep` with a stdout, or stderr, that takes nothing; return its status and the lines of the other stream."""
    name, _, kind = stream.partition(" ")
    if kind == "full":
        writer = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, writer = os.pipe()
        os.close(reader)
    other = {"stdout": "stderr", "stderr": "stdout"}[name]
    try:
        done = commands.run(
            *arguments, text=False, env=ENVIRONMENT | environment, **{name: writer, other: subprocess.PIPE}
        )
    finally:
        os.close(writer)
    return done.returncode, getattr(done, other).decode().splitlines()


UNWRITTEN = "standard output cannot be written: No space left on device"
KEPT = f"{UNWRITTEN}; the results are in files all the same"


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "status_if_full", "line_if_full"),
    [
        ("--help", 1, UNWRITTEN),
        ("inspect {}/store", 1, UNWRITTEN),
        ("stats {}/store --json", 1, UNWRITTEN),
        ("build-shards {}/data --out {}/store", 0, KEPT),
        ("verify {}/store", 0, KEPT),
    ],
)
def test_a_stdout_that_takes_nothing(hostile: Path, command: str, status_if_full: int, line_if_full: str) -> None:
    """`bep inspect … | head -1` ends early on purpose; a build that a log cannot tell of is no failed build."""
    arguments = [word.replace("{}", str(hostile)) for word in command.split()]
    status, lines = call_without("stdout closed", *arguments)
    assert status == 0
    assert not [line for line in lines if "standard output" in line or "Errno" in line or "Traceback" in line]
    status, lines = call_without("stdout full", *arguments, PYTHONUNBUFFERED="1")
    assert (status, lines[-1]) == (status_if_full, line_if_full)


@pytest.mark.parametrize("kind", ["closed", "full"])
def test_the_verdict_of_verify_outlives_its_output(hostile: Path, tmp_path: Path, kind: str) -> None:
    """A damaged store passes for sound where the log cannot be written."""
    shutil.copytree(hostile / "store", tmp_path / "store")
    (tmp_path / "store" / "index.parquet").write_bytes(b"")
    status, lines = call_without(f"stdout {kind}", "verify", tmp_path / "store")
    assert status == 1
    assert any("problem" in line for line in lines)


@pytest.mark.long
def test_a_training_ends_well_without_output(hostile: Path, tmp_path: Path) -> None:
    """A training of days counts as failed because the log of its results is on a full disk."""
    arguments = ("train", hostile / "store", "--out", tmp_path / "run", "--set", "run.max_steps=1", "--batch-size", 8)
    status, lines = call_without("stdout full", *arguments)
    assert (status, lines[-1]) == (0, KEPT)


@pytest.mark.parametrize("stream", ["stderr closed", "stderr full"])
def test_work_goes_on_where_progress_cannot_be_shown(hostile: Path, stream: str) -> None:
    """A build of hours ends because the terminal, or the log, that shows its progress has gone."""
    status, lines = call_without(stream, "build-shards", hostile / "data", "--out", hostile / "store")
    assert status == 0
    assert any("finished already" in line for line in lines)


def test_a_slow_reader_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output ends in the middle if another program has made the pipe non-blocking."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    taken = bytearray()

    def wait(*streams: object) -> None:
        taken.extend(os.read(reader, 1 << 20))

    monkeypatch.setattr(streams.select, "select", wait)
    with os.fdopen(writer, "w", closefd=False) as stream:
        guard = streams.StandardStream(stream)
    text = "".join(f"{number}\n" for number in range(100_000))
    guard.text.write(text)
    assert guard.finish() is None
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert (taken + pipe.read()).decode() == text


def test_output_of_a_caller_stays_where_it_is(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that calls a command loses what it has put in place of stdout, or the guard stays there."""
    before = sys.stdout, sys.stderr
    with pytest.raises(SystemExit) as ended:
        main(["stats", str(hostile / "store"), "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize(
    ("bug", "shown"),
    [
        ("shards.metadata.manifest.Manifest.read = lambda folder: {}['no such field']", "KeyError: 'no such field'"),
        # Outside of what the command does, and of a class that errors for people derive from.
        (
            "bigearth_pipeline.cli.stores.inspect.inspect.callback = lambda **options: int('x')",
            "ValueError: invalid literal",
        ),
    ],
)
def test_a_bug_shows_its_traceback_and_how_to_report_it(tmp_path: Path, bug: str, shown: str) -> None:
    """A line without the place in the code helps nobody."""
    script = (
        "import bigearth_pipeline.cli.stores.inspect, shards.metadata.manifest\n"
        f"{bug}\n"
        "from bigearth_pipeline.cli import main\n"
        f"main(['inspect', {str(tmp_path)!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 1
    assert shown in done.stderr
    assert "This is a bug of bep" in done.stderr.splitlines()[-1]
