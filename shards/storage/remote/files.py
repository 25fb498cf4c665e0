"""The files of a store on object storage: requests for the ranges of a batch, and the cache where their answers go."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from shards.runtime.forks import renew_in_children
from shards.storage.base import FileEntry, Range, Ranges, RangeTable, Unreadable, Views
from shards.storage.disk.cache import DiskCache
from shards.storage.disk.image import Image
from shards.storage.remote.attempts import attempt
from shards.storage.remote.client import Client, Refused
from shards.storage.remote.coalesce import Span, coalesce
from shards.storage.remote.pool import Job, Pool

_NOW: Final = 0
_SOON: Final = 1
_LATER: Final = 2
_ABOUT: Final = 2048
"""Ranges by which what is fetched ahead may come earlier or later than in the order of need: less than a window."""
_DOWNLOADS: Final = 3
"""Times that a range is fetched whose checksum is wrong, before the reader is given it and says so."""
_KEPT_BYTES: Final = 256 << 20
"""Bytes of answers that are kept in memory until somebody asks for them, where the cache has no room."""


class _Request:
    """A request for a span, and its answer: None if it was not sent, as another process had all of it in the cache."""

    def __init__(self, number: int, span: Span) -> None:
        self.number, self.span = number, span
        self.job: Job
        self.content: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The state of a batch.

    Attributes:
        images: those that hold its ranges, by file.
        requests: those for its other ranges, by the number of the range.
        is_checked: whether the images hold all ranges, compared with their checksums.
    """

    images: dict[int, Image]
    requests: dict[int, _Request]
    is_checked: bool


