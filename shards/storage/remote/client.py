"""Requests to object storage, each sent once: the wrapper of obstore, and what its failures mean."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from shards.errors import InvalidValue, ShardError
from shards.storage.remote.address import Address

if TYPE_CHECKING:
    from obstore.store import ObjectStore

TIMEOUT: Final = timedelta(seconds=30)
"""Of a request, from its start to the last byte of its answer."""
_CONNECT: Final = timedelta(seconds=5)
_EXTRA: Final = "cloud"
_ELSEWHERE: Final = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
_CREDENTIALS: Final = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
"""Hosts that give credentials where the environment has none."""
S3_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
AUTHORITY_HINT: Final = "SSL_CERT_FILE names a file with the certificates of the authorities to trust"

Kind = Literal["absent", "no bucket", "denied", "region", "exists", "changed", "range", "busy", "broken", "refused"]
PASSING: Final[tuple[Kind, ...]] = ("busy", "broken")
"""Failures that another attempt can mend."""


T = TypeVar("T")


class Refused(Exception):
    """A request failed.

    Attributes:
        kind: how.
        what: that in words, to stand behind a colon: it never holds text of a server.
    """

    def __init__(self, kind: Kind, what: str) -> None:
        super().__init__(what)
        self.kind: Kind = kind
        self.what = what


class Unsent(Exception):
    """The bytes of an object could not be had, or are not to be sent any more; its cause says why."""


class Answer(NamedTuple):
    """Bytes of an object, its size, and the tag that tells its versions apart; None from a server without."""

    content: Any
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
            raise _refused(err) from None

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
    options: Any = {"timeout": TIMEOUT, "connect_timeout": _CONNECT}
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


def _refused(err: Exception) -> Refused:
    """Return what an error of obstore means. Its text is only searched: servers repeat keys and signatures in it."""
    text = str(err)
    status = int(match[1]) if (match := re.search(r"status code: (\d{3})", text)) else 0
    code = match[1] if (match := re.search(r"<Code>([A-Za-z]{1,60})</Code>", text)) else ""
    said = f"HTTP {status}{f', {code}' if code else ''}" if status else type(err).__name__
    if any(host in text.partition("Debug source")[0] for host in _CREDENTIALS):
        return Refused("denied", "the environment has no credentials for it")
    if code == "NoSuchBucket" or "ContainerNotFound" in text:
        return Refused("no bucket", f"there is no such bucket ({said})")
    name = type(err).__name__
    if name == "AlreadyExistsError":
        return Refused("exists", "it exists already")
    if name == "PreconditionError":
        return Refused("changed", "it was changed meanwhile")
    if isinstance(err, FileNotFoundError) or status in (404, 410):
        return Refused("absent", "it is absent")
    if status == 301 or code in _ELSEWHERE:
        return Refused("region", f"it is in another region or at another endpoint than the environment says ({said})")
    if name in ("PermissionDeniedError", "UnauthenticatedError") or status in (401, 403):
        return Refused("denied", f"it is denied to these credentials ({said or 'no access'})")
    if status == 416:
        return Refused("range", "it is shorter than expected (HTTP 416)")
    if status == 409:
        return Refused("busy", f"another request changes it ({said})")
    if status in (408, 429) or status >= 500:
        return Refused("busy", f"the server does not serve it ({said})")
    if name == "NotSupportedError":
        return Refused("refused", "its server does not answer requests for ranges, which reading needs")
    if status:
        return Refused("refused", f"the server refuses it ({said})")
    if match := re.search(r"InvalidCertificate\(\s*(\w+)", text):
        # Names of rustls, such as Expired and NotValidForNameContext.
        reason = match[1].removesuffix("Context")
        hint = f"; {AUTHORITY_HINT}" if reason == "UnknownIssuer" else ""
        return Refused("refused", f"the certificate of its server is not valid here ({reason}){hint}")
    if "No CA certificates were loaded" in text:
        return Refused("refused", f"this machine has no certificates of authorities; {AUTHORITY_HINT}")
    late = "timed out" in text.lower() or "TimedOut" in text
    return Refused("broken", "the server does not answer in time" if late else "the connection fails")
