"""A bounded queue between two threads that either side can close.

`queue.Queue` has no way to wake a waiting thread for good before Python 3.13; here both ends learn of an end, of an
error of the sender, and of a receiver that has gone.
"""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Finished(Exception):
    """The sender has sent all, or the channel was cancelled."""


class Channel(Generic[T]):
    """Items in the order in which they were put, at most `capacity` of them at a time."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._condition = threading.Condition()
        self._finished = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Append an item; wait while the channel is full.

        Raises:
            Finished: the channel was cancelled.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._finished or len(self._items) < self._capacity)
            if self._finished:
                raise Finished
            self._items.append(item)
            self._condition.notify_all()

    def get(self) -> T:
        """Return the oldest item; wait while there is none.

        Raises:
            Finished: all has been received, or the channel was cancelled.
            BaseException: all has been received, and this is the error that the sender ended with.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._finished or len(self._items) > 0)
            if self._items:
                item = self._items.popleft()
                self._condition.notify_all()
                return item
            if self._error is not None:
                raise self._error
            raise Finished

    def __iter__(self) -> Iterator[T]:
        """Iterate over what is received until `Finished`; the sender's error is raised."""
        while True:
            try:
                item = self.get()
            except Finished:
                return
            yield item

    def finish(self, error: BaseException | None = None) -> None:
        """Say that no item follows; the receiver gets `error` after the items. Only the first call counts."""
        with self._condition:
            if not self._finished:
                self._finished, self._error = True, error
            self._condition.notify_all()

    def cancel(self) -> list[T]:
        """Drop all items and wake both sides with `Finished`; return the items."""
        with self._condition:
            self._finished, self._error = True, None
            dropped = list(self._items)
            self._items.clear()
            self._condition.notify_all()
        return dropped
