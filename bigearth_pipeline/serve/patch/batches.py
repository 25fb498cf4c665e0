"""Values computed in batches of what waits: one thread computes, first the kind that waits longest."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Kind = TypeVar("Kind", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Kind, Item, Result]):
    """Computes items of the same kind together; any thread may use it."""

    def __init__(self, compute: Callable[[Kind, list[Item]], list[Result]], most: int) -> None:
        """Take the work.

        Args:
            compute: takes a kind and items of it, returns a result for each; always called by the same thread.
            most: items of a batch.
        """
        self._compute, self._most = compute, most
        self._lock = threading.Lock()
        self._waiting: list[tuple[Kind, Item, Future[Result]]] = []
        self._thread = ThreadPoolExecutor(1, "batches")

    def begin(self, kind: Kind, item: Item) -> Future[Result]:
        """Return the result of an item once there is one; an error of `compute` is that of all items of the batch."""
        mine: Future[Result] = Future()
        with self._lock:
            self._waiting.append((kind, item, mine))
        self._thread.submit(self._work)
        return mine

    def _work(self) -> None:
        """Compute a batch of the kind that has waited longest; nothing waits where an earlier batch took all."""
        with self._lock:
            if not self._waiting:
                return
            kind = self._waiting[0][0]
            same = [each for each in self._waiting if each[0] == kind]
            # Sizes are powers of two, for libraries prepare (and keep) something for each size.
            size = 1 << (min(len(same), self._most).bit_length() - 1)
            batch = same[:size]
            self._waiting = [each for each in self._waiting if each[0] != kind] + same[size:]
        try:
            found = self._compute(kind, [item for _, item, _ in batch])
        except BaseException as err:
            for _, _, future in batch:
                future.set_exception(err)
            return
        for (_, _, future), result in zip(batch, found, strict=True):
            future.set_result(result)
