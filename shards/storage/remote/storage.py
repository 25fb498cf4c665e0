"""A store on object storage, as `Storage`."""

import errno
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from shards.storage.base import FileEntry, RangeTable
from shards.storage.disk.cache import DiskCache
from shards.storage.remote.address import Address
from shards.storage.remote.attempts import attempt, system_error
from shards.storage.remote.client import Client
from shards.storage.remote.failures import Refused
from shards.storage.remote.files import RemoteFiles


class RemoteStorage:
    """The objects below an address, as `Storage`.

    Attributes:
        client: sends the requests.
    """

    def __init__(self, address: Address, cache_dir: Path | None = None, cache_bytes: int | None = None) -> None:
        """Name the address.

        Args:
            address: of the store.
            cache_dir: folder of the cache on disk; default: one of this process.
            cache_bytes: bytes that it may take up; default: half of the free space, at most 16 GiB.

        Raises:
            InvalidValue: obstore is not installed.
        """
        self.client = Client(address)
        self._cache_dir, self._cache_bytes = cache_dir, cache_bytes

    def open(self, files: Sequence[FileEntry], table: Callable[[], RangeTable]) -> RemoteFiles:
        """See `Storage`."""
        known = table()
        return RemoteFiles(self.client, files, known, DiskCache(self._cache_dir, self._cache_bytes, files, known))

    def read(self, name: str, at_most: int) -> bytes:
        """See `Storage`."""
        path = self.client.address / name
        try:
            answer = attempt(lambda: self.client.get_whole(name, at_most))
        except Refused as err:
            raise system_error(path, err) from None
        if answer.size_bytes > at_most:
            raise OSError(errno.EFBIG, f"it has {answer.size_bytes:,} bytes, expected at most {at_most:,}", str(path))
        return bytes(answer.content)

    def has(self, name: str) -> bool:
        """See `Storage`."""
        try:
            attempt(lambda: self.client.head(name))
        except Refused as err:
            if err.kind == "absent":
                return False
            raise system_error(self.client.address / name, err) from None
        return True

    @contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """See `Storage`."""
        content = io.BytesIO()
        yield content
        try:
            attempt(lambda: self.client.put(name, content.getvalue()))
        except Refused as err:
            raise system_error(self.client.address / name, err) from None
