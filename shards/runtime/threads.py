"""Work that the threads of a pool take from one another, item by item."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar

from shards.errors import InvalidValue
from shards.runtime.forks import renew_in_children

T = TypeVar("T")


class Threads:
    """Threads that start with the first work; safe to use from several threads, and in forked processes.

    Attributes:
        count: how many work at a time, the calling one included.
    """

    def __init__(self, count: int, name: str) -> None:
        """Say how many threads there are to be.

        Raises:
            ValueError: fewer than one.
        """
        if count < 1:
            raise InvalidValue(f"{count} threads, expected at least 1")
        self.count = count
        self._name = name
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`: the threads of the pool are those of the parent."""
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def run(self, work: Callable[[Iterator[T]], object], items: Sequence[T]) -> None:
        """Call `work` in every thread with one iterator that all of them take items from; return when all have ended.

        The calling thread is one of them: it begins at once, while the others wake up. Items are taken and not dealt
        out beforehand, so no thread waits for another that was held up. The first error is raised only when no thread
        works any more.
        """
        rest = iter(items)
        futures = self._start(partial(work, rest), min(self.count, len(items)) - 1)
        error: BaseException | None = None
        try:
            work(rest)
        except BaseException as err:
            error = err
        wait(futures)
        if error is None:
            error = next((error for future in futures if (error := future.exception()) is not None), None)
        del futures
        if error is not None:
            try:
                raise error
            finally:
                # An error whose traceback leads back to itself would keep all that its frames hold, such as memory of
                # a closed store, until the next garbage collection.
                del error

    def _start(self, work: Callable[[], object], count: int) -> list[Future[object]]:
        if count < 1:
            return []
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.count - 1, self._name)
            return [self._pool.submit(work) for _ in range(count)]

    def close(self) -> None:
        """Wait for work under way and stop the threads; closing twice is harmless."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)
