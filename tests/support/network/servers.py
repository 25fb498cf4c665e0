"""Servers on loopback that stores lie on: moto and s3rver for `s3://`, nginx for `http://` and `https://`."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.network.authority import Certificate

BUCKET: Final = "shelf"
KEY, SECRET = "S3RVER", "S3RVER"
_SECONDS: Final = 60


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        port: on 127.0.0.1.
        folder: that it serves; None for moto, which has its objects in memory.
        scheme: `http` or `https`.
    """

    port: int
    folder: Path | None = None
    scheme: str = "http"

    @property
    def address(self) -> str:
        """Return the address of the server."""
        return f"{self.scheme}://127.0.0.1:{self.port}"


def environment(endpoint: str) -> dict[str, str]:
    """Return the variables by which obstore finds a server that speaks S3."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


@contextmanager
def moto(folder: Path) -> Iterator[Server]:
    """Run moto's server."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, port, env=os.environ | {"MOTO_S3_CUSTOM_ENDPOINTS": ""}):
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")).close()
        yield Server(port)


@contextmanager
def s3rver(folder: Path) -> Iterator[Server]:
    """Run s3rver, a program of Node.js."""
    if (program := shutil.which("s3rver")) is None:
        pytest.skip("s3rver is not installed: npm install -g s3rver")
    port = free_port()
    command = [program, "-d", str(folder), "-a", "127.0.0.1", "-p", str(port), "-s", "--no-vhost-buckets"]
    with running([*command, "--configure-bucket", BUCKET], port):
        yield Server(port, folder)


@contextmanager
def nginx(folder: Path, certificate: Certificate | None = None) -> Iterator[Server]:
    """Run nginx, which serves what lies in `folder/root`; with a certificate by TLS."""
    if (program := shutil.which("nginx")) is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    port, root = free_port(), folder / "root"
    root.mkdir()
    config, tls, scheme = folder / "nginx.conf", "", "http"
    if certificate is not None:
        tls, scheme = f"ssl; ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key}", "https"
    config.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;\n"
        "events { worker_connections 256; }\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/a; uwsgi_temp_path {folder}/b; scgi_temp_path {folder}/c;\n"
        f"server {{ listen 127.0.0.1:{port} {tls}; root {root}; }} }}\n"
    )
    with running([program, "-p", str(folder), "-c", str(config)], port):
        yield Server(port, root, scheme)


@contextmanager
def running(command: list[str], port: int, env: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server for as long as the block lasts, which begins once it listens."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env) as process:
        try:
            for _ in range(20 * _SECONDS):
                with socket.socket() as connection:
                    if connection.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, f"{command[0]} has ended with status {process.returncode}"
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as connection:
        connection.bind(("127.0.0.1", 0))
        port: int = connection.getsockname()[1]
        return port


def upload(folder: Path, endpoint: str, name: str) -> str:
    """Put the files of a store onto a server that speaks S3; return its address."""
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        prefix=name,
        config={key.lower(): value for key, value in environment(endpoint).items()},
        client_options={"allow_http": True},
    )
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            obstore.put(store, str(path.relative_to(folder)), path.read_bytes(), use_multipart=False)
    return f"s3://{BUCKET}/{name}"
