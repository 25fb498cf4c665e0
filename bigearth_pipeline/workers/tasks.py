"""Tasks on connected workers: a few at a time, with their progress, and without waiting for ever."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import Empty, SimpleQueue
from time import monotonic, time
from typing import Any, Final, TypeVar

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.progress import Progress
from bigearth_pipeline.workers.checks import Terms, check_here
from bigearth_pipeline.workers.demand import LOST, ask_scheduler
from bigearth_pipeline.workers.ending import wait_until_ended
from bigearth_pipeline.workers.stall import Limits, Watch

Item = TypeVar("Item")
Result = TypeVar("Result")

_POLL_SECONDS: Final = 0.2
_ASK_SECONDS: Final = 3.0
_REPORT_SECONDS: Final = 0.25
"""A task reports its progress at most this often: each message takes about as long as a patch."""


class Cluster:
    """Connected workers."""

    def __init__(
        self,
        client: Any,
        at_once: Callable[[], int],
        progress: Progress,
        *,
        limits: Limits,
        mend: Callable[[], None] = lambda: None,
        terms: Terms | None = None,
        explain: Callable[[], object] = lambda: None,
    ) -> None:
        """Take connected workers.

        Args:
            client: Dask's.
            at_once: returns how many tasks are to be with the scheduler now.
            progress: receives the counts that tasks report, and lines for the user.
            limits: how long to wait while nothing moves.
            mend: called every now and then; replaces workers that have died.
            terms: what each worker must find; None where they are this machine's.
            explain: called when a task has failed; raises a PipelineError if the workers are to blame.
        """
        self._client = client
        self._at_once = at_once
        self._limits = limits
        self._mend = mend
        self._terms = terms
        self._explain = explain
        self._watch = Watch(limits, progress.say, "no patch done")

        def advance(event: tuple[float, int]) -> None:
            self._watch.moved()
            progress.advance(event[1])

        # A topic of this client's own: others may use the same scheduler.
        self._topic = f"bep-progress-{client.id}"
        client.subscribe_topic(self._topic, advance)

    def map(self, function: Callable[..., Result], items: Iterable[Item], *args: Any) -> Iterator[tuple[Item, Result]]:
        """Run `function(item, *args, progress)` on the workers and yield (item, result) as they finish.

        Only some more tasks than there are workers are with the scheduler at any time, so neither it nor the driver
        holds a large graph, and an interrupt has little to cancel.

        Raises:
            PipelineError: a worker was lost or is unfit, or nothing has moved for long.
            Exception: what the function raised.
        """
        waiting = iter(items)
        item_of: dict[Any, Item] = {}
        done: SimpleQueue[Any] = SimpleQueue()

        from distributed.protocol.pickle import dumps

        def submit(item: Item) -> None:
            if self._client.status not in ("running", "connecting"):
                raise PipelineError(LOST)
            # As bytes: a scheduler unpickles what it sends on.
            call = dumps((function, item, args))
            future = self._client.submit(_run, self._topic, self._terms, call, pure=False, retries=0)
            item_of[future] = item
            # To make the next item can take the caller long, which is not the workers' time either.
            self._watch.moved()
            future.add_done_callback(done.put)

        self._watch.moved()
        try:
            for item in islice(waiting, self._at_once()):
                submit(item)
            while item_of:
                future = self._next(done)
                result = self._result(future)
                self._watch.moved()
                item = item_of.pop(future)
                for following in islice(waiting, max(0, self._at_once() - len(item_of))):
                    submit(following)
                yield item, result
                # The time that the caller has taken is not the workers'.
                self._watch.moved()
        finally:
            if item_of:
                self._client.cancel(list(item_of), force=True)
                wait_until_ended(self._client, [future.key for future in item_of])

    def _next(self, done: "SimpleQueue[Any]") -> Any:
        while True:
            try:
                return done.get(timeout=_POLL_SECONDS)
            except Empty:
                self._mend()
                self._watch.check(self._describe)

    def _result(self, future: Any) -> Any:
        """Return the result of a task, or raise what it raised."""
        from distributed.client import FutureCancelledError
        from distributed.protocol.pickle import loads
        from distributed.scheduler import KilledWorker

        while True:
            try:
                return loads(future.result(timeout=self._limits.notice_seconds))
            except KilledWorker as err:
                self._explain()
                raise PipelineError(
                    f"workers died repeatedly in one task (last {err.last_worker.address}); out of memory is the usual "
                    "cause: use fewer `workers=` or a smaller `patches_per_shard=`"
                ) from err
            except FutureCancelledError as err:
                raise PipelineError(LOST) from err
            except PipelineError:
                raise
            except Exception as err:
                if isinstance(err, TimeoutError) and future.status != "error":
                    # The worker that holds the result does not give it away.
                    self._watch.check(self._describe)
                    continue
                self._explain()
                raise

    def _describe(self) -> str:
        """Return what the scheduler knows of its workers."""
        identity = ask_scheduler(self._client, _ASK_SECONDS)
        if identity is None:
            return "the scheduler does not answer"
        workers = identity["workers"]
        if not workers:
            return "no worker is connected to the scheduler"
        now = time()
        ages = sorted(((now - facts["last_seen"], address) for address, facts in workers.items()), reverse=True)
        seen = [f"worker {address} last seen {max(0.0, age):.0f} s ago" for age, address in ages[:3]]
        return ", ".join(seen + ([f"and {len(ages) - 3} others since"] if len(ages) > 3 else []))


class _Cancelled(Exception):
    """Ends a task whose result nobody waits for any more, so that it cleans up after itself."""


def _run(topic: str, terms: Terms | None, call: bytes) -> bytes:
    from distributed import get_worker
    from distributed.protocol.pickle import dumps, loads

    worker = get_worker()
    key = worker.get_current_task()
    if terms is not None:
        check_here(terms, worker.address)

    unreported = 0
    reported_at = 0.0

    def progress(count: int) -> None:
        nonlocal unreported, reported_at
        # Dask does not interrupt a running task; it only marks it.
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise _Cancelled
        unreported += count
        if (now := monotonic()) >= reported_at + _REPORT_SECONDS:
            worker.log_event(topic, unreported)
            unreported, reported_at = 0, now

    function, item, args = loads(call)
    # As bytes: of a list Dask looks at each item, which costs twice what the rest of a task does.
    result: bytes = dumps(function(item, *args, progress))
    if unreported:
        worker.log_event(topic, unreported)
    return result
