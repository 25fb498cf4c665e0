"""Ranges of a file of an HTTP server (RFC 9110, 14): asked for again after what passes, refused after what does not."""

import random
import ssl
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from bigearth_pipeline.errors import PipelineError
from shards.reporting import printable
from shards.storage.remote.failures import AUTHORITY_HINT

if TYPE_CHECKING:
    import httpx

_PASSING: Final = frozenset((408, 425, 429, 500, 502, 503, 504))
"""Statuses after which the same request may succeed."""
_LONGEST_WAIT: Final = 120.0
_BLOCK: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Patience:
    """The number and length of waits for a server.

    Attributes:
        attempts: in a row without a byte, after which a download is given up.
        first_seconds: wait after the first of them; then twice as long each time.
        longest_seconds: of a wait, unless the server asks for more (`Retry-After`, up to two minutes).
        silence_seconds: without a byte on a connection until it counts as cut.
    """

    attempts: int = 8
    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    silence_seconds: float = 60.0

    def wait(self, attempt: int, asked: float | None = None) -> float:
        """Return the seconds to wait after an attempt, from 0; jitter keeps connections from coming together."""
        seconds: float = min(self.longest_seconds, self.first_seconds * 2.0**attempt) * random.uniform(0.5, 1.5)
        return seconds if asked is None else max(seconds, min(asked, _LONGEST_WAIT))


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its server describes it.

    Attributes:
        url: address.
        size: bytes.
        tag: strong `ETag`, or else `Last-Modified`; empty if there is neither.
        has_ranges: the server gives parts of it.
    """

    url: str
    size: int
    tag: str
    has_ranges: bool


class Changed(PipelineError):
    """The file on the server is not the one that the download began with."""


class Stopped(Exception):
    """Ends a thread whose bytes nobody takes any more."""


class _Passing(Exception):
    """A failure that may not come again; `asked` are seconds that the server asks to wait."""

    def __init__(self, text: str, asked: float | None = None) -> None:
        super().__init__(text)
        self.asked = asked


class Client:
    """Connections to HTTP servers; safe to share between threads."""

    def __init__(self, connections: int = 1, patience: Patience | None = None) -> None:
        """Make a client.

        Args:
            connections: kept open, at most.
            patience: with servers that fail.

        Raises:
            PipelineError: the certificates of authorities that the environment names cannot be read.
        """
        # A tenth of a second, which builds of local files do not spend.
        import httpx

        self._patience = patience or Patience()
        self._failures = (_Passing, httpx.HTTPError, httpx.InvalidURL)
        self._passing = (_Passing, httpx.TransportError)
        self._unknown = httpx.UnsupportedProtocol
        try:
            self._client = httpx.Client(
                follow_redirects=True,
                timeout=httpx.Timeout(self._patience.silence_seconds),
                limits=httpx.Limits(max_connections=connections + 1, max_keepalive_connections=connections + 1),
                # The bytes of the file are wanted, and none that the server has compressed on the way.
                headers={"Accept-Encoding": "identity", "User-Agent": "bep (bigearth-pipeline)"},
            )
        except OSError as err:  # That of `ssl`, too.
            reason = printable(err.strerror or str(err))
            raise PipelineError(f"certificates of authorities cannot be read: {reason}; {AUTHORITY_HINT}") from err
        self._stopped = threading.Event()

    def close(self) -> None:
        """End all waits, and close all connections."""
        self._stopped.set()
        self._client.close()

    def describe(self, url: str) -> RemoteFile:
        """Ask what a file is.

        Raises:
            PipelineError: the file does not exist, or the server does not answer.
        """
        shown(url)  # So that what is no address is not asked again and again.

        def ask() -> RemoteFile:
            with self._client.stream("GET", url, headers={"Range": "bytes=0-0"}) as answer:
                _check(answer, url)
                total = _number(answer.headers.get("Content-Range", "").rpartition("/")[2])
                if answer.status_code == 206 and total is not None:
                    return RemoteFile(url, total, _tag(answer), True)
                length = _number(answer.headers.get("Content-Length", ""))
                if answer.status_code == 200 and length is not None:
                    return RemoteFile(url, length, _tag(answer), False)
                raise PipelineError(f"{shown(url)}: the server does not say how long the file is; expected a file")

        return self._patiently(url, ask, lambda: 0)

    def read(self, file: RemoteFile, begin: int, end: int) -> Generator[bytes, None, None]:
        """Yield the bytes of a range, again from where the connection was cut, if it is.

        Args:
            file: from `describe`.
            begin: first byte.
            end: after the last byte, at most `file.size`.

        Raises:
            Changed: the file is another one by now.
            PipelineError: the server refuses, or fails too often.
        """
        at = begin
        attempt = 0
        while at < end:
            before = at
            try:
                for block in self._read_once(file, at, end):
                    at += len(block)
                    yield block
                if at < end:
                    raise _Passing(f"the connection ended after {at:,} bytes")
            except self._failures as err:
                attempt = 0 if at > before else attempt + 1
                self._wait_or_raise(file.url, attempt, err)

    def _read_once(self, file: RemoteFile, begin: int, end: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={begin}-{end - 1}"} if file.has_ranges else {}
        if file.has_ranges and file.tag:
            headers["If-Range"] = file.tag
        with self._client.stream("GET", file.url, headers=headers) as answer:
            if answer.status_code == 416:
                raise Changed(f"{shown(file.url)} has changed: it has no byte {begin:,} any more")
            _check(answer, file.url)
            if file.tag and _tag(answer) not in ("", file.tag):
                raise Changed(f"{shown(file.url)} has changed while it was read")
            if file.has_ranges and answer.status_code != 206:
                if not file.tag and answer.headers.get("Content-Length") == str(file.size):
                    raise _Passing("the server has answered with the whole file")
                raise Changed(f"{shown(file.url)} has changed: the server answers with all of it")
            if file.has_ranges and not answer.headers.get("Content-Range", "").startswith(f"bytes {begin}-"):
                raise _Passing(f"the server has answered with another range than {begin}-{end - 1}")
            skip, left = (0 if file.has_ranges else begin), end - begin
            for block in answer.iter_raw(_BLOCK):
                if self._stopped.is_set():
                    raise Stopped
                part = block[skip:]
                skip -= len(block) - len(part)
                part = part[:left]
                left -= len(part)
                if part:
                    yield part
                if not left:
                    return

    def _patiently(self, url: str, ask: Callable[[], RemoteFile], progress: Callable[[], int]) -> RemoteFile:
        attempt = 0
        while True:
            try:
                return ask()
            except self._failures as err:
                attempt += 1
                self._wait_or_raise(url, attempt, err)

    def _wait_or_raise(self, url: str, attempt: int, err: Exception) -> None:
        """Wait before the next attempt.

        Raises:
            PipelineError: there were enough, or another would fail as well.
            Stopped: nobody waits for it any more.
        """
        if self._stopped.is_set():
            raise Stopped
        if invalid := _certificate_error(err):
            # Numbers of OpenSSL, x509_vfy.h, for an issuer that is not known.
            hint = f"; {AUTHORITY_HINT}" if invalid.verify_code in (18, 19, 20, 21) else ""
            raise PipelineError(
                f"{shown(url)} cannot be read: the certificate of its server is not valid here "
                f"({printable(invalid.verify_message)}){hint}"
            ) from err
        reason = printable(" ".join(str(err).split())[:200]) or type(err).__name__
        # Redirects in a circle, or to what is no address, will be the same the next time.
        if not isinstance(err, self._passing) or isinstance(err, self._unknown):
            raise PipelineError(f"{shown(url)} cannot be read: {reason}") from err
        if attempt >= self._patience.attempts:
            raise PipelineError(
                f"{shown(url)} cannot be read: {reason} ({attempt} attempts in a row); "
                "run the same command again to resume"
            ) from err
        asked = err.asked if isinstance(err, _Passing) else None
        if self._stopped.wait(self._patience.wait(max(0, attempt - 1), asked)):
            raise Stopped


def _check(answer: "httpx.Response", url: str) -> None:
    """Refuse an answer without a file.

    Raises:
        _Passing: the same request may succeed later.
        PipelineError: it will not.
    """
    status = answer.status_code
    if status in (200, 206):
        return
    phrase = f"HTTP {status} {answer.reason_phrase}".strip()
    if status in _PASSING:
        raise _Passing(f"the server answers {phrase}", _number(answer.headers.get("Retry-After", "")))
    hint = "; check the address" if status in (404, 410) else ""
    raise PipelineError(f"{shown(url)} cannot be read: the server answers {phrase}{hint}")


def _certificate_error(err: BaseException) -> ssl.SSLCertVerificationError | None:
    """Return the refusal of a certificate that has led to an error of the client; None if something else has."""
    cause: BaseException | None = err
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _number(text: str) -> int | None:
    """Return a number that a server says; None if it says none, or one that no file has."""
    # A header may hold any character of Latin-1, some of which are digits but no decimal ones.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _tag(answer: "httpx.Response") -> str:
    tag = str(answer.headers.get("ETag", ""))
    # A weak one says nothing of bytes.
    return tag if tag and not tag.startswith("W/") else str(answer.headers.get("Last-Modified", ""))


def shown(url: str) -> str:
    """Return an address without name and password, and without what follows its path: for messages and notes.

    Raises:
        PipelineError: it is no address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as err:
        raise _no_address(url, err) from None
    if not host:
        raise _no_address(url, "expected one that begins with https:// or http://")
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, host if port is None else f"{host}:{port}", parts.path, "", ""))


def _no_address(url: str, reason: object) -> PipelineError:
    """Return the error of a text that is no address; it is not repeated where a part of it may be a secret."""
    if "@" in url or "?" in url:
        return PipelineError(f"what follows {printable(url.partition('://')[0][:20])}:// is no address")
    return PipelineError(f"{printable(url[:200])} is no address: {reason}")
