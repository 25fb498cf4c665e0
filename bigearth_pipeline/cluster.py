"""Running tasks on Dask: a local cluster of processes, or an existing scheduler."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from multiprocessing import forkserver, resource_tracker
from typing import Any, Final, TypeVar

from bigearth_pipeline.ending import wait_until_ended
from bigearth_pipeline.errors import PipelineError

Item = TypeVar("Item")
Result = TypeVar("Result")

_ENVIRONMENT: Final = {
    # Dask makes glibc return every large block at once; here the same blocks are needed for each patch, and mapping
    # them anew takes half of a worker's time.
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_PRELOAD: Final = ["distributed", "bigearth_pipeline.shard_task"]
_SILENT: Final = logging.CRITICAL + 1
_CONNECT_SECONDS: Final = 10
_CONFIG: Final = {
    "distributed.admin.log-length": 0,
    "distributed.worker.memory.target": False,  # Workers hold no results worth spilling.
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.scheduler.allowed-failures": 2,
    "distributed.worker.multiprocessing-method": "forkserver",
    "distributed.nanny.pre-spawn-environ": _ENVIRONMENT,
}


class Cluster:
    """Connected workers.

    Attributes:
        num_workers: how many there are.
    """

    def __init__(self, client: Any, num_workers: int, progress: Callable[[int], None]) -> None:
        self._client = client
        self.num_workers = num_workers
        # A topic of this client's own: others may use the same scheduler.
        self._topic = f"bep-progress-{client.id}"
        client.subscribe_topic(self._topic, lambda event: progress(event[1]))

    def map(self, function: Callable[..., Result], items: Iterable[Item], *args: Any) -> Iterator[tuple[Item, Result]]:
        """Run `function(item, *args, progress)` on the workers and yield (item, result) as they finish.

        Only a few more tasks than there are workers are with the scheduler at any time, so neither it nor the driver
        holds a large graph, and an interrupt has little to cancel.

        Raises:
            PipelineError: a worker was lost.
            Exception: what the function raised.
        """
        from distributed import as_completed
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        waiting = iter(items)
        item_of: dict[str, Item] = {}
        futures: set[Any] = set()
        running = as_completed(loop=self._client.loop)

        def submit(item: Item) -> None:
            future = self._client.submit(_run, self._topic, function, item, *args, pure=False, retries=0)
            item_of[future.key] = item
            futures.add(future)
            running.add(future)

        try:
            for item in islice(waiting, 2 * self.num_workers):
                submit(item)
            for future in running:
                item = item_of.pop(future.key)
                futures.discard(future)
                try:
                    result = future.result()
                except KilledWorker as err:
                    raise PipelineError(
                        f"workers died repeatedly in one task ({err.last_worker}); out of memory is the usual cause: "
                        "use fewer --workers or a smaller --patches-per-shard"
                    ) from err
                except FutureCancelledError as err:
                    raise PipelineError(
                        "the connection to the Dask scheduler was lost; run the same command again"
                    ) from err
                for following in islice(waiting, 1):
                    submit(following)
                yield item, result
        finally:
            if futures:
                self._client.cancel(list(futures), force=True)
                wait_until_ended(self._client, [future.key for future in futures])


class _Cancelled(Exception):
    """Ends a task whose result nobody waits for any more, so that it cleans up after itself."""


def _run(topic: str, function: Callable[..., Result], *args: Any) -> Result:
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def progress(count: int) -> None:
        # Dask does not interrupt a running task; it only marks it.
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise _Cancelled
        worker.log_event(topic, count)

    return function(*args, progress)


@contextmanager
def open_cluster(
    workers: int, scheduler: str | None = None, progress: Callable[[int], None] = lambda _: None
) -> Iterator[Cluster]:
    """Connect to workers: `workers` local processes of one thread each, or those of a scheduler's address.

    Local processes end with the block, and with this process however it ends.

    Raises:
        PipelineError: the scheduler does not answer or has no workers.
    """
    import dask
    from distributed import Client, LocalCluster

    for name in ("distributed", "distributed.client", "distributed.gc", "asyncio", "tornado.application"):
        # What they log of lost workers and cancelled tasks is either mended by them or raised here.
        logging.getLogger(name).setLevel(_SILENT)
    with dask.config.set(_CONFIG), ExitStack() as stack:
        if scheduler is None:
            preload()
            processes: list[Any] = []
            stack.callback(lambda: _end(processes))
            with _environment_of_workers(), _interrupts_held():
                local = stack.enter_context(
                    LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        processes=True,
                        host="127.0.0.1",
                        dashboard_address="127.0.0.1:0",
                        memory_limit=0,
                        silence_logs=_SILENT,
                    )
                )
            stack.callback(lambda: processes.extend(_worker_processes(local)))
            client = stack.enter_context(Client(local, set_as_default=False))
        else:
            try:
                client = stack.enter_context(Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False))
            except (OSError, ValueError) as err:
                raise PipelineError(f"scheduler {scheduler} cannot be reached: {err}") from err
            workers = len(client.scheduler_info(n_workers=-1)["workers"])
            if not workers:
                raise PipelineError(f"scheduler {scheduler} has no workers")
        yield Cluster(client, workers, progress)


def _worker_processes(cluster: Any) -> list[Any]:
    import psutil

    found = []
    for nanny in cluster.workers.values():
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(nanny.pid))
    return found


def _end(processes: list[Any]) -> None:
    """Wait until worker processes are gone: a closed cluster's may still be in the middle of a task, and write."""
    import psutil

    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=30)


def preload() -> None:
    """Start the process that local workers are forked from, so that its imports run beside those of the caller.

    To call it is of use before other preparations; without it `open_cluster` calls it.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOAD)
    with _environment_of_workers(), _interrupts_held():
        forkserver.ensure_running()


@contextmanager
def _environment_of_workers() -> Iterator[None]:
    """Set the variables that workers inherit, and set them back: one thread a library is not for the caller.

    Dask sets those of `pre-spawn-environ` in the caller too when it starts workers, and leaves them there.
    """
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back; processes started meanwhile never see it, so that the driver alone stops them, in order.

    A blocked signal is inherited by threads and child processes, and one that comes meanwhile waits for this thread.
    """
    # Its start would unblock the signal in whichever thread starts the first process, so it comes first.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
