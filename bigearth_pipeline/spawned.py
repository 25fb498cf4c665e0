"""Processes that start anew and call functions, over pipes alone.

Those of `concurrent.futures` and the barriers and queues of `multiprocessing` have semaphores with names in /dev/shm,
which stay there for ever when all processes are killed together, as by a batch system.
"""

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, resource_tracker
from typing import Any, Final, Self, TypeVar

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.main_script import NO_GUARD, UNGUARDED, WORKER_NAME, check_importable

_END_SECONDS: Final = 10.0
_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


class SpawnedWorkers:
    """Worker processes, which end with the block, with `close`, or with the process that has made them.

    They are spawned and not forked: a fork would copy the locks of whatever threads the caller has. They never see
    Ctrl-C, so that the caller alone ends them.
    """

    def __init__(self, num_workers: int) -> None:
        """Start them.

        Raises:
            PipelineError: the user's script has no guard, or is no file that they could import.
        """
        check_importable()
        context = multiprocessing.get_context("spawn")
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._pipes: list[Any] = []
        try:
            with _no_interrupt():
                for _ in range(num_workers):
                    here, there = multiprocessing.Pipe()
                    self._pipes.append(here)
                    process = context.Process(target=_work, args=(there,), name=WORKER_NAME, daemon=True)
                    try:
                        process.start()
                    finally:
                        there.close()
                    self._processes.append(process)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return them."""
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        self.close()

    def each(self, function: Callable[[_Argument], _Result], arguments: Sequence[_Argument]) -> list[_Result]:
        """Call a function in all processes at the same time, in each with an argument of its own.

        Raises:
            PipelineError: a process ended meanwhile.
            Exception: what the function raised.
        """
        for pipe, argument in zip(self._pipes, arguments, strict=True):
            self._send(pipe, function, argument)
        return [self._receive(pipe) for pipe in self._pipes]

    def as_completed(
        self, function: Callable[[_Argument], _Result], arguments: Iterable[_Argument]
    ) -> Generator[_Result, None, None]:
        """Yield the results of a function for each argument as they come.

        Raises:
            PipelineError: a process ended meanwhile.
            Exception: what the function raised.
        """
        left = iter(arguments)
        busy = []
        for pipe, argument in zip(self._pipes, left, strict=False):
            self._send(pipe, function, argument)
            busy.append(pipe)
        while busy:
            for pipe in connection.wait(busy):
                result = self._receive(pipe)
                try:
                    self._send(pipe, function, next(left))
                except StopIteration:
                    busy.remove(pipe)
                yield result

    def close(self) -> None:
        """End them, whatever they do."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        for pipe in self._pipes:
            pipe.close()

    def _send(self, pipe: Any, function: Callable[..., Any], argument: Any) -> None:
        try:
            pipe.send((function, argument))
        except OSError:
            raise self._ended(pipe) from None

    def _receive(self, pipe: Any) -> Any:
        try:
            returned, value = pipe.recv()
        except (EOFError, OSError):
            raise self._ended(pipe) from None
        if not returned:
            raise value
        return value

    def _ended(self, pipe: Any) -> PipelineError:
        process = self._processes[self._pipes.index(pipe)]
        process.join(_END_SECONDS)
        if process.exitcode == UNGUARDED:
            return PipelineError(NO_GUARD)
        return PipelineError("a worker process ended before its work was done; is there enough memory?")


def _work(pipe: Any) -> None:
    """Call functions until the other end of the pipe is closed."""
    # The locks of libraries that are imported from here on then have no name in /dev/shm.
    multiprocessing.set_start_method("fork", force=True)
    with suppress(EOFError, OSError):
        while True:
            function, argument = pipe.recv()
            try:
                answer = True, function(argument)
            except Exception as err:
                answer = False, err
            pipe.send(answer)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back; processes started meanwhile never see it."""
    resource_tracker.ensure_running()  # Its start unblocks the signal, so it comes first.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
