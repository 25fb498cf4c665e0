"""Work that waits for the workers of a scheduler, by which clusters that adapt decide how many to start."""

import time
from collections.abc import Callable
from typing import Any, Final

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.workers.stall import Limits, Watch

LOST: Final = "the connection to the Dask scheduler was lost; run the same command again"
_LEAST: Final = 64
_PAUSE_SECONDS: Final = 0.2
_ASK_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 10.0


class Demand:
    """The number of tasks with a scheduler at a time: twice that of the threads of its workers, and at least 64.

    With as few as suffice for the workers that are there when a build begins, a cluster that adapts would not grow.
    """

    def __init__(self, client: Any) -> None:
        """Take a connected client."""
        self._client = client
        self._tasks = _LEAST
        self._next_look = time.monotonic()

    def __call__(self) -> int:
        """Return the number now; the scheduler is asked every ten seconds."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            identity = ask_scheduler(self._client, _ASK_SECONDS, workers=False)
            if identity is not None:
                self._tasks = max(_LEAST, 2 * int(identity["total_threads"]))
        return self._tasks


def wait_for_worker(client: Any, scheduler: str, limits: Limits, say: Callable[[str], None]) -> None:
    """Wait until a scheduler has a worker.

    Meanwhile a task is with the scheduler: clusters that adapt start a worker only for work that waits.

    Args:
        client: connected to the scheduler.
        scheduler: its address.
        limits: how long to wait.
        say: receives lines for the user.

    Raises:
        PipelineError: none comes for `stall_seconds`, or the scheduler is lost.
    """
    if workers_of(client, scheduler, limits):
        return
    start = f"start some with: dask worker {scheduler}"
    say(f"scheduler {scheduler} has no workers; waiting for one ({start})")
    watch = Watch(limits, say, f"scheduler {scheduler} has had no workers")
    # Of no library, so that any worker can run it.
    demand = client.submit(int, pure=False)
    try:
        while not workers_of(client, scheduler, limits):
            watch.check(lambda: start)
            time.sleep(_PAUSE_SECONDS)
    finally:
        demand.release()


def ask_scheduler(client: Any, seconds: float, *, workers: bool = True) -> dict[str, Any] | None:
    """Return what a scheduler says of itself, and of its workers if these are wanted; None if it says nothing.

    It is not the client's copy, which is old if the scheduler does not answer.
    """
    try:
        identity: dict[str, Any] = client.sync(
            client.scheduler.identity, n_workers=-1 if workers else 0, callback_timeout=seconds
        )
    except (TimeoutError, OSError, AttributeError):
        return None
    return identity


def workers_of(client: Any, scheduler: str, limits: Limits) -> list[str]:
    """Return the addresses of the workers that a scheduler knows.

    Raises:
        PipelineError: it does not answer, or is lost.
    """
    identity = ask_scheduler(client, limits.answer_seconds) if client.status == "running" else None
    if identity is not None:
        return list(identity["workers"])
    if client.status == "running":
        raise PipelineError(f"scheduler {scheduler} does not answer within {limits.answer_seconds:.0f} s")
    raise PipelineError(LOST)
