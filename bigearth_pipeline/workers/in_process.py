"""Tasks in the process of the caller, in sequence: for stores too small to start processes for, and for tests."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from bigearth_pipeline.progress import Progress, Silent

Item = TypeVar("Item")
Result = TypeVar("Result")


class InProcess:
    """The caller itself, as `Workers`."""

    def __init__(self, progress: Progress | None = None) -> None:
        """Take what receives the counts that tasks report; default: no report."""
        self._advance = (progress or Silent()).advance

    def map(self, function: Callable[..., Result], items: Iterable[Item], *args: Any) -> Iterator[tuple[Item, Result]]:
        """See `Workers`; a task runs when its result is requested."""
        for item in items:
            yield item, function(item, *args, self._advance)
