"""Interface of workers: tasks go in, results come out as they finish."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(Protocol):
    """Runs tasks, in other processes or in this one."""

    def map(self, function: Callable[..., Result], items: Iterable[Item], *args: Any) -> Iterator[tuple[Item, Result]]:
        """Run `function(item, *args, progress)` for each item and yield (item, result) as the calls finish.

        `progress` takes a number of patches done, and ends the task if its result is not needed any more.

        Raises:
            PipelineError: a worker was lost or is unfit, or nothing has moved for long.
            Exception: what the function raised.
        """
