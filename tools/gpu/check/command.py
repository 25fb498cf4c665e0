"""Commands in processes of their own, within a time limit."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.gpu.check.execute import StepFailed

ROOT: Final = Path(__file__).resolve().parents[3]
BEP: Final = ("-m", "bigearth_pipeline")


@dataclass(frozen=True)
class Deadline:
    """When a step must have ended.

    Attributes:
        seconds: that the step may take.
        end: by `time.monotonic`.
    """

    seconds: float
    end: float

    @classmethod
    def within(cls, seconds: float) -> "Deadline":
        """Return the deadline of a step that begins now."""
        return cls(seconds, time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until then, at least 0."""
        return max(0.0, self.end - time.monotonic())

    def check(self) -> None:
        """Raise if it is over.

        Raises:
            StepFailed: it is.
        """
        if not self.left:
            raise StepFailed(f"not done within {self.seconds:.0f} s")


@contextlib.contextmanager
def started(arguments: Sequence[Any], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Start Python with arguments, in the repository's root; at the end it and all its children are killed.

    Args:
        arguments: of the interpreter that runs this program.
        log: file to which its error output is appended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a") as file:
        file.write(f"$ python {' '.join(map(str, arguments))}\n")
        file.flush()
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def call(arguments: Sequence[Any], log: Path, deadline: Deadline, allowed: Sequence[int] = (0,)) -> str:
    """Run Python with arguments and return what it prints.

    Args:
        arguments: of the interpreter.
        log: file to which its error output is appended.
        deadline: when it is killed.
        allowed: exit statuses that are no failure.

    Raises:
        StepFailed: it ends with another status, or not in time.
    """
    with started(arguments, log) as process:
        try:
            out, _ = process.communicate(timeout=deadline.left)
        except subprocess.TimeoutExpired:
            raise StepFailed(f"not done within {deadline.seconds:.0f} s, see {log.name}") from None
        status = process.returncode
    if status not in allowed:
        raise StepFailed(f"exit status {status}: {last_line(log)}")
    return out


def last_line(log: Path) -> str:
    """Return the last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")
