"""Tasks on a Dask cluster."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.workers import Limits, Shared, open_cluster, stall
from bigearth_pipeline.workers.checks import terms_of
from tests.support.data.building import Recorder
from tests.support.paths import ROOT
from tests.support.running.clusters import bare_scheduler, worker

QUICK = Limits(answer_seconds=2, notice_seconds=1, stall_seconds=3)
# On a machine whose cores are busy an honest worker takes seconds to answer.
PATIENT = Limits(answer_seconds=60, notice_seconds=30, stall_seconds=120)
# The same with a look at the clock every second; for tests in which it is put forward.
WATCHFUL = Limits(answer_seconds=60, notice_seconds=1, stall_seconds=120)


def report(item: int, factor: int, progress: Callable[[int], None]) -> int:
    progress(item)
    return factor * item


def dawdle(item: int, seconds: float, progress: Callable[[int], None]) -> int:
    progress(1)
    time.sleep(seconds)
    return item


class Clock:
    """A clock that tests put forward.

    Attributes:
        ahead: seconds that it is ahead of the system's.
        step: seconds that it is put forward by each look at it.
    """

    ahead = step = 0.0

    def monotonic(self) -> float:
        """Return the time in seconds."""
        self.ahead += self.step
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which a cluster tells whether anything moves; limits can be as long as on a busy machine."""
    clock = Clock()
    monkeypatch.setattr(stall, "time", clock)
    return clock


def test_results_and_progress_belong_to_their_build(scheduler: str) -> None:
    """Two builds on one scheduler count each other's patches, or get each other's results."""
    first, second = Recorder(), Recorder()
    with open_cluster(1, scheduler, first) as one, open_cluster(1, scheduler, second) as two:
        assert dict(one.map(report, range(1, 20), 2)) == {item: 2 * item for item in range(1, 20)}
        assert dict(two.map(report, [100], 3)) == {100: 300}
        deadline = time.monotonic() + 120
        while (len(first.counts) < 19 or not second.counts) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sorted(first.counts) == list(range(1, 20))
        assert second.counts == [100]


def test_nothing_to_do_is_done_at_once(scheduler: str) -> None:
    """A build whose shards are all there waits for ever."""
    with open_cluster(1, scheduler) as cluster:
        assert list(cluster.map(report, [], 2)) == []


