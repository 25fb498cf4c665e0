"""Memory of a server under load: what its processes have for themselves, and whether that grows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import psutil

_SHARE: Final = 0.01
"""Rise that counts as none, as a share of the memory."""


def private_mb(pid: int) -> float:
    """Return the memory that a process and those that it has started have for themselves, in MB.

    Pages of files that they map do not count: the system takes them back where it needs memory.
    """
    total = 0.0
    server = psutil.Process(pid)
    for process in (server, *server.children(recursive=True)):
        try:
            memory = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        total += (memory.rss - memory.shared) / 1e6
    return total


@dataclass(frozen=True, slots=True)
class Trend:
    """The line of least squares through samples of memory.

    Attributes:
        begin: its value at the first sample, in MB.
        end: at the last one.
        noise: standard deviation of the samples from it, in MB.
    """

    begin: float
    end: float
    noise: float

    @classmethod
    def of(cls, seconds: Sequence[float], megabytes: Sequence[float]) -> "Trend":
        """Fit the line to samples, at least two."""
        times, values = np.asarray(seconds, np.float64), np.asarray(megabytes, np.float64)
        slope, start = np.polyfit(times, values, 1)
        line = start + slope * times
        return cls(float(line[0]), float(line[-1]), float((values - line).std()))

    @property
    def is_flat(self) -> bool:
        """True if the line rises by no more than twice the noise, or by no more than 1% of the memory."""
        return self.end - self.begin <= max(2 * self.noise, _SHARE * self.begin)

    def figures(self) -> dict[str, Any]:
        """Return the line and what it says, as JSON values."""
        return {
            "memory_begin_mb": round(self.begin, 1),
            "memory_end_mb": round(self.end, 1),
            "memory_noise_mb": round(self.noise, 1),
            "memory_is_flat": self.is_flat,
        }
