"""Opening a cluster: local processes, or an existing scheduler."""

import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.progress import Progress, Silent
from bigearth_pipeline.workers.checks import Shared, terms_of
from bigearth_pipeline.workers.demand import Demand, wait_for_worker
from bigearth_pipeline.workers.ending import close
from bigearth_pipeline.workers.forks import SILENT, preload, signals_held, silence
from bigearth_pipeline.workers.local import LocalWorkers
from bigearth_pipeline.workers.remote import check_workers, connect
from bigearth_pipeline.workers.stall import Limits, Watch
from bigearth_pipeline.workers.tasks import Cluster

_CONFIG: Final = {
    "distributed.admin.log-length": 0,
    "distributed.worker.memory.target": False,  # Workers hold no results worth spilling.
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.scheduler.allowed-failures": 2,
}
_LEAST_FILES: Final = 32
"""Open files that the driver of one local worker needs."""


@contextmanager
def open_cluster(
    workers: int,
    scheduler: str | None = None,
    progress: Progress | None = None,
    *,
    limits: Limits | None = None,
    shared: Shared | None = None,
    prepare: Callable[[], object] | None = None,
) -> Iterator[Cluster]:
    """Connect to workers: `workers` local processes of one thread each, or those of a scheduler's address.

    Local processes end with the block, and with this process however it ends.

    Args:
        workers: number of local processes, if there is no scheduler.
        scheduler: address of an existing one.
        progress: receives the counts that tasks report, and lines for the user.
        limits: how long to wait for what.
        shared: paths that workers elsewhere must see.
        prepare: function of a module that each local process calls in a thread as soon as it has started, to load what
            its tasks will use while the first are planned.

    Raises:
        PipelineError: local workers cannot be started; the scheduler does not answer, no worker comes in time, or there
            are some that run other code or see other files.
    """
    import dask

    progress, limits = progress or Silent(), limits or Limits()
    silence()
    with dask.config.set(_CONFIG), ExitStack() as stack:
        if scheduler is None:
            client, local = _open_local(workers, progress.say, limits, prepare, stack)
            yield Cluster(client, lambda: 2 * workers, progress, limits=limits, mend=local.mend)
        else:
            client = stack.enter_context(connect(scheduler, limits))
            terms = stack.enter_context(terms_of(shared))
            wait_for_worker(client, scheduler, limits, progress.say)
            check_workers(client, scheduler, terms, limits)

            def explain() -> None:
                check_workers(client, scheduler, terms, limits)

            yield Cluster(client, Demand(client), progress, limits=limits, terms=terms, explain=explain)


def _check_open_files() -> None:
    """Check that scheduler and workers can have connections; with fewer files Dask waits for them half a minute.

    Raises:
        PipelineError: the limit is too low.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= limit < _LEAST_FILES:
        raise PipelineError(
            f"a process may have {limit} open files, expected {_LEAST_FILES} or more; raise the limit (ulimit -n)"
        )


def _open_local(
    number: int, say: Callable[[str], None], limits: Limits, prepare: Callable[[], object] | None, stack: ExitStack
) -> tuple[Any, LocalWorkers]:
    import dask
    from distributed import Client, LocalCluster

    _check_open_files()
    preload()
    with signals_held():
        local = LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs=SILENT,
        )
        stack.callback(close, local)
        try:
            client = Client(local, set_as_default=False)
        except OSError as err:  # Also of a time that is over: TimeoutError.
            raise PipelineError(
                "the scheduler of local workers does not answer its own process; raise the limit of open files "
                "(ulimit -n), or end other programs"
            ) from err
        stack.callback(close, client)
    workers = LocalWorkers(local.scheduler_address, number, dask.config.config, prepare)
    stack.callback(workers.end)
    workers.wait(Watch(limits, say, "no worker process started"))
    return client, workers
