"""Commands that are forked from a process that has imported the libraries, beside those of a new interpreter."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.running import commands
from tests.support.running.commands.command import ENVIRONMENT


@pytest.mark.parametrize(
    ("words", "status"),
    [("--version", 0), ("inspect absent", 1), ("inspect", 2), ("train absent --out run", 1), ("runs made", 0)],
)
def test_a_fork_does_what_an_interpreter_does(tmp_path: Path, words: str, status: int) -> None:
    """Status, streams or working folder of a fork are others, so that tests of commands show nothing."""
    (tmp_path / "made").mkdir()
    told = [commands.run(*words.split(), cwd=tmp_path, fresh=fresh) for fresh in (True, False)]
    assert [each.returncode for each in told] == [status, status]
    assert told[0].stdout == told[1].stdout
    assert told[0].stderr == told[1].stderr
    assert told[0].stdout + told[0].stderr


def test_a_fork_is_the_process_that_is_named(tmp_path: Path) -> None:
    """A signal hits another process, or what ended a command is not told."""
    os.mkfifo(tmp_path / "fifo")
    command = commands.start("train", "--config", tmp_path / "fifo")  # It waits for someone who writes.
    assert isinstance(command, commands.Command)
    assert command.poll() is None
    assert Path(f"/proc/{command.pid}/cwd").resolve() == Path.cwd()
    command.kill()
    assert command.communicate(timeout=60) == ("", "")
    assert command.returncode == -signal.SIGKILL


def test_variables_that_libraries_read_start_an_interpreter() -> None:
    """A variable that is read while libraries are imported would change nothing in a fork."""
    command = commands.start("--version", env=ENVIRONMENT | {"HF_HUB_OFFLINE": "1"})
    assert not isinstance(command, commands.Command)
    assert command.communicate(timeout=60)[0].startswith("bep, version")
