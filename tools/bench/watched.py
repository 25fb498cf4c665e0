"""Commands whose memory and open files are sampled while they run."""

import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import psutil

_INTERVAL: Final = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """A command at one moment.

    Attributes:
        seconds: since it started.
        driver_mb: memory that its own process has for itself, in MB.
        child_mb: the same, of the largest of the processes that it has started; 0 without any.
        open_files: descriptors of all of them.
    """

    seconds: float
    driver_mb: float
    child_mb: float
    open_files: int


@dataclass(frozen=True, slots=True)
class Watched:
    """A command that has ended.

    Attributes:
        output: that it printed on stdout.
        seconds: that it took.
        samples: one for about every 0.1 s.
    """

    output: str
    seconds: float
    samples: tuple[Sample, ...]

    @property
    def peak_mb(self) -> float:
        """The most memory that one of its processes had for itself, in MB."""
        return max((max(sample.driver_mb, sample.child_mb) for sample in self.samples), default=0.0)

    def figures(self) -> dict[str, Any]:
        """Return its peaks, and the medians of each quarter of its time, which show what grows."""
        quarters: list[list[Sample]] = [[] for _ in range(4)]
        for sample in self.samples:
            quarters[min(int(4 * sample.seconds / self.seconds), 3)].append(sample)
        names = ("driver_mb", "child_mb", "open_files")
        return {
            "seconds": self.seconds,
            "peak": {name: round(max(getattr(sample, name) for sample in self.samples), 1) for name in names},
            "median_by_quarter": {
                name: [round(median(getattr(sample, name) for sample in quarter), 1) for quarter in quarters if quarter]
                for name in names
            },
        }


def watch(command: Sequence[str] | str, **options: Any) -> Watched:
    """Run a command to its end.

    Args:
        command: for `subprocess.Popen`.
        options: likewise.

    Raises:
        SystemExit: it fails; with what it printed on stderr.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    samples: list[Sample] = []
    ended = threading.Event()
    watcher = threading.Thread(target=_sample, args=(process.pid, begin, samples, ended), daemon=True)
    watcher.start()
    try:
        output, errors = process.communicate()
    finally:
        process.kill()
        ended.set()
    seconds = time.perf_counter() - begin
    watcher.join()
    if process.returncode:
        raise SystemExit(errors)
    return Watched(output, seconds, tuple(samples))


def _sample(pid: int, begin: float, samples: list[Sample], ended: threading.Event) -> None:
    while not ended.wait(_INTERVAL):
        try:
            root = psutil.Process(pid)
            driver, files = _look(root)
            children = [_look(child) for child in root.children(recursive=True)]
        except psutil.Error:
            continue
        largest = max((memory for memory, _ in children), default=0.0)
        samples.append(Sample(time.perf_counter() - begin, driver, largest, files + sum(n for _, n in children)))


def _look(process: psutil.Process) -> tuple[float, int]:
    """Return the memory of a process for itself, in MB, and the number of its open files."""
    memory = process.memory_info()
    return (memory.rss - memory.shared) / 1e6, process.num_fds()
