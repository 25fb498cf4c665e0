"""One process at a time in a folder, on file systems with and without locks."""

import errno
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from shards.errors import InUse
from shards.storage.atomic import temporary_of
from shards.storage.lock import MARK_SUFFIX, exclusive, is_of_lock
from tests.support.data import faults
from tests.support.paths import ROOT


def _hold_in_rounds(folder: Path, rng: random.Random, code: int, kill: bool) -> None:
    """Hold a lock 25 times in the way of a builder: folder made, locked, folder removed.

    Whoever holds it notes that in a file until it lets go or is killed; to find such a note is a double hold.
    """
    if code:
        faults.without_flock(code)
    if kill:
        link = os.link

        def sometimes_killed(*names: Path) -> None:
            if rng.random() < 0.005:
                os.kill(os.getpid(), signal.SIGKILL)
            link(*names)

        os.link = sometimes_killed
    work, note = folder / "work", folder / "note"
    held = 0
    while held < 25:
        with suppress(FileExistsError):
            work.mkdir()
        try:
            with exclusive(work / "lock", "the folder is in use"):
                if note.exists():
                    (folder / f"double-{os.getpid()}").touch()
                note.touch()
                held += 1
                if rng.random() < 0.5:
                    time.sleep(0.002 * rng.random())
                note.unlink()
                if kill and rng.random() < 0.05:
                    os.kill(os.getpid(), signal.SIGKILL)
        except (InUse, FileNotFoundError):
            continue
        with suppress(OSError):
            work.rmdir()


@pytest.mark.long
@pytest.mark.parametrize(
    ("codes", "kill"),
    [
        pytest.param([0], False, marks=pytest.mark.long),
        ([0], True),
        pytest.param([errno.ENOLCK], False, marks=pytest.mark.long),
        ([errno.EOPNOTSUPP], True),
        pytest.param([errno.ENOSYS], True, marks=pytest.mark.long),
        # Hosts that mount one file system with and without locks.
        ([0, errno.ENOSYS], False),
        pytest.param([0, errno.ENOSYS], True, marks=pytest.mark.long),
    ],
)
def test_never_two_holders(tmp_path: Path, codes: list[int], kill: bool) -> None:
    """Two builders write into one store, for the lock file of one was removed by another, or taken over twice."""
    running: list[int] = []
    endings = []
    for seed in range(12):
        if (child := os.fork()) == 0:
            failed = 1
            try:
                # The last one lives, to see that what the others left keeps nobody out.
                _hold_in_rounds(tmp_path, random.Random(seed), codes[seed % len(codes)], kill and seed < 11)
                failed = 0
            finally:
                os._exit(failed)
        running.append(child)
        while len(running) >= (4 if seed < 11 else 1):
            _, status = os.waitpid(running.pop(0), 0)
            endings.append(os.waitstatus_to_exitcode(status))
    assert not list(tmp_path.glob("double-*"))
    assert set(endings) == ({0, -signal.SIGKILL} if kill else {0})


def _refused(path: Path) -> str:
    with pytest.raises(InUse) as error, exclusive(path, "runs/first is in use by another training"):
        pass
    return str(error.value)


