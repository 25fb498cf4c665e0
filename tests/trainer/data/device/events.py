"""Stand-ins for a device: events that a test completes, what reads buffers in their order, and counted buffers."""

import threading
from collections.abc import Generator, Iterable

import numpy as np
import torch

from tests.trainer.data.records import NOTHING
from trainer.data.batch import HostBatch
from trainer.data.buffers import Buffers
from trainer.data.device.prepared import Prepared


class Event:
    """An event of a device that completes when the test says so."""

    def __init__(self) -> None:
        self._complete = threading.Event()
        self.waits = 0

    def complete(self) -> None:
        """Complete."""
        self._complete.set()

    def query(self) -> bool:
        """Return whether it is complete."""
        return self._complete.is_set()

    def synchronize(self) -> None:
        """Wait until it is."""
        self.waits += 1
        assert self._complete.wait(30), "the device never came to it"


class Stuck(Event):
    """An event that completes when it is waited for, and not before."""

    def synchronize(self) -> None:
        """Note that it was waited for."""
        assert threading.current_thread().name != "consumer"
        self.waits += 1
        self.complete()


class Device:
    """Reads buffers in their order in a thread of its own, and says whether each was as it had been given."""

    def __init__(self, *, running: bool = True) -> None:
        self._queue: list[tuple[np.ndarray, int, Event]] = []
        self._condition = threading.Condition()
        self._running, self._ended = running, False
        self.wrong: list[tuple[int, int]] = []
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def read(self, buffer: np.ndarray, number: int) -> Event:
        """Queue the reading of a buffer that holds a number."""
        event = Event()
        with self._condition:
            self._queue.append((buffer, number, event))
            self._condition.notify_all()
        return event

    def run(self) -> None:
        """Begin to work."""
        with self._condition:
            self._running = True
            self._condition.notify_all()

    def close(self) -> None:
        """Work all off and end."""
        with self._condition:
            self._running = self._ended = True
            self._condition.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._running and (self._queue or self._ended))
                if not self._queue:
                    return
                buffer, number, event = self._queue.pop(0)
            if (buffer != number).any():
                self.wrong.append((number, int(buffer[0, 0])))
            event.complete()


class Preparation:
    """Prepares nothing: the device reads the host batches. It can hold some back, as DALI does, and fail."""

    def __init__(self, device: Device, *, ahead: int = 0, fail_at: int | None = None) -> None:
        self._device, self._ahead, self._fail_at = device, ahead, fail_at

    def run(self, batches: Iterable[HostBatch]) -> Generator[Prepared, None, None]:
        """Prepare batches in their order."""
        held: list[HostBatch] = []
        for host in batches:
            held.append(host)
            if int(host.rows[0]) == self._fail_at:
                raise RuntimeError("out of memory")
            if len(held) > self._ahead:
                yield self._prepared(held.pop(0))
        while held:
            yield self._prepared(held.pop(0))

    def _prepared(self, host: HostBatch) -> Prepared:
        number = int(host.rows[0])
        return Prepared(host, {"row": torch.tensor(number)}, self._device.read(host.buffer, number))  # type: ignore[arg-type]


class Counted(Buffers):
    """Buffers that know how many of them were made."""

    def __init__(self, *shape: int) -> None:
        super().__init__(shape or (2, 3), np.uint16)
        self.made: dict[int, np.ndarray] = {}

    def take(self) -> np.ndarray:
        """Return a buffer."""
        buffer = super().take()
        self.made[id(buffer)] = buffer
        return buffer

    @property
    def back(self) -> int:
        """Number of them that are given back."""
        return len(self._free) + len(self._pending)


def host_batches(buffers: Buffers, count: int) -> Generator[HostBatch, None, None]:
    """Write batches as the loader's reading thread does: one number each."""
    for number in range(count):
        buffer = buffers.take()
        buffer[:] = number
        yield HostBatch(buffer, np.zeros((2, 19), np.float32), np.full(2, number), np.ones(2, np.bool_), NOTHING)
