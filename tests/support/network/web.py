"""A real nginx on loopback, that serves a folder in the ways that servers do."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

_CONFIG = """
daemon off;
pid {run}/nginx.pid;
error_log {run}/error.log warn;
worker_processes 2;
events {{ worker_connections 256; }}
http {{
  access_log {run}/access.log;
  client_body_temp_path {run}/body; proxy_temp_path {run}/proxy; fastcgi_temp_path {run}/fastcgi;
  uwsgi_temp_path {run}/uwsgi; scgi_temp_path {run}/scgi;
  limit_req_zone $server_name zone=busy:1m rate=20r/s;
  server {{
    listen 127.0.0.1:{port};
    root {root};
    location /busy/ {{ alias {root}/; limit_req zone=busy burst=1 nodelay; limit_req_status 503; }}
    location /slow/ {{ alias {root}/; limit_rate 12m; }}
    location /crawl/ {{ alias {root}/; limit_rate_after 1m; limit_rate 10k; }}
    location /plain/ {{ alias {root}/; max_ranges 0; }}
    location /gone/ {{ return 503; }}
    location /secret/ {{ return 403; }}
    location = /status {{ stub_status; access_log off; }}
  }}
}}
"""


class Web:
    """A running server.

    Attributes:
        root: folder that is served.
        url: address of that folder; below it `busy/`, `slow/`, `crawl/` and `plain/` (without ranges) serve the same
            files, `gone/` answers 503 and `secret/` 403.
    """

    def __init__(self, root: Path, run: Path, port: int) -> None:
        self.root, self._run, self.url = root, run, f"http://127.0.0.1:{port}"

    def requests(self) -> list[str]:
        """Return the lines of the access log, once all connections have ended.

        A request is logged when it ends, so later than its client has got the last byte, or was killed.
        """
        end = time.monotonic() + 30
        while self._num_connections() > 1:
            assert time.monotonic() < end, "connections are still open"
            time.sleep(0.02)
        return (self._run / "access.log").read_text().splitlines()

    def _num_connections(self) -> int:
        """Return how many connections are open, that of this question included."""
        with urlopen(f"{self.url}/status", timeout=10) as answer:
            return int(answer.readline().split(b":")[1])


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def nginx(folder: Path) -> Iterator[Web]:
    """Run nginx; skip the test where there is none."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/sbin")
    if program is None:
        pytest.skip("there is no nginx; Debian's package nginx-light has it")
    root, run = folder / "root", folder / "run"
    root.mkdir()
    run.mkdir()
    process, port = _started(program, root, run)
    try:
        yield Web(root, run, port)
    finally:
        process.terminate()
        process.wait(20)


def _started(program: str, root: Path, run: Path) -> tuple["subprocess.Popen[bytes]", int]:
    """Return a server that answers, and its port; another process may take a port that was free a moment ago."""
    for _ in range(5):
        port = free_port()
        config = _CONFIG.format(run=run, root=root, port=port)
        (run / "nginx.conf").write_text(("user root;\n" if os.geteuid() == 0 else "") + config)
        process = subprocess.Popen([program, "-p", str(run), "-c", str(run / "nginx.conf")], stderr=subprocess.DEVNULL)
        while process.poll() is None:
            # The file is written once the ports are bound.
            if (run / "nginx.pid").exists():
                return process, port
            time.sleep(0.01)
    raise AssertionError((run / "error.log").read_text())