def test_the_holder_is_named(tmp_path: Path) -> None:
    """Nobody knows which process holds a folder."""
    path = tmp_path / "lock"
    with exclusive(path, "x"):
        message = _refused(path)
        assert message == f"runs/first is in use by another training (process {os.getpid()} on {os.uname().nodename})"
    with exclusive(path, "x"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\0" * 10, b"[" * 3000, b"7", b'{"process": {}}', b"x" * 10_000, b'"\xff"'])
def test_what_a_lock_file_says_can_be_anything(tmp_path: Path, content: bytes) -> None:
    """A lock file of another program, or a damaged one, ends in a traceback."""
    path = tmp_path / "lock"
    path.write_bytes(content)
    with exclusive(path, "x"):
        path.write_bytes(content)
        assert _refused(path).startswith("runs/first is in use by another training")


def test_only_a_regular_file_is_locked(tmp_path: Path) -> None:
    """A named pipe under the lock's name is waited for, or the file that a link leads to is emptied."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "link").symlink_to("thesis.tex")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match=r"named pipe|symbolic links"), exclusive(tmp_path / name, "x"):
            pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_forked_child_that_ends_frees_nothing(tmp_path: Path) -> None:
    """A child that leaves the block by an error removes the lock of its parent."""
    path = tmp_path / "lock"
    with ExitStack() as stack:
        stack.enter_context(exclusive(path, "x"))
        if (child := os.fork()) == 0:
            try:
                stack.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert _refused(path)


_WITHOUT = """
import sys
from pathlib import Path
from shards.errors import InUse
from shards.storage.lock import exclusive
from tests.support.data import faults

faults.without_flock(int(sys.argv[2]))
try:
    with exclusive(Path(sys.argv[1]), "store is in use", print):
        print("held")
        if sys.argv[3:]:
            sys.stdin.read()
except InUse as err:
    print(err)
"""


def test_without_locks_a_file_stands_for_one(tmp_path: Path) -> None:
    """A file system without locks ends in a traceback, or lets two builders in."""
    path = tmp_path / "lock"
    mark = tmp_path / f"lock{MARK_SUFFIX}"
    command = [sys.executable, "-c", _WITHOUT, str(path), str(errno.ENOSYS)]

    def once() -> list[str]:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()

    said, held = once()
    assert held == "held"
    assert f"has no locks ({os.strerror(errno.ENOSYS)}): {mark} marks it as in use" in said
    assert list(tmp_path.iterdir()) == []
    holder = subprocess.Popen([*command, "wait"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        while not mark.exists() or not mark.stat().st_size:
            time.sleep(0.005)
        known = f"(process {holder.pid} on {os.uname().nodename})"
        assert once() == [f"store is in use {known}; if that process has ended, delete {mark}"]
    finally:
        holder.kill()
        holder.communicate()
    assert mark.exists()
    assert once()[-1] == "held"
    # A mark of another host is never taken over, for nobody here knows whether its process has ended.
    mark.write_text(json.dumps({"host": "node\x1b[2J7", "process": 1, "started": 1, "machine": "another"}))
    assert once() == [f"store is in use (process 1 on node\x1b[2J7); if that process has ended, delete {mark}"]
    mark.write_text("")
    assert once() == [f"store is in use; if none is running, delete {mark}"]


def test_who_has_locks_and_who_has_none_see_each_other(tmp_path: Path) -> None:
    """Two hosts build one store, for one of them mounts its file system without locks."""
    path = tmp_path / "lock"
    mark = tmp_path / f"lock{MARK_SUFFIX}"
    command = [sys.executable, "-c", _WITHOUT, str(path), str(errno.ENOSYS)]

    def once() -> list[str]:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()

    with exclusive(path, "x"):
        known = f"(process {os.getpid()} on {os.uname().nodename})"
        assert once() == [f"store is in use {known}; if that process has ended, delete {path}"]
        # The lock is still one.
        assert [each.name for each in tmp_path.iterdir()] == ["lock"]
        assert _refused(path).endswith(known)
    holder = subprocess.Popen([*command, "wait"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        while not mark.exists() or not mark.stat().st_size:
            time.sleep(0.005)
        known = f"(process {holder.pid} on {os.uname().nodename})"
        assert _refused(path).endswith(f"{known}; if that process has ended, delete {mark}")
        assert mark.exists()
    finally:
        holder.kill()
        holder.communicate()
    # What a killed process of this machine has left is no holder, and does not stay.
    with exclusive(path, "x"):
        pass
    assert list(tmp_path.iterdir()) == []


_KILLED = """
import os, signal, sys
from pathlib import Path
from shards.errors import InUse
from shards.storage import lock
from tests.support.data import faults

faults.without_flock(38)
where, name = sys.argv[2].split(".")
module = {"lock": lock, "os": os}[where]
real = getattr(module, name)

def killed(*arguments):
    if sys.argv[3] == "after":
        real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(module, name, killed)
with lock.exclusive(Path(sys.argv[1]), "store is in use"):
    pass
"""


@pytest.mark.parametrize(
    ("call", "when"), [("lock._write_holder", "before"), ("os.link", "before"), ("os.link", "after")]
)
def test_a_process_killed_while_it_makes_a_mark_keeps_nobody_out(tmp_path: Path, call: str, when: str) -> None:
    """A mark that is empty yet names nobody, so that no later process can know whether its holder has ended."""
    path = tmp_path / "lock"
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(path), call, when], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert any(temporary_of(each.name) for each in tmp_path.iterdir())
    assert all(is_of_lock(each.name, "lock") for each in tmp_path.iterdir())
    command = [sys.executable, "-c", _WITHOUT, str(path), str(errno.ENOSYS)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[-1] == "held"
    assert list(tmp_path.iterdir()) == []


def _failing(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_where_there_are_no_links_a_mark_is_made_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system with neither locks nor hard links nothing can be built, or two hold one place."""
    monkeypatch.setattr(os, "link", _failing(errno.EPERM))
    monkeypatch.setattr(fcntl, "flock", _failing(errno.ENOSYS))
    path = tmp_path / "lock"
    with exclusive(path, "x"):
        assert json.loads((tmp_path / f"lock{MARK_SUFFIX}").read_text())["process"] == os.getpid()
        assert sorted(each.name for each in tmp_path.iterdir()) == ["lock", f"lock{MARK_SUFFIX}"]
        assert "if that process has ended" in _refused(path)
    assert list(tmp_path.iterdir()) == []
