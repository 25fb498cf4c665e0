"""Local workers: processes of one thread each, which the driver starts, starts again if they die, and ends.

They are no children of Dask's nannies, because those make semaphores that a killed process group leaves in /dev/shm, do
not start again what dies while it starts, and do not say why.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from typing import Any, Final

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.main_script import NO_GUARD, UNGUARDED, WORKER_NAME, check_importable
from bigearth_pipeline.workers.forks import SILENT, await_end, for_workers, silence
from bigearth_pipeline.workers.stall import Watch

_STARTS: Final = 3
_END_SECONDS: Final = 4.0
_STARTED: Final = "started"
_END: Final = "end"
_LOST: Final = "its connection to this process was lost"


@dataclass(slots=True)
class _Slot:
    """A worker's process, and how often it has failed to start since the last that did."""

    process: ForkServerProcess
    pipe: Any
    started: bool = False
    failures: int = 0


class LocalWorkers:
    """Worker processes on this machine."""

    def __init__(
        self, address: str, number: int, config: Mapping[str, Any], prepare: Callable[[], object] | None = None
    ) -> None:
        """Start them.

        Args:
            address: of the scheduler.
            number: of workers.
            config: Dask's, for the workers.
            prepare: function of a module that each calls in a thread as soon as it has started.

        Raises:
            PipelineError: they cannot import the user's script.
        """
        check_importable()
        self._address = address
        self._config = dict(config)
        self._prepare = prepare
        self._slots: list[_Slot] = []
        try:
            for _ in range(number):
                self._slots.append(_Slot(*self._start()))
        except BaseException:
            self.end()
            raise

    def wait(self, watch: Watch) -> None:
        """Wait until all have started.

        Raises:
            PipelineError: one cannot be started.
        """
        started = 0
        while (now := sum(slot.started for slot in self._slots)) < len(self._slots):
            if now > started:
                watch.moved()
                started = now
            watch.check(self._describe_start)
            connection.wait([slot.pipe for slot in self._slots if not slot.started], timeout=0.5)
            self.mend()

    def mend(self) -> None:
        """Take note of workers that have started, and start those again that have died.

        Raises:
            PipelineError: one has died several times while it started.
        """
        for slot in self._slots:
            reason = self._reason_of_death(slot)
            if reason is None:
                continue
            slot.failures += not slot.started
            if slot.process.exitcode == UNGUARDED:
                raise PipelineError(NO_GUARD)
            if slot.failures == _STARTS:
                raise PipelineError(
                    f"a worker process on this machine ended while it started, {_STARTS} times; the last time {reason}"
                )
            slot.pipe.close()
            slot.process, slot.pipe = self._start()
            slot.started = False

    def end(self) -> None:
        """End all and wait until they are gone; a worker in the middle of a task has a few seconds."""
        for slot in self._slots:
            with suppress(OSError):
                if slot.started:
                    slot.pipe.send(_END)
                else:
                    slot.process.kill()
        deadline = time.monotonic() + _END_SECONDS
        for slot in self._slots:
            slot.process.join(max(0.0, deadline - time.monotonic()))
        for slot in self._slots:
            slot.process.kill()
        for slot in self._slots:
            slot.process.join(30)
            slot.pipe.close()

    def _describe_start(self) -> str:
        missing = sum(not slot.started for slot in self._slots)
        return f"{missing} of {len(self._slots)} worker processes have not started"

    def _start(self) -> tuple[ForkServerProcess, Any]:
        """Start a process; the one that it is forked from, which may have died meanwhile, is started again with it.

        Raises:
            PipelineError: that one ended each time.
        """
        for attempt in range(1, _STARTS + 1):
            here, there = multiprocessing.Pipe()
            with for_workers():
                process = multiprocessing.get_context("forkserver").Process(
                    target=_work,
                    args=(self._address, self._config, there, self._prepare),
                    name=WORKER_NAME,
                    daemon=True,
                )
                try:
                    process.start()
                except (EOFError, ConnectionError) as err:
                    here.close()
                    if attempt == _STARTS:
                        raise PipelineError(
                            f"the process that workers on this machine are forked from ended {_STARTS} times while a "
                            "worker started; lack of memory is the usual cause"
                        ) from err
                    await_end()
                except BaseException:
                    here.close()
                    raise
                else:
                    break
                finally:
                    there.close()
        return process, here

    def _reason_of_death(self, slot: _Slot) -> str | None:
        """Return why a worker has died; None if it lives."""
        said = ""
        try:
            while slot.pipe.poll():
                message = slot.pipe.recv()
                if message == _STARTED:
                    slot.started, slot.failures = True, 0
                else:
                    said = message
        except (OSError, EOFError):
            # Only its death closes its end.
            slot.process.join(10)
        if slot.process.is_alive() and not said:
            return None
        slot.process.join(10)
        code = slot.process.exitcode
        if said:
            return said
        if code is None:
            slot.process.kill()
            slot.process.join(10)
            return _LOST
        if code < 0:
            hint = "; lack of memory is the usual cause" if code == -signal.SIGKILL else ""
            return f"it was ended by {signal.Signals(-code).name}{hint}"
        return f"it ended with exit status {code}"


def _work(address: str, config: dict[str, Any], pipe: Any, prepare: Callable[[], object] | None) -> None:
    """Be a worker of a scheduler until the driver says so, or is gone."""
    import dask

    silence()
    # The locks of libraries, such as that of Blosc, then have no name in /dev/shm that a killed process would leave.
    multiprocessing.set_start_method("fork", force=True)
    dask.config.config.clear()
    dask.config.update(dask.config.config, config)
    try:
        asyncio.run(_serve(address, pipe, prepare))
    except Exception as err:
        cause: BaseException = err
        while cause.__cause__ is not None:
            cause = cause.__cause__
        with suppress(OSError):
            pipe.send(f"{type(cause).__name__}: {cause}")
        raise SystemExit(1) from None


def _try(prepare: Callable[[], object]) -> None:
    # A fault shows once more, in the task that needs what could not be loaded.
    with suppress(Exception):
        prepare()


async def _serve(address: str, pipe: Any, prepare: Callable[[], object] | None) -> None:
    from distributed import Worker

    loop = asyncio.get_running_loop()
    end = asyncio.Event()

    def listen() -> None:
        try:
            pipe.recv()
        except (OSError, EOFError):
            os._exit(1)
        loop.call_soon_threadsafe(end.set)

    threading.Thread(target=listen, name="bep driver", daemon=True).start()
    worker = await Worker(address, nthreads=1, host="127.0.0.1", memory_limit=0, silence_logs=SILENT)
    with suppress(OSError):
        pipe.send(_STARTED)
    if prepare is not None:
        threading.Thread(target=_try, args=(prepare,), name="bep prepare", daemon=True).start()
    waiting = [asyncio.ensure_future(end.wait()), asyncio.ensure_future(worker.finished())]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    await worker.close(timeout=_END_SECONDS, reason="end")
