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
        self._values: OrderedDict[Hashable, Future[Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def drop(self, part: Hashable) -> None:
        """Forget the values whose key is a tuple with a part."""
        with self._lock:
            for key in [each for each in self._values if isinstance(each, tuple) and part in each]:
                del self._values[key]

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of a key; the first caller computes it, others wait for it.

        Raises:
            Exception: as `make` raises it.
        """
        with self._lock:
            found = self._values.get(key)
            if found is None:
                mine = found = Future()
                self._values[key] = mine
                while len(self._values) > self._most:
                    self._values.popitem(last=False)
            else:
                mine = None
                self._values.move_to_end(key)
        if mine is None:
            return found.result()
        try:
            mine.set_result(make())
        except BaseException as err:
            with self._lock:
                if self._values.get(key) is mine:
                    del self._values[key]
            mine.set_exception(err)
            raise
        return mine.result()
