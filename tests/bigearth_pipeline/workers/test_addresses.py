"""Addresses at which there is no scheduler, or none with workers."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dask
import pytest
from distributed import Client

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.workers import open_cluster
from tests.bigearth_pipeline.workers.support import QUICK
from tests.support.running.clusters import bare_scheduler


@contextmanager
def _silent_socket() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def _web_server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _greeter() -> Iterator[str]:
    """A server that says a few bytes and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                    connection.close()

        threading.Thread(target=greet, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def _closed_port() -> Iterator[str]:
    yield "tcp://127.0.0.1:9"


@contextmanager
def _unknown_host() -> Iterator[str]:
    yield "tcp://no-such-host.invalid:8786"


@contextmanager
def _no_workers() -> Iterator[str]:
    with bare_scheduler() as address:
        yield address


@pytest.mark.long
@pytest.mark.parametrize("address", [_silent_socket, _web_server, _greeter, _closed_port, _unknown_host, _no_workers])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_address_that_is_of_no_use(address: Callable[[], "contextmanager[str]"]) -> None:
    """An address without a scheduler is waited for without end, or ends in a traceback of Dask."""
    with address() as name:
        started = time.monotonic()
        with pytest.raises(PipelineError, match=name), open_cluster(1, name, limits=QUICK):
            pass
        assert time.monotonic() - started < 120


@pytest.mark.parametrize("address", ["ucx://127.0.0.1:1", "foo://127.0.0.1:1"])
def test_an_address_of_a_protocol_that_dask_lacks(address: str) -> None:
    """A scheduler is said to have answered in another protocol, though nobody has asked it."""
    message = rf"^scheduler {address} cannot be reached: Dask lacks support of {address[:3]}:// here \("
    with pytest.raises(PipelineError, match=message), open_cluster(1, address):
        pass


@pytest.mark.parametrize("address", ["tls://127.0.0.1:1", "wss://127.0.0.1:1"])
def test_an_address_of_tls_without_settings(address: str) -> None:
    """Settings that are missing here pass for a fault of the scheduler, which nobody has asked."""
    with (
        pytest.raises(PipelineError, match="needs TLS, and Dask has no settings of it here") as caught,
        open_cluster(1, address),
    ):
        pass
    assert "distributed.comm.tls.ca-file" in str(caught.value)
    variables = re.findall(r"DASK_[A-Z_]+", str(caught.value))
    # Dask itself knows the names.
    found = dask.config.collect_env(dict.fromkeys(variables, "x"))["distributed"]["comm"]["tls"]
    assert {name.replace("_", "-") for name in found} == {"ca-file", "client"}
    assert found["client"] == {"cert": "x", "key": "x"}
    for name in ("ca-file", "client.cert", "client.key"):
        assert dask.config.get(f"distributed.comm.tls.{name}", default="unknown") != "unknown"


def test_settings_of_tls_that_cannot_be_used(tmp_path: Path) -> None:
    """A certificate that is absent passes for a scheduler that cannot be reached."""
    (tmp_path / "damaged.pem").write_text("no certificate")
    for file in ("absent.pem", "damaged.pem"):
        names = {f"distributed.comm.tls.{name}": str(tmp_path / file) for name in ("ca-file", "client.cert")}
        with dask.config.set(names), pytest.raises(PipelineError, match=r"settings of TLS.* cannot be used here"):  # noqa: SIM117
            with open_cluster(1, "tls://127.0.0.1:1"):
                pass


def test_the_address_of_a_worker(scheduler: str) -> None:
    """A worker's address, which is in the same log as the scheduler's, is taken for one."""
    with Client(scheduler, set_as_default=False) as client:
        address = next(iter(client.scheduler_info(n_workers=-1)["workers"]))
    with pytest.raises(PipelineError, match="is the address of a Dask Worker"), open_cluster(1, address):
        pass
