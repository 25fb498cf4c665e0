"""Worker processes of this machine."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

import dask
import distributed  # noqa: F401 (`dask.config.set` would take its settings away again if it were not imported yet)
import pytest

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.workers import open_cluster
from tests.bigearth_pipeline.workers.support import report, workers_of_this_process
from tests.support.paths import ROOT


def test_a_worker_that_dies_as_it_starts_is_started_again(tmp_path: Path) -> None:
    """One worker that the system kills while it starts ends the command with 65 lines."""
    script = tmp_path / "die_once.py"
    script.write_text(
        f"import os, pathlib\nmark = pathlib.Path({str(tmp_path / 'mark')!r})\n"
        "if not mark.exists():\n    mark.touch()\n    os.kill(os.getpid(), 9)\n"
    )
    with dask.config.set({"distributed.worker.preload": [str(script)]}), open_cluster(2) as cluster:
        assert dict(cluster.map(report, [1, 2, 3], 2)) == {1: 2, 2: 4, 3: 6}
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "it was ended by SIGKILL; lack of memory is the usual cause"),
        ("import os; os._exit(7)", "it ended with exit status 7"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_workers_that_cannot_start_are_one_line(
    code: str, reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Workers that always die while they start are started for ever, or end in tracebacks."""
    script = tmp_path / "die.py"
    script.write_text(code)
    before = workers_of_this_process()
    with (
        dask.config.set({"distributed.worker.preload": [str(script)]}),
        pytest.raises(PipelineError, match=f"ended while it started, 3 times; the last time {reason}"),
        open_cluster(1),
    ):
        pass
    assert capfd.readouterr().err == ""
    assert workers_of_this_process() <= before


@contextmanager
def killed_forkserver(times: int) -> Iterator[None]:
    """Kill the process that workers are forked from as often as that, each time as soon as it is there."""
    ended = threading.Event()

    def kill() -> None:
        seen = {forkserver._forkserver._forkserver_pid}  # type: ignore[attr-defined]
        while not ended.is_set() and len(seen) <= times:
            if (pid := forkserver._forkserver._forkserver_pid) not in seen:  # type: ignore[attr-defined]
                seen.add(pid)
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)

    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_the_process_that_workers_are_forked_from_is_started_again() -> None:
    """A machine without memory kills it, and the command ends in "Aborted!"."""
    with killed_forkserver(2), open_cluster(1) as cluster:
        assert dict(cluster.map(report, [1], 2)) == {1: 2}


def test_a_process_to_fork_from_that_takes_long_to_die_is_started_again() -> None:
    """On a busy machine one that was killed refuses connections before it has ended: each counts as another death."""
    forkserver.ensure_running()
    server = forkserver._forkserver  # type: ignore[attr-defined]
    server._forkserver_address = f"\0bep-nobody-listens-{os.getpid()}"
    ending = threading.Timer(1.0, os.kill, (server._forkserver_pid, signal.SIGKILL))
    ending.start()
    with open_cluster(1) as cluster:
        assert dict(cluster.map(report, [1], 2)) == {1: 2}
    ending.join()


def test_a_process_to_fork_from_that_always_dies_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """The same on a machine without any memory left."""
    before = workers_of_this_process()
    match = "forked from ended 3 times while a worker started; lack of memory is the usual cause"
    with killed_forkserver(1000), pytest.raises(PipelineError, match=match), open_cluster(1):
        pass
    assert workers_of_this_process() <= before


@pytest.mark.long
def test_a_limit_of_open_files_is_one_line(scene_tree: Path, tmp_path: Path) -> None:
    """The scheduler has no file left for a connection, and after half a minute 110 lines say nothing of that."""
    command = [sys.executable, "-m", "bigearth_pipeline", "build-shards", str(scene_tree), "--out", str(tmp_path / "s")]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 20 && exec "$@"', "sh", *command], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "open files" in done.stderr.splitlines()[-1]


def leave_mark(folder: Path) -> None:
    (folder / str(os.getpid())).touch()


def leave_mark_and_fail(folder: Path) -> None:
    leave_mark(folder)
    raise ImportError("no such library")


@pytest.mark.parametrize("prepare", [leave_mark, leave_mark_and_fail])
def test_each_worker_prepares(
    prepare: Callable[[Path], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A worker does not load what its tasks will need, or one that cannot does no work, or prints a traceback."""
    with open_cluster(2, prepare=partial(prepare, tmp_path)) as cluster:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert dict(cluster.map(report, [1, 2, 3], 2)) == {1: 2, 2: 4, 3: 6}
    assert len(list(tmp_path.iterdir())) == 2
    assert capfd.readouterr().err == ""


def die(item: int, progress: Callable[[int], None]) -> None:
    os._exit(7)


def test_a_task_that_ends_its_worker_each_time_is_one_line() -> None:
    """A shard that no worker survives is tried for ever, or the message names no worker."""
    with (
        pytest.raises(PipelineError, match=r"^workers died repeatedly in one task \(last tcp://127\.0\.0\.1:\d+\);"),
        open_cluster(1) as cluster,
    ):
        list(cluster.map(die, [1]))


SCRIPT = """
import sys
from collections.abc import Callable
from pathlib import Path
from bigearth_pipeline.{module} import {function}
print("started", flush=True)
{call}
"""


@pytest.mark.parametrize("what", ["build", "verify", "synth"])
def test_a_script_without_a_guard(what: str, scene_tree: Path, tar_store: Path, tmp_path: Path) -> None:
    """A script that works at its top level starts itself again in each worker, with a traceback from each."""
    if what == "build":
        call = (
            "from bigearth_pipeline.build.config import BuildConfig\nfrom tests.support.data.building import Recorder\n"
            f"build(BuildConfig(sources=(Path({str(scene_tree)!r}),), out=Path({str(tmp_path / 's')!r})), "
            "workers=2, scheduler=None, progress=Recorder())"
        )
        text = SCRIPT.format(module="build.run", function="build", call=call)
    elif what == "synth":
        call = f"write_dataset(Path({str(tmp_path / 'data')!r}), layout='v2', patches=300, workers=2)"
        text = SCRIPT.format(module="synth.dataset", function="write_dataset", call=call)
    else:
        text = SCRIPT.format(
            module="verify.store", function="verify_store", call=f"verify_store(Path({str(tar_store)!r}), workers=2)"
        )
    script = tmp_path / "script.py"
    script.write_text(text)
    run = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr.count("Traceback") == 1
    assert run.stderr.splitlines()[-1].startswith("bigearth_pipeline.errors.PipelineError: the script builds")
    assert '`if __name__ == "__main__":`' in run.stderr


def test_local_workers_run_the_code_of_their_driver(tmp_path: Path) -> None:
    """Modules in the current folder take the place of those that the command itself has imported."""
    (tmp_path / "distributed.py").write_text("raise SystemExit('the wrong module')")
    for package in ("bigearth_pipeline", "shards"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('the wrong package')")
    script = tmp_path / "scripts" / "script.py"
    script.parent.mkdir()
    script.write_text(
        "from bigearth_pipeline.workers import open_cluster\n"
        "from tests.bigearth_pipeline.workers.support import report\n"
        'if __name__ == "__main__":\n    with open_cluster(1) as cluster:\n'
        "        print(dict(cluster.map(report, [1], 2)))\n"
    )
    run = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (run.stdout, run.stderr) == ("{1: 2}\n", "")
