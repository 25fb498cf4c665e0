"""The running server: its socket, its address, and its end by Ctrl-C."""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from anyio import to_thread

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.serve.app import create_app
from bigearth_pipeline.serve.arenas import limit_arenas
from bigearth_pipeline.serve.config import ServeConfig
from bigearth_pipeline.serve.contents.collector import spared
from bigearth_pipeline.serve.contents.contents import open_contents
from bigearth_pipeline.serve.contents.stopping import Stopping
from bigearth_pipeline.serve.guard.connection import Connection
from trainer.inference import one_thread_a_batch
from trainer.runtime.signals import handled

_BACKLOG: Final = 256
_THREADS: Final = 4
"""Threads that compute answers. The interpreter runs one at a time, so that more of them hold each other up, and the
network; and the C library keeps memory for each."""
_SWITCH_SECONDS: Final = 0.001
"""Seconds after which a thread passes the interpreter lock on. A network takes it again for each of its operations, and
would wait for the usual 5 ms each time while others answer requests."""
_GRACE_SECONDS: Final = 2
"""Seconds that answers under way have after Ctrl-C."""


class _Server(uvicorn.Server):
    """Ends at the first signal, and returns; streams of events end, too.

    Attributes:
        stopping: tells streams that they are to end.
    """

    def __init__(self, config: uvicorn.Config, stopping: Stopping) -> None:
        super().__init__(config)
        self.stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        to_thread.current_default_thread_limiter().total_tokens = _THREADS
        await super().startup(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM while the server runs."""

        def end() -> bool:
            # A second one ends answers that are under way.
            self.force_exit = self.should_exit
            self.should_exit = self.stopping.now = True
            return True

        with handled(end):
            yield


def serve(config: ServeConfig, ready: Callable[[str], None], say: Callable[[str], None] = lambda _: None) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        config: options.
        ready: takes the address once the server answers.
        say: takes lines for the user.

    Raises:
        PipelineError: the port is in use, or there is no such address.
        TrainError, ShardError, OSError: as `open_contents` raises them.
    """
    limit_arenas()
    with _listening(config) as listener, open_contents(config, say) as contents, one_thread_a_batch():
        stopping = Stopping()
        options = uvicorn.Config(
            create_app(contents, stopping),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            ws="none",
            http=Connection,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        # Once the index is placed: 549,488 patches take two seconds.
        for store in contents.stores:
            if store.places.num_lost:
                say(f"{store.folder}: {store.places.num_lost} patches have no place on the map")
        server = _Server(options, stopping)
        ready(_address(config, listener))
        with _short_turns(), spared(), _quiet_end(stopping):
            server.run(sockets=[listener])


@contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _quiet_end(stopping: Stopping) -> Iterator[None]:
    """Log no requests that the end of the server cancels; other errors are bugs and keep their tracebacks."""

    def is_news(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not stopping.now or (error is not None and not isinstance(error, asyncio.CancelledError))

    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)


@contextmanager
def _listening(config: ServeConfig) -> Iterator[socket.socket]:
    """Listen while the block runs; connections wait until the server runs."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((config.host, config.port))
        except (OSError, OverflowError) as err:
            reason = getattr(err, "strerror", None) or str(err)
            raise PipelineError(
                f"cannot listen on port {config.port} of {config.host}: {reason}; use another one: `port=0` takes any"
            ) from err
        listener.listen(_BACKLOG)
        yield listener


def _address(config: ServeConfig, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{port}/" + (f"{config.token}/" if config.token else "")