class RemoteFiles:
    """Files below an address, as `Files`.

    In a forked process it reads what the cache holds; for all else see `Client`.
    """

    def __init__(self, client: Client, files: Sequence[FileEntry], table: RangeTable, cache: DiskCache) -> None:
        """Say which files there are.

        Args:
            client: for requests.
            files: name and size of each.
            table: all ranges.
            cache: for what was fetched; closed with this.
        """
        self._client, self._files, self._table, self._cache = client, files, table, cache
        self.pool = Pool()
        self._tags: dict[int, str | None] = {}
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`: requests under way are the parent's."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._request_of: NDArray[np.int32] = np.zeros(len(self._table.crc32c), np.int32)
        self._requests: dict[int, _Request] = {}
        self._kept: OrderedDict[int, _Request] = OrderedDict()
        self._kept_bytes = self._last = 0

    def path(self, file: int) -> Path:
        """See `Files`."""
        return self._client.address / self._files[file].name

    def prepare(self, ranges: Ranges) -> object:
        """See `Files`: requests are sent for what the cache does not hold; errors are those of `fetch`."""
        images, held, is_checked = self._cache.find(ranges)
        if held.all():
            return _Prepared(images, {}, is_checked)
        return _Prepared(images, self._send(ranges.take(~held), _NOW), False)

    def views(self, ranges: Ranges) -> Views | None:
        """See `Files`: nothing lies in memory."""
        return None

    def descriptors(self, ranges: Ranges, prepared: object) -> NDArray[np.int64] | None:
        """See `Files`: those of images, if they hold all ranges."""
        assert isinstance(prepared, _Prepared)
        if not prepared.is_checked:
            return None
        files, where = np.unique(ranges.file, return_inverse=True)
        return np.array([prepared.images[file].descriptor for file in files.tolist()], np.int64)[where]

    def fetch(self, place: Range, buffer: NDArray[np.uint8], prepared: object) -> None:
        """See `Files`."""
        assert isinstance(prepared, _Prepared)
        self._check(place)
        request, image = prepared.requests.get(place.number), prepared.images.get(place.file)
        while True:
            if request is None:
                if image is not None and self._cache.read(image, place.number, place.offset, buffer):
                    return
                # The image was damaged, or the last use of the range is long ago.
                request = self._send(_one(place), _NOW)[place.number]
            if (content := self._answer(request, place)) is not None:
                break
            request, image = None, self._cache.find(_one(place))[0].get(place.file)
        if len(content) != place.length:
            what = f"ends after {len(content)} bytes, expected {place.length} at offset {place.offset}"
            raise Unreadable(self.path(place.file), what)
        np.copyto(buffer, content)

    def _answer(self, request: _Request, place: Range) -> NDArray[np.uint8] | None:
        try:
            request.job.future.result()
        except Refused as err:
            raise Unreadable(self.path(place.file), f"cannot be read: {err.what}") from None
        except CancelledError:
            raise ValueError("the store is closed, expected it open") from None
        begin = place.offset - request.span.start
        return None if request.content is None else request.content[begin : begin + place.length]

    def _check(self, place: Range) -> None:
        """Check a place by what the manifest says, for nothing is requested that no file has."""
        size = self._files[place.file].size_bytes
        if place.offset < 0 or place.offset > size - place.length:
            what = f"cannot be read at offset {place.offset}, expected at most {size} bytes of the file"
            raise Unreadable(self.path(place.file), what)

    def advise(self, ranges: Ranges) -> None:
        """See `Files`: requests are sent after those that somebody waits for."""
        _, held, _ = self._cache.find(ranges)
        if not held.all():
            self._send(ranges.take(~held), _SOON)

    def advise_files(self, ranges: Ranges) -> None:
        """See `Files`: requests are sent after all others, as much as fits into half of the cache."""
        _, held, _ = self._cache.find(ranges)
        missing = ranges.take(~held)
        missing = missing.take(np.cumsum(missing.length) <= self._cache.limit // 2)
        if len(missing):
            self._send(missing, _LATER)

    def _send(self, ranges: Ranges, urgency: int) -> dict[int, _Request]:
        """Send requests for ranges, but for those that are under way; return the request for each range."""
        sizes = np.array([file.size_bytes for file in self._files], np.int64)[ranges.file]
        ranges = ranges.take((ranges.offset >= 0) & (ranges.offset <= sizes - ranges.length))
        with self._lock:
            known = self._request_of[ranges.number]
            waiting = [self._requests[number] for number in np.unique(known[known > 0]).tolist()]
            spans = coalesce(ranges.take(known == 0))
            if urgency == _LATER and spans:
                spans = _by_need(spans, ranges.number)
            for span in spans:
                self._last += 1
                request = self._requests[self._last] = _Request(self._last, span)
                request.job = self._job(request)
                self._request_of[span.ranges.number] = self._last
                waiting.append(request)
            found = {}
            if urgency == _NOW:
                numbers = self._request_of[ranges.number].tolist()
                found = {i: self._requests[of] for i, of in zip(ranges.number.tolist(), numbers, strict=True)}
        for request in waiting:
            self.pool.submit(request.job, urgency)
        return found

    def _job(self, request: _Request) -> Job:
        span = request.span
        return Job(
            lambda job: self._download(span, at_once=job.urgency < _LATER),
            lambda result, error: self._finish(request, result, error),
            span.end - span.start,
        )

    def _download(self, span: Span, *, at_once: bool) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
        """Return the bytes of a span, and which of its ranges are right; None if the cache has it meanwhile."""
        if not at_once and self._cache.find(span.ranges)[1].all():
            return None
        file, name = span.file, self._files[span.file].name
        for _ in range(_DOWNLOADS):
            answer = attempt(lambda: self._client.get(name, span.start, span.end), stop=self._closing)
            content = np.frombuffer(answer.content, np.uint8)
            if answer.size_bytes != (size := self._files[file].size_bytes):
                raise Refused("changed", f"the object has {answer.size_bytes} bytes, expected {size}")
            right = self._right(span, content)
            if right.all():
                self._tags[file] = answer.tag
                break
            if self._tags.get(file, answer.tag) != answer.tag:
                raise Refused("changed", "it was changed since it was first read")
        return content, right

    def _right(self, span: Span, content: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return for each range of a span whether its bytes have their checksum."""
        begins = (span.ranges.offset - span.start).tolist()
        lengths, expected = span.ranges.length.tolist(), self._table.crc32c[span.ranges.number].tolist()
        parts = zip(begins, lengths, expected, strict=True)
        return np.array([crc32c(content[begin : begin + length]) == crc for begin, length, crc in parts], np.bool_)

    def _finish(
        self, request: _Request, result: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None, error: BaseException | None
    ) -> None:
        """Put an answer into the cache."""
        span, is_cached, is_right = request.span, True, False
        if result is not None:
            request.content, right = result
            is_right = bool(right.all())
            is_cached = bool(right.any()) and self._cache.put(span.ranges.take(right), span.start, request.content)
        with self._lock:
            if is_cached or error is not None or not is_right or request.content is None:
                self._forget(request)
                return
            self._kept[request.number] = request
            self._kept_bytes += span.end - span.start
            while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= oldest.span.end - oldest.span.start
                self._forget(oldest)

    def _forget(self, request: _Request) -> None:
        """Let the next one who needs its ranges look into the cache, or send another request."""
        numbers = request.span.ranges.number
        self._request_of[numbers[self._request_of[numbers] == request.number]] = 0
        self._requests.pop(request.number, None)

    def close(self) -> None:
        """See `Files`."""
        self._closing.set()
        self.pool.close()
        self._cache.close()


def _by_need(spans: list[Span], numbers: NDArray[np.int64]) -> list[Span]:
    """Return spans in about the order in which their ranges are needed, which is that of the numbers.

    Processes that share a cache do not all begin with the same span, and leave out what others have fetched meanwhile.
    """
    order = np.argsort(numbers, kind="stable")
    first = [order[np.searchsorted(numbers, span.ranges.number, sorter=order)].min() for span in spans]
    turns = np.argsort(np.array(first) + np.random.default_rng().uniform(0, _ABOUT, len(spans)))
    return [spans[i] for i in turns.tolist()]


def _one(place: Range) -> Ranges:
    number, file, offset, length = (np.array([value], np.int64) for value in place)
    return Ranges(number, file.astype(np.int32), offset, length)
