"""Servers that stores lie on."""

from collections.abc import Iterator

import pytest

from shards.storage.remote import attempts
from shards.testing.network import Weather
from tests.support.network.shelves import Shelf, moto_shelf, nginx_shelf, s3, s3rver_shelf, shelf

__all__ = ["moto_shelf", "nginx_shelf", "s3", "s3rver_shelf", "shelf"]


@pytest.fixture(params=["moto", "s3rver"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """Each server that can be written to."""
    monkeypatch.setattr(attempts, "_LONGEST_WAIT", 0.1)
    shelf: Shelf = request.getfixturevalue(f"{request.param}_shelf")
    for name, value in shelf.environment().items():
        monkeypatch.setenv(name, value)
    yield shelf
    shelf.proxy.weather, shelf.proxy.decide = Weather(), None
