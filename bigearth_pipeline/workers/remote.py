"""The workers of an existing scheduler: reach it, and check them all before they work."""

import asyncio
import socket
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.workers.checks import Terms, accept, differences, look, named, unequal, unseen
from bigearth_pipeline.workers.demand import workers_of
from bigearth_pipeline.workers.ending import close
from bigearth_pipeline.workers.forks import signals_held
from bigearth_pipeline.workers.stall import Limits

_CONNECT_SECONDS: Final = 10.0
_TLS: Final = ("tls://", "wss://")
# Names of `distributed.yaml` and, by the rules of `dask.config`, of the environment.
_TLS_FIELDS: Final = ("ca-file", "client.cert", "client.key")
_TLS_KEYS: Final = ", ".join(f"distributed.comm.tls.{name}" for name in _TLS_FIELDS)
_TLS_VARIABLES: Final = ", ".join(
    f"DASK_DISTRIBUTED__COMM__TLS__{name.replace('.', '__').replace('-', '_').upper()}" for name in _TLS_FIELDS
)
_NAMED: Final = 3  # Unfit workers that a message names.


@contextmanager
def connect(scheduler: str, limits: Limits) -> Iterator[Any]:
    """Connect a client to a scheduler.

    Raises:
        PipelineError: nothing answers at the address, or something else than a scheduler.
    """
    from distributed import Client

    # A client itself would wait for ever for an answer to its first message.
    _expect_scheduler(scheduler, limits)
    seconds = min(_CONNECT_SECONDS, limits.answer_seconds)
    try:
        with warnings.catch_warnings(), signals_held():
            warnings.simplefilter("ignore")  # Of other versions, which are an error below.
            client = Client(scheduler, timeout=seconds, set_as_default=False)
    except (OSError, ValueError, ImportError, AssertionError) as err:
        raise PipelineError(f"scheduler {scheduler} cannot be reached: {_cause(err)}") from err
    try:
        yield client
    finally:
        close(client)


def check_workers(client: Any, scheduler: str, terms: Terms, limits: Limits) -> None:
    """Check all workers that a scheduler has.

    Raises:
        PipelineError: one does not answer, has other versions, or does not see the paths.
    """
    workers = workers_of(client, scheduler, limits)
    found: dict[str, str] = client.sync(_check_all, client, terms, workers, limits.answer_seconds)
    if not any(found.values()):
        return
    # Clusters that adapt may have ended some meanwhile.
    workers = [worker for worker in workers_of(client, scheduler, limits) if worker in found]
    problems = [found[worker] for worker in workers if found[worker]]
    if problems:
        more = len(problems) - _NAMED
        problems[_NAMED:] = [f"and {more} more workers"] if more > 0 else []
        raise PipelineError("; ".join(problems))


def _security(scheduler: str) -> Any:
    """Return Dask's settings of TLS, which an address of TLS needs on this side too."""
    from distributed.security import Security

    try:
        security = Security()
        context = security.get_connection_args("client")["ssl_context"]
    except (OSError, ValueError, TypeError) as err:  # A file that is absent or no certificate, or no such version.
        raise PipelineError(
            f"Dask's settings of TLS, distributed.comm.tls, cannot be used here: {_cause(err)}"
        ) from err
    if context is None and scheduler.startswith(_TLS):
        raise PipelineError(
            f"scheduler {scheduler} needs TLS, and Dask has no settings of it here: set {_TLS_KEYS} in its "
            f"configuration, or {_TLS_VARIABLES}"
        )
    return security


def _expect_protocol(scheduler: str) -> None:
    from distributed.comm.addressing import parse_address
    from distributed.comm.registry import get_backend

    protocol, _ = parse_address(scheduler)
    try:
        get_backend(protocol).get_connector()
    except (ImportError, RuntimeError, TypeError, ValueError) as err:  # Of ucx Dask has only an abstract class.
        raise PipelineError(
            f"scheduler {scheduler} cannot be reached: Dask lacks support of {protocol}:// here ({_cause(err)}); "
            "install it, or use a scheduler at tcp://"
        ) from err


def _expect_scheduler(scheduler: str, limits: Limits) -> None:
    _expect_protocol(scheduler)
    security = _security(scheduler)

    async def ask() -> Any:
        from distributed.core import rpc

        seconds = min(_CONNECT_SECONDS, limits.answer_seconds)
        remote = rpc(scheduler, timeout=seconds, connection_args=security.get_connection_args("client"))
        try:
            return await asyncio.wait_for(remote.identity(), limits.answer_seconds)
        finally:
            await asyncio.wait_for(remote.close_rpc(), limits.answer_seconds)

    answer: Future[Any] = Future()

    def run() -> None:
        try:
            answer.set_result(asyncio.run(ask()))
        except BaseException as err:
            answer.set_exception(err)

    # In a thread, since the caller may have an event loop, as notebooks do; Ctrl-C does not wait for it.
    threading.Thread(target=run, daemon=True).start()
    try:
        identity = answer.result()
    except TimeoutError as err:
        raise PipelineError(
            f"scheduler {scheduler} does not answer within {limits.answer_seconds:.0f} s: is it a Dask scheduler?"
        ) from err
    except (OSError, ValueError) as err:
        raise PipelineError(f"scheduler {scheduler} cannot be reached: {_cause(err)}") from err
    except Exception as err:  # Bytes of another protocol, taken for a length, can end in a MemoryError.
        raise PipelineError(f"scheduler {scheduler} answers in another protocol: it is no Dask scheduler") from err
    kind = identity.get("type") if isinstance(identity, dict) else None
    if kind != "Scheduler":
        raise PipelineError(f"{scheduler} is the address of a Dask {kind or 'server'}, expected that of a scheduler")


async def _check_all(client: Any, terms: Terms, workers: list[str], seconds: float) -> dict[str, str]:
    found = await asyncio.gather(*(_check_worker(client, terms, worker, seconds) for worker in workers))
    return dict(zip(workers, found, strict=True))


async def _check_worker(client: Any, terms: Terms, worker: str, seconds: float) -> str:
    """Return what is wrong with a worker; empty if nothing is."""

    async def run(function: Any, *args: Any) -> Any:
        answers = await asyncio.wait_for(
            client.run(function, *args, workers=[worker], on_error="return"), timeout=seconds
        )
        return answers[worker]

    async def name() -> str:
        # Its address may be that of a gateway, or one of many of the host; the function is of no library.
        host = await run(socket.gethostname)
        return named(worker, host if isinstance(host, str) else "")

    try:
        answer = await run(look, terms)
        if isinstance(answer, OSError):
            return f"worker {worker} cannot be reached: {_cause(answer)}"
        if isinstance(answer, Exception):
            return unequal(await name(), f"it cannot run this version of bep ({answer})")
        found, problem, left = answer
        if different := differences(terms, found):
            return unequal(await name(), different)
        if problem:
            return unseen(await name(), problem)
        if left is not None:
            try:
                left.unlink()
            except OSError as err:
                problem = f"writes to {left.parent} what cannot be seen here ({err.strerror})"
                return unseen(await name(), problem)
        await run(accept, terms)
    except TimeoutError:
        return f"worker {worker} does not answer within {seconds:.0f} s; end it or start it again"
    return ""


def _cause(err: BaseException) -> str:
    """Return the first cause of an error, which says more than Dask's own."""
    while err.__cause__ is not None:
        err = err.__cause__
    return str(err) or type(err).__name__
