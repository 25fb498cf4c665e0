"""The process that local workers are forked from, and the signals and variables that they inherit."""

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker, util
from typing import Any, Final

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.main_script import check_importable
from bigearth_pipeline.shadowed import taken_for_library
from bigearth_pipeline.signals import current
from shards.runtime.scratch import ScratchFolder

_ENVIRONMENT: Final = {
    # Dask makes glibc return every large block at once; here the same blocks are needed for each patch, and mapping
    # them anew takes half of a worker's time.
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_END_SECONDS: Final = 10.0
SILENT: Final = logging.CRITICAL + 1
_LOGGERS: Final = ("distributed", "distributed.client", "distributed.gc", "asyncio", "tornado.application")
_PRELOAD: Final = ["distributed", "bigearth_pipeline.workers", "bigearth_pipeline.build.task"]


_OPTIONAL: Final = ("lz4", "snappy", "cityhash", "crick", "mmh3", "rmm", "pynvml", "setproctitle")
"""Libraries that Dask uses where they can be imported, as folders of these names can."""


def silence() -> None:
    """Keep back what Dask logs of lost workers and cancelled tasks, which is either mended by it or raised here."""
    import distributed  # noqa: F401 (its import sets the levels)

    for name in _LOGGERS:
        logging.getLogger(name).setLevel(SILENT)


def preload() -> None:
    """Start the process that local workers are forked from, so that its imports run beside those of the caller.

    To call it is of use before other preparations; workers start without it, too.

    Raises:
        PipelineError: a script has no guard, or a folder is taken for a library.
    """
    check_importable()
    if line := taken_for_library(_OPTIONAL):
        raise PipelineError(line)
    multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOAD)
    with for_workers():
        forkserver.ensure_running()


def await_end() -> None:
    """Wait until the process that workers are forked from has ended, where it is about to.

    One that was killed refuses connections before it has ended, and until then nothing starts another.
    """
    pid = getattr(forkserver._forkserver, "_forkserver_pid", None)
    late = time.monotonic() + _END_SECONDS
    while pid is not None and time.monotonic() < late:
        try:
            # Left as it is, for the library asks for it too.
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
        except ChildProcessError:
            return
        time.sleep(0.01)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let signals that end the program wait; Dask, cut off while it starts, cannot be closed in order.

    Threads that are started meanwhile never see them.
    """
    with current().held():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _set_socket_folder() -> None:
    """Let the sockets of `multiprocessing` lie in a folder that does not outlive a kill, as one of its own does."""
    config: dict[str, Any] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    if config.get("tempdir") is None:
        folder = ScratchFolder("mp")
        config["tempdir"] = str(folder.path)
        # As late as it deletes its own.
        util.Finalize(None, folder.close, exitpriority=-100)


@contextmanager
def for_workers() -> Iterator[None]:
    """Let processes that are started meanwhile inherit variables of their own and never see Ctrl-C.

    So the driver alone stops them, in order. A blocked signal is inherited by threads and child processes, and one that
    comes meanwhile waits for this thread. The variables are set back: one thread a library is not for the caller.
    """
    # Its start would unblock the signal in whichever thread starts the first process, so it comes first.
    resource_tracker.ensure_running()
    _set_socket_folder()
    # Its process would look for modules in the current folder first, and may find other ones there.
    path = {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}
    environment = _ENVIRONMENT | path
    before = {name: os.environ.get(name) for name in environment}
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
