"""Azurite, Microsoft's server that speaks the language of Azure Blob Storage, on loopback: for `az://`."""

import base64
import hashlib
import hmac
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from tests.support.network.servers import Server, free_port, running

CONTAINER: Final = "shelf"
ACCOUNT: Final = "devstoreaccount1"
KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Key of the account, which is the same in every Azurite and published in its documentation."""
_VERSION: Final = "2021-08-06"


def environment(endpoint: str) -> dict[str, str]:
    """Return the variables by which obstore finds the server."""
    return {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": endpoint}


@contextmanager
def azurite(folder: Path) -> Iterator[Server]:
    """Run Azurite, a program of Node.js, with a container."""
    if (program := shutil.which("azurite-blob")) is None:
        pytest.skip("Azurite is not installed: npm install -g azurite")
    port = free_port()
    command = [program, "--location", str(folder), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent"]
    with running([*command, "--skipApiVersionCheck", "--disableTelemetry"], port):
        _make_container(port)
        yield Server(port, folder)


def _make_container(port: int) -> None:
    """Make the container, which obstore cannot; the request is signed with the key of the account."""
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = f"x-ms-date:{date}\nx-ms-version:{_VERSION}"
    text = "\n".join(["PUT", *[""] * 11, headers, f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}", "restype:container"])
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/{ACCOUNT}/{CONTAINER}?restype=container",
        method="PUT",
        headers={
            "x-ms-date": date,
            "x-ms-version": _VERSION,
            "Authorization": f"SharedKey {ACCOUNT}:{signature}",
            "Content-Length": "0",
        },
    )
    urllib.request.urlopen(request).close()
