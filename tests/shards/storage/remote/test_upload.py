"""Long files are sent in parts, and of an upload that ends early no part stays with the server."""

import errno
import os
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shards.storage.remote import attempts, upload
from shards.storage.remote.address import place_of
from shards.storage.remote.attempts import attempt
from shards.storage.remote.client import Client
from shards.storage.remote.failures import Refused
from tests.support.network.servers import BUCKET
from tests.support.network.shelves import Shelf


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of three parts, the last of them short; S3 takes no parts of less than 5 MiB before it."""
    monkeypatch.setattr(upload, "_PART", 5 << 20)
    path = tmp_path / "file"
    path.write_bytes(os.urandom((10 << 20) + 7))
    return path


def unfinished(shelf: Shelf) -> int:
    """Return how many uploads the server keeps parts of."""
    with urllib.request.urlopen(f"{shelf.server.address}/{BUCKET}?uploads") as answer:
        return int(answer.read().count(b"<Upload>"))


def client_of(name: str) -> Client:
    """Return requests below an address."""
    return Client(place_of(f"s3://{BUCKET}/{name}"))  # type: ignore[arg-type]


def ends_at(number: int, error: BaseException) -> Callable[[], None]:
    """Return a check that raises when it is called for the n-th time, from 1."""
    calls = iter(range(1, 100))

    def check() -> None:
        if next(calls) == number:
            raise error

    return check


def test_a_long_file_arrives_whole(bucket: Shelf, file: Path) -> None:
    """Parts are lost, or are put together in another order."""
    client = client_of("whole")
    upload.put_file(client, "file", file)
    assert bytes(attempt(partial(client.get_whole, "file", 1 << 30)).content) == file.read_bytes()


@pytest.mark.parametrize("error", [RuntimeError("is not needed"), KeyboardInterrupt(), OSError(errno.EIO, "disk")])
@pytest.mark.parametrize("number", [1, 3])
def test_an_upload_that_is_ended_leaves_no_parts(s3: Shelf, file: Path, error: BaseException, number: int) -> None:
    """Parts that nobody sees are paid for, or what has ended the upload is taken for a network that fails."""
    client = client_of("ended")
    with pytest.raises(type(error)) as caught:
        upload.put_file(client, "file", file, ends_at(number, error))
    assert caught.value is error
    assert unfinished(s3) == 0
    with pytest.raises(Refused):
        client.head("file")


def test_a_file_that_cannot_be_read_is_named(s3: Shelf, file: Path) -> None:
    """A disk that fails is taken for a server that does."""
    with pytest.raises(FileNotFoundError, match=str(file.with_name("absent"))):
        upload.put_file(client_of("gone"), "file", file.with_name("absent"))

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(OSError, match=f"Input/output error: '{file}'"):
        upload.put_file(client_of("gone"), "file", file, fail)


def test_parts_of_attempts_that_failed_are_forgotten(s3: Shelf, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt in bad weather leaves the parts that did arrive."""
    monkeypatch.setattr(attempts, "_LONGEST_WAIT", 0.1)
    faults = ["refused", "lost"]
    s3.proxy.decide = lambda method, target: (
        faults.pop() if method == "PUT" and "partNumber=2" in target and faults else "none"
    )
    upload.put_file(client_of("again"), "file", file)
    assert not faults
    assert unfinished(s3) == 0
