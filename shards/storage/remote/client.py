"""Requests to object storage, each sent once: the wrapper of obstore."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from shards.errors import InvalidValue, ShardError
from shards.storage.remote.address import Address
from shards.storage.remote.failures import Refused, refused

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_SILENCE: Final = timedelta(seconds=30)
"""Without a byte of an answer, at most."""
TIMEOUT: Final = timedelta(seconds=120)
"""Of a request, from its start to the last byte of its answer: on a slow line many requests share what it carries."""
_CONNECT: Final = timedelta(seconds=5)
_PIECE: Final = 256 << 10
"""Bytes of a piece of an answer, at least; memory of that size is used again for the next without page faults."""
_EXTRA: Final = "cloud"
S3_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

T = TypeVar("T")


class Unsent(Exception):
    """The bytes of an object could not be had, or are not to be sent any more; its cause says why."""


class Answer(NamedTuple):
    """Bytes of an object, its size, and the tag that tells its versions apart; None from a server without."""

    content: Any
    size_bytes: int
    tag: str | None


class Stream(NamedTuple):
    """Bytes of an object, piece by piece as they arrive, with the other fields of `Answer`."""

    pieces: Iterator[memoryview]
    size_bytes: int
    tag: str | None


class Entry(NamedTuple):
    """An object in a list, or the answer to a question for it."""

    name: str
    size_bytes: int
    tag: str | None


@dataclass(slots=True)
class _Started:
    """The process whose threads send requests; a fork copies none of them, and a request would wait for ever."""

    process: int | None = None


_started: Final = _Started()


class Client:
    """Sends requests about the objects below an address; safe to share between threads."""

    def __init__(self, address: Address) -> None:
        """Name the store; nothing is sent, and obstore is imported with the first request.

        Raises:
            InvalidValue: obstore is not installed.
        """
        self.address = address
        self._lock = threading.Lock()
        self._store: ObjectStore | None = None
        self._made_by = 0
        from importlib.util import find_spec

        if find_spec("obstore") is None:
            raise InvalidValue(
                f"{address} needs obstore, which is not installed; get the extra `{_EXTRA}`: "
                f"pip install 'bigearth-pipeline[{_EXTRA}]'"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return Client, (self.address,)

    def get(self, name: str, start: int, end: int) -> Answer:
        """Return the bytes of an object from `start` to `end`; fewer if it is shorter.

        Raises:
            Refused: they did not arrive.
        """

        def send(store: "ObjectStore") -> Answer:
            import obstore

            found = obstore.get(store, name, options={"range": (start, end)})
            return Answer(found.bytes(), found.meta["size"], found.meta["e_tag"])

        return self._send(send)

    def stream(self, name: str, start: int, end: int) -> Stream:
        """Return the bytes of an object from `start` to `end`, or fewer, as `get`, without waiting for all of them.

        Raises:
            Refused: they did not arrive; the pieces raise it too.
        """

        def send(store: "ObjectStore") -> Any:
            import obstore

            return obstore.get(store, name, options={"range": (start, end)})

        found = self._send(send)

        def pieces() -> Iterator[memoryview]:
            following = found.stream(min_chunk_size=_PIECE)
            while (piece := self._send(lambda _: next(following, None))) is not None:
                yield memoryview(piece)

        return Stream(pieces(), found.meta["size"], found.meta["e_tag"])

    def get_whole(self, name: str, at_most: int) -> Answer:
        """Return an object; without its content if that is longer than `at_most` bytes."""

        def send(store: "ObjectStore") -> Answer:
            import obstore

            found = obstore.get(store, name)
            size = found.meta["size"]
            return Answer(found.bytes() if size <= at_most else b"", size, found.meta["e_tag"])

        return self._send(send)

    def head(self, name: str) -> Entry:
        """Return size and tag of an object."""

        def send(store: "ObjectStore") -> Entry:
            import obstore

            meta = obstore.head(store, name)
            return Entry(name, meta["size"], meta["e_tag"])

        return self._send(send)

    def put(self, name: str, content: bytes, *, mode: Any = "overwrite") -> str | None:
        """Write an object by one request and return its tag.

        Args:
            name: of the object.
            content: its bytes.
            mode: `overwrite`; `create` if there may be none yet; `{"e_tag": …}` if it must be this version.
        """

        def send(store: "ObjectStore") -> str | None:
            import obstore

            return obstore.put(store, name, content, mode=mode, use_multipart=False)["e_tag"]

        return self._send(send)

    def put_parts(self, name: str, content: Callable[[], Iterator[bytes]], part: int) -> str | None:
        """Write an object in parts that are sent beside each other and return its tag.

        Whatever ends it early, the server deletes the parts, which nobody sees and which cost money.

        Args:
            name: of the object.
            content: returns its bytes in blocks, in this thread; what these raise ends the upload.
            part: bytes of a part.

        Raises:
            Unsent: the blocks did not come.
            Refused: the server did not take it.
        """

        def send(store: "ObjectStore") -> str | None:
            import obstore

            return obstore.put(store, name, content(), use_multipart=True, chunk_size=part)["e_tag"]

        return self._send(send)

    def list(self, below: str = "") -> Iterator[Entry]:
        """Yield the objects whose names begin so, up to a slash."""

        def send(store: "ObjectStore") -> list[Entry]:
            import obstore

            pages = obstore.list(store, below or None)
            return [Entry(each["path"], each["size"], each["e_tag"]) for page in pages for each in page]

        return iter(self._send(send))

    def delete(self, name: str) -> None:
        """Delete an object; one that is absent is none of the failures."""

        def send(store: "ObjectStore") -> None:
            import obstore

            obstore.delete(store, name)

        try:
            self._send(send)
        except Refused as err:
            if err.kind != "absent":
                raise

    def _send(self, send: Callable[["ObjectStore"], T]) -> T:
        try:
            return send(self._open())
        except (InvalidValue, ShardError, Unsent):
            raise
        # It has classes of its own, and OSErrors without a number.
        except Exception as err:
            raise refused(err) from None

    def _open(self) -> "ObjectStore":
        if _started.process not in (None, os.getpid()):
            raise ShardError(
                f"{self.address} cannot be read in a process that was forked from one that had read from object "
                "storage; start it with the method spawn or forkserver"
            )
        with self._lock:
            if self._store is None:
                self._store = _make(self.address)
                _started.process = os.getpid()
            return self._store


def _make(address: Address) -> "ObjectStore":
    """Return obstore's store; it takes endpoint, region and credentials from the environment."""
    from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

    # Attempts are counted by `attempts` alone.
    retry: Any = {"max_retries": 0, "retry_timeout": TIMEOUT}
    options: Any = {"timeout": TIMEOUT, "read_timeout": _SILENCE, "connect_timeout": _CONNECT}
    _, first, *rest = address.parts
    prefix = "/".join(rest) or None
    if address.scheme in ("http", "https"):
        options["allow_http"] = address.scheme == "http"
        return HTTPStore.from_url(str(address), client_options=options, retry_config=retry)
    if address.scheme == "s3":
        if any(os.environ.get(name, "").startswith("http://") for name in S3_ENDPOINTS):
            options["allow_http"] = True
        return S3Store(first, prefix=prefix, client_options=options, retry_config=retry)
    make = GCSStore if address.scheme == "gs" else AzureStore
    return make(first, prefix=prefix, client_options=options, retry_config=retry)
