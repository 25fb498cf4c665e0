"""The command that writes a synthetic dataset: wrong arguments, places, interrupts, and what it says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli.stores.synth import synth
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.progress import Silent
from bigearth_pipeline.synth.dataset import write_dataset
from bigearth_pipeline.synth.plan import MAX_PATCHES
from bigearth_pipeline.synth.tables import MAIN_TABLE


def ends_within(seconds: float, group: int) -> bool:
    """Tell whether the last process of a group ends within a time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)  # Signal 0 only asks.
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patches": 0}, "patches is 0, expected 1"),
        ({"patches": MAX_PATCHES + 1}, f"expected 1 to {MAX_PATCHES}"),
        ({"layout": "v3"}, "layout is 'v3', expected one of v1, v2"),
        ({"seed": -1}, "seed is -1, expected 0"),
        ({"workers": 0}, "workers is 0, expected 1"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """A wrong argument leads to a half-written directory or to an error that does not name it."""
    arguments: dict[str, Any] = {"patches": 4, "layout": "v2", "seed": 0, "workers": 1}
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "out", **(arguments | change))
    assert not (tmp_path / "out").exists()


def test_planning_is_said_and_comes_after_the_checks(tmp_path: Path) -> None:
    """Nothing is printed while a large dataset is planned, or a folder is refused only after that."""
    said: list[str] = []

    class Noted(Silent):
        def say(self, text: str) -> None:
            said.append(text)

        def start(self, total: int, done: int) -> None:
            said.append(f"{total} to draw")

    write_dataset(tmp_path / "new", patches=2, layout="v2", workers=1, progress=Noted())
    assert said == ["planning 2 patches", "2 to draw"]
    with pytest.raises(PipelineError, match="is not empty"):
        write_dataset(tmp_path / "new", patches=2, layout="v2", progress=Noted())
    assert len(said) == 2


def test_a_directory_that_holds_something_is_refused(tmp_path: Path) -> None:
    """Synthetic patches get mixed into a real dataset."""
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match="is not empty"):
        write_dataset(tmp_path, patches=1, layout="v2")
    result = CliRunner().invoke(synth, ["--out", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"Error: {tmp_path} is not empty; give a new or an empty directory"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("make", [lambda path: path.touch(), lambda path: path.symlink_to("/dev/null/x")])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A user sees a traceback for a wrong path."""
    make(tmp_path / "taken")
    result = CliRunner().invoke(synth, ["--out", str(tmp_path / "taken" / "out"), "--patches", "1"])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"Error: {tmp_path / 'taken'}")


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    """The user has to look up the next command, or cannot see that all is written."""
    out = tmp_path / "big earth net"
    result = CliRunner().invoke(synth, ["--out", str(out), "--patches", "3", "--layout", "v1", "--workers", "1"])
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{out}: 3 patches in layout v1, 0.5 MB")
    # As a shell takes it, for the folder has blanks in its name.
    assert second == f"next: bep build-shards '{out}' --out '{out}-shards'"
    assert CliRunner().invoke(synth, ["--out", str(out), "--patches", "0"]).exit_code == 2


def test_an_interrupt_leaves_no_process_and_no_table(tmp_path: Path) -> None:
    """After Ctrl-C workers go on writing, or the directory looks complete."""
    code = "from bigearth_pipeline.cli.stores.synth import synth\nif __name__ == '__main__':\n    synth()\n"
    (tmp_path / "run.py").write_text(code)
    out = tmp_path / "out"
    command = [sys.executable, str(tmp_path / "run.py"), "--out", str(out), "--patches", "20000", "--workers", "2"]
    # In a group of its own, which gets the signal as a whole, as from a terminal.
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while process.poll() is None and not any(out.rglob("*.tif")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[2:] == [f"interrupted: {out} is incomplete; delete it before another try"]
    assert not (out / MAIN_TABLE).exists()
    # The helper that Python starts beside spawned processes ends by itself, a moment later.
    assert ends_within(60, process.pid)


def test_an_interrupt_before_the_first_file_names_no_folder(tmp_path: Path) -> None:
    """A user is asked to delete a folder that is not there."""
    code = "from bigearth_pipeline.cli.stores.synth import synth\nsynth()\n"
    out = tmp_path / "out"
    # Planning comes before the first file, and takes ten seconds and more.
    command = [sys.executable, "-c", code, "--out", str(out), "--patches", "170000"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "planning 170,000 patches\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.split() == ["interrupted"]
    assert not out.exists()


def test_a_killed_group_leaves_nothing_in_memory(tmp_path: Path) -> None:
    """A batch system that kills all processes at once leaves semaphores in /dev/shm until the machine starts again."""
    code = "from bigearth_pipeline.cli.stores.synth import synth\nif __name__ == '__main__':\n    synth()\n"
    (tmp_path / "run.py").write_text(code)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py"), "--out", str(out), "--patches", "20000", "--workers", "2"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while process.poll() is None and not any(out.rglob("*.tif")):
        time.sleep(0.05)
    mapped = Path(f"/proc/{process.pid}/maps").read_text()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    # Of that process alone: others of this machine may have semaphores of their own.
    assert "/dev/shm/sem." not in mapped


def test_the_command_imports_nothing_heavy() -> None:
    """`bep --help` takes long because a command module imports numpy or rasterio."""
    code = "import sys, bigearth_pipeline.cli.stores.synth; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "rasterio", "rich", "pyarrow", "multiprocessing"} & set(result.stdout.split())