@contextmanager
def _silent_socket() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def _web_server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _greeter() -> Iterator[str]:
    """A server that says a few bytes and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                    connection.close()

        threading.Thread(target=greet, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def _closed_port() -> Iterator[str]:
    yield "tcp://127.0.0.1:9"


@contextmanager
def _unknown_host() -> Iterator[str]:
    yield "tcp://no-such-host.invalid:8786"


@contextmanager
def _no_workers() -> Iterator[str]:
    with bare_scheduler() as address:
        yield address


@pytest.mark.long
@pytest.mark.parametrize("address", [_silent_socket, _web_server, _greeter, _closed_port, _unknown_host, _no_workers])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_address_that_is_of_no_use(address: Callable[[], "contextmanager[str]"]) -> None:
    """An address without a scheduler is waited for without end, or ends in a traceback of Dask."""
    with address() as name:
        started = time.monotonic()
        with pytest.raises(PipelineError, match=name), open_cluster(1, name, limits=QUICK):
            pass
        assert time.monotonic() - started < 120


@pytest.mark.parametrize("address", ["tls://127.0.0.1:1", "wss://127.0.0.1:1"])
def test_an_address_of_tls_without_settings(address: str) -> None:
    """Settings that are missing here pass for a fault of the scheduler, which nobody has asked."""
    with (
        pytest.raises(PipelineError, match="needs TLS, and Dask has no settings of it here") as caught,
        open_cluster(1, address),
    ):
        pass
    assert "distributed.comm.tls.ca-file" in str(caught.value)
    variables = re.findall(r"DASK_[A-Z_]+", str(caught.value))
    # Dask itself knows the names.
    found = dask.config.collect_env(dict.fromkeys(variables, "x"))["distributed"]["comm"]["tls"]
    assert {name.replace("_", "-") for name in found} == {"ca-file", "client"}
    assert found["client"] == {"cert": "x", "key": "x"}
    for name in ("ca-file", "client.cert", "client.key"):
        assert dask.config.get(f"distributed.comm.tls.{name}", default="unknown") != "unknown"


def test_settings_of_tls_that_cannot_be_used(tmp_path: Path) -> None:
    """A certificate that is absent passes for a scheduler that cannot be reached."""
    (tmp_path / "damaged.pem").write_text("no certificate")
    for file in ("absent.pem", "damaged.pem"):
        names = {f"distributed.comm.tls.{name}": str(tmp_path / file) for name in ("ca-file", "client.cert")}
        with dask.config.set(names), pytest.raises(PipelineError, match=r"settings of TLS.* cannot be used here"):  # noqa: SIM117
            with open_cluster(1, "tls://127.0.0.1:1"):
                pass


def test_the_address_of_a_worker(scheduler: str) -> None:
    """A worker's address, which is in the same log as the scheduler's, is taken for one."""
    with Client(scheduler, set_as_default=False) as client:
        address = next(iter(client.scheduler_info(n_workers=-1)["workers"]))
    with pytest.raises(PipelineError, match="is the address of a Dask Worker"), open_cluster(1, address):
        pass


def _without_package(folder: Path) -> str:
    (folder / "bigearth_pipeline.py").touch()
    return "cannot run this version of bep"


def _of_other_code(folder: Path) -> str:
    for package in ("bigearth_pipeline", "shards"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with open(folder / "shards" / "codec" / "registry.py", "a") as file:
        file.write("# Another release.\n")
    return "code of bep is"


def _of_other_numpy(folder: Path) -> str:
    (folder / "numpy-1.26.4.dist-info").mkdir()
    (folder / "numpy-1.26.4.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.26.4\n")
    return "numpy is 1.26.4 there"


@pytest.mark.parametrize("environment", [_without_package, _of_other_code, _of_other_numpy])
def test_workers_of_another_environment_are_refused(environment: Callable[[Path], str], tmp_path: Path) -> None:
    """Workers elsewhere write other bytes, or leave a build waiting for ever."""
    expected = environment(tmp_path)
    with (
        bare_scheduler() as scheduler,
        worker(scheduler, first_on_path=tmp_path),
        pytest.raises(PipelineError, match=rf"^worker tcp://127.0.0.1:\d+ .*{expected}"),
        open_cluster(1, scheduler, limits=PATIENT),
    ):
        pass


def test_a_worker_that_comes_later_is_checked(tmp_path: Path) -> None:
    """Workers that join a running build are taken as they are."""
    expected = _of_other_numpy(tmp_path)
    with bare_scheduler() as scheduler, worker(scheduler), open_cluster(1, scheduler, limits=PATIENT) as cluster:
        results = cluster.map(dawdle, range(1000), 0.1)
        next(results)
        with (
            worker(scheduler, first_on_path=tmp_path, wait_for=2),
            pytest.raises(PipelineError, match=expected),
        ):
            list(results)


def test_a_worker_that_does_not_see_the_paths(tmp_path: Path) -> None:
    """A worker of another host writes shards to its own disk, or calls every patch bad."""
    hidden = tmp_path / "store"
    hidden.mkdir()
    mount = ("unshare", "-m", "sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "sh")
    if subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    with bare_scheduler() as scheduler, worker(scheduler, prefix=mount):
        with (
            pytest.raises(PipelineError, match=rf"^worker tcp://.* does not see what is in {hidden}"),
            open_cluster(1, scheduler, shared=Shared(hidden), limits=PATIENT),
        ):
            pass
        assert not list(hidden.iterdir())
        (hidden / "patch").mkdir()
        with (
            pytest.raises(PipelineError, match=f"does not see the source folder {hidden / 'patch'}"),
            open_cluster(1, scheduler, shared=Shared(tmp_path, (str(hidden / "patch"),)), limits=PATIENT),
        ):
            pass
        # It sees others.
        with open_cluster(1, scheduler, shared=Shared(tmp_path, (str(tmp_path),)), limits=PATIENT) as cluster:
            assert dict(cluster.map(report, [1], 2)) == {1: 2}
        assert not list(tmp_path.glob(".*.part"))


def fill(item: int, file: Path, progress: Callable[[int], None]) -> None:
    with open(file, "wb", buffering=0) as out:
        while out.write(bytes(4096)):
            pass


def test_a_full_disk_is_not_the_fault_of_a_worker(tmp_path: Path) -> None:
    """Workers are called unfit when the disk is full in the middle of a build, or a temporary file stays."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        with (
            bare_scheduler() as scheduler,
            worker(scheduler),
            open_cluster(1, scheduler, shared=Shared(disk), limits=PATIENT) as cluster,
        ):
            with pytest.raises(OSError, match="No space left on device"):
                list(cluster.map(fill, [0], disk / "full"))
            with pytest.raises(OSError, match="No space left on device"), terms_of(Shared(disk)):
                pass
            assert len(list(disk.glob("*.part"))) == 1, "that of the driver"
        assert [path.name for path in disk.iterdir()] == ["full"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_stopped_worker_is_named(clock: Clock) -> None:
    """A worker that does not answer is waited for without end, when a build starts and in the middle of it."""
    with bare_scheduler() as scheduler, worker(scheduler) as process:
        progress = Recorder()
        with open_cluster(1, scheduler, progress, limits=WATCHFUL) as cluster:
            results = cluster.map(dawdle, range(9), 0.01)
            next(results)
            process.send_signal(signal.SIGSTOP)
            clock.step = 20.0
            with pytest.raises(PipelineError, match=r"^no patch done for \d+ s; worker tcp://.* last seen \d+ s ago"):
                list(results)
        assert progress.lines
        assert re.match(r"no patch done for \d+ s; worker tcp://127\.0\.0\.1:", progress.lines[0])
        with (
            pytest.raises(PipelineError, match=r"^worker tcp://127.0.0.1:\d+ does not answer within 2 s"),
            open_cluster(1, scheduler, limits=QUICK),
        ):
            pass


def test_the_only_worker_is_lost(clock: Clock) -> None:
    """A build whose workers are all gone waits for ever."""
    with (
        bare_scheduler() as scheduler,
        worker(scheduler) as process,
        open_cluster(1, scheduler, limits=WATCHFUL) as cluster,
    ):
        results = cluster.map(dawdle, range(9), 0.01)
        next(results)
        process.kill()
        with Client(scheduler, set_as_default=False) as client:
            while client.scheduler_info(n_workers=-1)["workers"]:
                time.sleep(0.01)
        clock.step = 20.0
        with pytest.raises(PipelineError, match="no worker is connected to the scheduler"):
            list(results)


def after(item: int, mark: Path, progress: Callable[[int], None]) -> int:
    """Do the first item at once, and each other a moment after a file is there."""
    while item and not mark.exists():
        time.sleep(0.01)
    time.sleep(1.5 if item else 0)  # Longer than the driver waits between two looks at the clock.
    return item


def test_time_that_the_driver_takes_is_no_stall(scheduler: str, clock: Clock, tmp_path: Path) -> None:
    """A driver that is slow to take results ends its own build."""
    with open_cluster(1, scheduler, limits=PATIENT) as cluster:
        results = cluster.map(after, range(2), tmp_path / "mark")
        next(results)
        clock.ahead += 1000
        (tmp_path / "mark").touch()
        assert list(results) == [(1, 1)]


@pytest.mark.long
def test_a_stopped_local_worker_ends_the_command(clock: Clock) -> None:
    """Processes that are stopped hold a command, and stay behind."""
    before = _workers()
    with open_cluster(1, limits=WATCHFUL) as cluster:
        results = cluster.map(dawdle, range(9), 0.01)
        next(results)
        (process,) = _workers() - before
        process.suspend()
        clock.step = 20.0
        with pytest.raises(PipelineError, match=r"^no patch done for \d+ s; worker tcp://.* last seen"):
            list(results)
    assert not process.is_running()


def _workers() -> set[psutil.Process]:
    """Return the workers that this process has started: those that listen."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if child.net_connections("tcp"):
                found.add(child)
    return found


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
    before = _workers()
    with (
        dask.config.set({"distributed.worker.preload": [str(script)]}),
        pytest.raises(PipelineError, match=f"ended while it started, 3 times; the last time {reason}"),
        open_cluster(1),
    ):
        pass
    assert capfd.readouterr().err == ""
    assert _workers() <= before


SCRIPT = """
import sys
from pathlib import Path
from bigearth_pipeline.{module} import {function}
print("started", flush=True)
{call}
"""


@pytest.mark.parametrize("what", ["build", "verify"])
def test_a_script_without_a_guard(what: str, scene_tree: Path, tar_store: Path, tmp_path: Path) -> None:
    """A script that builds at its top level starts itself again in each worker, with a traceback from each."""
    if what == "build":
        call = (
            "from bigearth_pipeline.build.config import BuildConfig\nfrom tests.support.data.building import Recorder\n"
            f"build(BuildConfig(sources=(Path({str(scene_tree)!r}),), out=Path({str(tmp_path / 's')!r})), "
            "workers=2, scheduler=None, progress=Recorder())"
        )
        text = SCRIPT.format(module="build.run", function="build", call=call)
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
        "from tests.bigearth_pipeline.workers.test_workers import report\n"
        'if __name__ == "__main__":\n    with open_cluster(1) as cluster:\n'
        "        print(dict(cluster.map(report, [1], 2)))\n"
    )
    run = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (run.stdout, run.stderr) == ("{1: 2}\n", "")
