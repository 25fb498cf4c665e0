"""Ranges of an object in object storage, read as `client` reads those of a file of an HTTP server."""

import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Final, TypeVar

from bigearth_pipeline.download.client import Changed, Client, Patience, RemoteFile, Stopped, shown
from bigearth_pipeline.errors import PipelineError
from shards.storage.remote.address import Address, place_of
from shards.storage.remote.attempts import attempt
from shards.storage.remote.client import Answer
from shards.storage.remote.client import Client as Requests
from shards.storage.remote.failures import Refused

SCHEMES: Final = ("s3", "gs", "az")
_BLOCK: Final = 4 << 20
"""Bytes of a request: few enough to arrive in its time on a slow line."""
T = TypeVar("T")


class ObjectClient:
    """Requests for one object, as `Client`; safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Name the object; nothing is sent.

        Raises:
            PipelineError: the address names a bucket alone.
            InvalidValue: it is no address, or obstore is not installed.
        """
        address = place_of(url)
        if not isinstance(address, Address) or len(address.parts) < 3:
            raise PipelineError(f"{shown(url)} names no object; expected the address of an archive")
        self._shown = str(address)
        self._name = address.name
        self._requests = Requests(place_of(str(address).removesuffix(f"/{address.name}")))  # type: ignore[arg-type]
        self._stopped = threading.Event()

    def close(self) -> None:
        """End all waits."""
        self._stopped.set()

    def describe(self, url: str) -> RemoteFile:
        """See `Client`."""
        entry = self._patiently(partial(self._requests.head, self._name))
        return RemoteFile(url, entry.size_bytes, entry.tag or "", True)

    def read(self, file: RemoteFile, begin: int, end: int) -> Generator[bytes, None, None]:
        """See `Client`."""
        for start in range(begin, end, _BLOCK):
            answer = self._patiently(partial(self._get, start, min(start + _BLOCK, end)))
            if (answer.size_bytes, answer.tag or "") != (file.size, file.tag):
                raise Changed(f"{self._shown} has changed while it was read")
            yield bytes(answer.content)

    def _get(self, start: int, end: int) -> Answer:
        answer = self._requests.get(self._name, start, end)
        if len(answer.content) < end - start <= answer.size_bytes - start:
            raise Refused("broken", "its answer is truncated")
        return answer

    def _patiently(self, send: Callable[[], T]) -> T:
        if self._stopped.is_set():
            raise Stopped
        try:
            return attempt(send, stop=self._stopped)
        except Refused as err:
            if self._stopped.is_set():
                raise Stopped from None
            if err.kind == "range":
                raise Changed(f"{self._shown} has changed: {err.what}") from None
            hint = "; check the address" if err.kind == "absent" else ""
            raise PipelineError(f"{self._shown} cannot be read: {err.what}{hint}") from None


def client_of(url: str, connections: int = 1, patience: Patience | None = None) -> Client | ObjectClient:
    """Return what reads the file at an address, of HTTP or of object storage; arguments as those of `Client`.

    Object storage has credentials, retries and limits of its own.
    """
    if url.partition("://")[0].lower() in SCHEMES:
        return ObjectClient(url)
    return Client(connections, patience)
