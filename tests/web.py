"""A real nginx on loopback, that serves a folder in the ways that servers do."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
        """Return the lines of the access log."""
        return (self._run / "access.log").read_text().splitlines()


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
    port = free_port()
    config = _CONFIG.format(run=run, root=root, port=port)
    (run / "nginx.conf").write_text(("user root;\n" if os.geteuid() == 0 else "") + config)
    process = subprocess.Popen([program, "-p", str(run), "-c", str(run / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as caller:
                if caller.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (run / "error.log").read_text()
            time.sleep(0.01)
        yield Web(root, run, port)
    finally:
        process.terminate()
        process.wait(20)
