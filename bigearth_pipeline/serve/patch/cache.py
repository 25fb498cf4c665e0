"""A bounded cache whose values are computed once, also where several threads ask for one at a time."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """Values by key, the least recently used of which are forgotten; any thread may use it.

    An error is not kept: the next caller tries again.
    """

    def __init__(self, most: int) -> None:
        """Take the number of values that are kept."""
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        # Apart from the values, for a future takes 1.6 KB.
        self._pending: dict[Hashable, Future[Value]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def drop(self, part: Hashable) -> None:
        """Forget the values whose key is a tuple with a part, also those that are computed now."""
        with self._lock:
            for kept in (self._values, self._pending):
                for key in [each for each in kept if isinstance(each, tuple) and part in each]:
                    del kept[key]

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of a key; the first caller computes it, others wait for it.

        Raises:
            Exception: as `make` raises it.
        """

        def made() -> Future[Value]:
            found: Future[Value] = Future()
            found.set_result(make())
            return found

        return self.begin(key, made).result()

    def begin(self, key: Hashable, start: Callable[[], Future[Value]]) -> Future[Value]:
        """Return the value of a key once there is one; the first caller has it computed, and nobody waits here.

        Args:
            key: of the value.
            start: has a value computed, by whatever thread; an error that it raises is the outcome.
        """
        mine: Future[Value] = Future()
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                mine.set_result(self._values[key])
                return mine
            other = self._pending.setdefault(key, mine)
        if other is not mine:
            return other
        try:
            started = start()
        except BaseException as err:
            self._end(key, mine)
            mine.set_exception(err)
        else:
            started.add_done_callback(lambda found: self._take(key, mine, found))
        return mine

    def _take(self, key: Hashable, mine: Future[Value], found: Future[Value]) -> None:
        if (err := found.exception()) is not None:
            self._end(key, mine)
            mine.set_exception(err)
            return
        self._end(key, mine, found.result())
        mine.set_result(found.result())

    def _end(self, key: Hashable, mine: Future[Value], *values: Value) -> None:
        """Keep the value of a key, if there is one, unless it was dropped meanwhile."""
        with self._lock:
            if self._pending.get(key) is not mine:
                return
            del self._pending[key]
            for value in values:
                self._values[key] = value
            while len(self._values) > self._most:
                self._values.popitem(last=False)
