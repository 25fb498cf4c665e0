"""Threads that read and predict: as many as may work at a time, each of which reads wherever something is to be read.

Reading in threads of its own would let more threads work than there are cores. A source that waits for its pixels has
the threads at once, while predictions wait in the queue: so the queue does not run empty meanwhile.
"""

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from queue import PriorityQueue
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_Work: TypeAlias = Callable[[], object]
_READ, _PREDICT, _STOP = range(3)
_NAME: Final = "scene"


class SceneThreads:
    """Threads with one queue, from which work that reads is taken first.

    Attributes:
        count: threads.
    """

    def __init__(self, count: int) -> None:
        """Start threads.

        Args:
            count: at least 1.
        """
        self.count = count
        self._queue: PriorityQueue[tuple[int, int, _Work | None]] = PriorityQueue()
        self._numbers = itertools.count()
        self._threads = [threading.Thread(target=self._work, name=f"{_NAME}-{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def read(self, work: Callable[[T], object], items: Sequence[T]) -> None:
        """Call `work` with each item, before all that waits; return when all calls have ended.

        Raises:
            Exception: the first that a call raised, in the order of the items.
        """
        futures: list[Future[object]] = [Future() for _ in items]
        try:
            for future, item in zip(futures, items, strict=True):
                self._submit(_READ, work, item, future)
            wait(futures)
        finally:
            # After an interruption at any moment, what is read must not be closed under a thread.
            wait([future for future in futures if not future.cancel()])
        for future in futures:
            future.result()

    def predict(self, work: Callable[[T], R], item: T) -> "Future[R]":
        """Call `work` with an item when a thread has nothing to read."""
        future: Future[R] = Future()
        self._submit(_PREDICT, work, item, future)
        return future

    def _submit(self, kind: int, work: Callable[[T], R], item: T, future: "Future[R]") -> None:
        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                found = work(item)
            except BaseException as err:
                future.set_exception(err)
            else:
                future.set_result(found)

        self._queue.put((kind, next(self._numbers), call))

    def _work(self) -> None:
        while (call := self._queue.get()[2]) is not None:
            call()
            del call

    def close(self) -> None:
        """Wait until all work is done and stop the threads; closing twice is harmless."""
        threads, self._threads = self._threads, []
        for _ in threads:
            self._queue.put((_STOP, next(self._numbers), None))
        for thread in threads:
            thread.join()

    def __enter__(self) -> "SceneThreads":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
