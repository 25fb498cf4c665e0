"""Servers, behind a proxy that makes the weather, and stores of every kind on each of them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shards.storage.remote import attempts
from shards.testing.network import Proxy, Weather
from tests.support.network import servers

STORMY = Weather(latency=0.03, refused=0.05, reset=0.03, short=0.03, lost=0.03, seed=7)
"""The faults on the way to a store that is far away, and more of them."""


class Shelf:
    """A server with a proxy in front of it.

    Attributes:
        proxy: the proxy.
        server: the server.
        kind: `moto`, `s3rver` or `nginx`.
    """

    def __init__(self, kind: str, server: servers.Server, proxy: Proxy) -> None:
        self.kind, self.server, self.proxy = kind, server, proxy
        self._stored: set[str] = set()

    def environment(self) -> dict[str, str]:
        """Return the variables by which the server is found."""
        return servers.environment(self.proxy.address)

    def store(self, folder: Path, name: str | None = None) -> str:
        """Put a store onto the server, unless it is there, and return its address."""
        name = name or folder.name
        if self.kind == "nginx":
            if name not in self._stored:
                assert self.server.folder is not None
                shutil.copytree(folder, self.server.folder / name)
            address = f"{self.proxy.address}/{name}"
        else:
            address = f"s3://{servers.BUCKET}/{name}"
            if name not in self._stored:
                servers.upload(folder, self.server.address, name)
        self._stored.add(name)
        return address


def _shelf(kind: str) -> Callable[..., Any]:
    @pytest.fixture(scope="session", name=f"{kind}_shelf")
    def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
        with getattr(servers, kind)(tmp_path_factory.mktemp(kind)) as server, Proxy(server.port) as proxy:
            yield Shelf(kind, server, proxy)

    return shelf


moto_shelf, s3rver_shelf, nginx_shelf = map(_shelf, ("moto", "s3rver", "nginx"))


@pytest.fixture(params=["moto", "s3rver", "nginx"])
def shelf(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """Each server, in calm weather."""
    yield from _in_calm(request.getfixturevalue(f"{request.param}_shelf"), monkeypatch)


@pytest.fixture
def s3(moto_shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A server that speaks S3, in calm weather."""
    yield from _in_calm(moto_shelf, monkeypatch)


@pytest.fixture(params=["moto", "s3rver"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """Each server that can be written to, in calm weather; failed requests are repeated without delay."""
    monkeypatch.setattr(attempts, "_LONGEST_WAIT", 0.1)
    yield from _in_calm(request.getfixturevalue(f"{request.param}_shelf"), monkeypatch)


def _in_calm(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    for name, value in shelf.environment().items():
        monkeypatch.setenv(name, value)
    shelf.proxy.seen.clear()
    yield shelf
    shelf.proxy.weather, shelf.proxy.decide, shelf.proxy.together = Weather(), None, 0
