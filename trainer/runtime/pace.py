"""Means to keep the host in step: with the device, and with signals."""

from collections import deque
from typing import Final

import torch

from trainer.runtime.progress import EpochReport, StepReport
from trainer.runtime.ranks import Ranks
from trainer.runtime.stop import Stop

STEPS_AHEAD: Final = 2
"""Steps that the host may be ahead of a GPU: enough to keep it busy, few enough that waiting for the loader shows."""


class BrokenOff(Exception):
    """An evaluation was broken off by a signal."""


class Breaker:
    """Breaks an evaluation off when a signal has come; training stops between steps of its own accord."""

    def __init__(self, stop: Stop, ranks: Ranks) -> None:
        # Several ranks finish it together: each would wait for the results of the others.
        self._stop = stop if ranks.num_ranks == 1 else None

    def step(self, report: StepReport) -> None:
        """Raise if a signal has come."""
        if self._stop is not None and self._stop.signalled and report.phase.split != "train":
            raise BrokenOff

    def epoch(self, report: EpochReport) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""


class HostAhead:
    """Keeps the host at most `STEPS_AHEAD` steps ahead of a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._events: deque[torch.cuda.Event] | None = deque() if device.type == "cuda" else None

    def wait(self) -> None:
        """Call it after each step."""
        if self._events is None:
            return
        event = torch.cuda.Event()
        event.record()
        self._events.append(event)
        if len(self._events) > STEPS_AHEAD:
            self._events.popleft().synchronize()

    def wait_for_all(self) -> None:
        """Wait until the device has done all steps so far."""
        if self._events:
            self._events[-1].synchronize()
            self._events.clear()
