"""The files of a store on object storage: requests for the ranges of a batch, and the cache where their answers go."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.runtime.forks import renew_in_children
from shards.storage.base import FileEntry, Range, Ranges, RangeTable, Unreadable, Views
from shards.storage.disk.cache import DiskCache
from shards.storage.disk.image import Image
from shards.storage.remote.arrival import Found, Receiver
from shards.storage.remote.client import Client
from shards.storage.remote.coalesce import Span, by_need, coalesce
from shards.storage.remote.failures import Refused
from shards.storage.remote.pool import Job, Pool

_NOW: Final = 0
_SOON: Final = 1
_LATER: Final = 2
_KEPT_BYTES: Final = 256 << 20
"""Bytes of answers that are kept in memory until somebody asks for them, where the cache has no room."""


class _Request:
    """A request for a span, and what it found: None if it was not sent, as others had put all of it into the cache.

    Its job knows it by its number: in a cycle of references its image would stay open until a garbage collection, which
    takes up space on the disk although the image is deleted.
    """

    def __init__(self, number: int, span: Span, job: Job) -> None:
        self.number, self.span, self.job = number, span, job
        self.found: Found | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The state of a batch.

    Attributes:
        images: those that hold its ranges, by file.
        requests: those for its other ranges, by the number of the range.
        is_checked: whether the images hold all ranges, compared with their checksums by this process.
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
        self.pool, self._receiver = Pool(), Receiver(client, files, table, cache)
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`: requests under way are the parent's."""
        self._lock = threading.Lock()
        self._receiver.stop = threading.Event()
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

    def compared(self, prepared: object) -> bool:
        """See `Files`."""
        assert isinstance(prepared, _Prepared)
        return prepared.is_checked

    def bring(self, place: Range, prepared: object) -> bool:
        """See `Files`: what the cache has no room for is left to `fetch`, which gets it anew if it is gone."""
        assert isinstance(prepared, _Prepared)
        self._check(place)
        if prepared.is_checked:
            return True
        request = prepared.requests.get(place.number)
        found = None if request is None else self._wait(request, place)
        return found is not None and found.image is not None and place.number not in found.arrival.kept

    def fetch(self, place: Range, buffer: NDArray[np.uint8], prepared: object) -> bool:
        """See `Files`."""
        assert isinstance(prepared, _Prepared)
        self._check(place)
        request = prepared.requests.get(place.number)
        while True:
            if request is not None:
                found = self._wait(request, place)
                if found is not None and (content := found.arrival.kept.get(place.number)) is not None:
                    break
            image = self._image(place, prepared, request)
            if image is not None and self._cache.read(image, place.number, place.offset, buffer):
                return True
            # The image was damaged, or the last use of the range is long ago. If it was just written, it is no place to
            # read from.
            if request is not None:
                self._expire(request)
            request = self._send(_one(place), _NOW, stored=request is None)[place.number]
        np.copyto(buffer, content)
        return False

    def doubt(self, place: Range, prepared: object) -> bool:
        """See `Files`: the copy is that in the cache."""
        assert isinstance(prepared, _Prepared)
        image = self._image(place, prepared, prepared.requests.get(place.number))
        return image is not None and self._cache.doubt(image, place.number)

    def _image(self, place: Range, prepared: _Prepared, request: _Request | None) -> Image | None:
        """Return the image that holds a range, if one does: by what was prepared, or by a request that is over."""
        if request is None:
            return prepared.images.get(place.file)
        if request.found is None:
            return self._cache.find(_one(place))[0].get(place.file)
        return request.found.image

    def _wait(self, request: _Request, place: Range) -> Found | None:
        try:
            error = request.job.future.exception()
        except CancelledError:
            raise ValueError("the read was given up, for the store is closed or the program was interrupted") from None
        if isinstance(error, Refused):
            # It is not raised itself, for its traceback would lead back to the request.
            raise Unreadable(self.path(place.file), f"cannot be read: {error.what}")
        if error is not None:
            raise error
        return request.found

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

    def _send(self, ranges: Ranges, urgency: int, *, stored: bool = True) -> dict[int, _Request]:
        """Send requests for ranges, but for those that are under way; return the request for each range."""
        sizes = np.array([file.size_bytes for file in self._files], np.int64)[ranges.file]
        ranges = ranges.take((ranges.offset >= 0) & (ranges.offset <= sizes - ranges.length))
        with self._lock:
            known = self._request_of[ranges.number]
            waiting = [self._requests[number] for number in np.unique(known[known > 0]).tolist()]
            spans = coalesce(ranges.take(known == 0))
            if urgency == _LATER and spans:
                spans = by_need(spans, ranges.number)
            for span in spans:
                self._last += 1
                request = self._requests[self._last] = self._request(self._last, span, stored=stored)
                self._request_of[span.ranges.number] = self._last
                waiting.append(request)
            found = {}
            if urgency == _NOW:
                numbers = self._request_of[ranges.number].tolist()
                found = {i: self._requests[of] for i, of in zip(ranges.number.tolist(), numbers, strict=True)}
        self.pool.submit([request.job for request in waiting], urgency)
        return found

    def _request(self, number: int, span: Span, *, stored: bool) -> _Request:
        def run(job: Job) -> Found | None:
            if job.urgency == _LATER and self._cache.find(span.ranges)[1].all():
                return None
            return self._receiver.receive(span, stored=stored)

        def finish(result: Found | None, error: BaseException | None) -> None:
            self._finish(number, result, error)

        return _Request(number, span, Job(run, finish, span.end - span.start))

    def _finish(self, number: int, found: Found | None, error: BaseException | None) -> None:
        """Keep what came and has no room in the cache."""
        if isinstance(error, Refused):
            error.__traceback__ = error.__context__ = None
        with self._lock:
            if (request := self._requests.get(number)) is None:
                return
            request.found = found
            if error is not None or found is None or not found.arrival.kept or not found.arrival.right.all():
                self._forget(request)
                return
            self._kept[request.number] = request
            self._kept_bytes += _kept_bytes(request)
            while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= _kept_bytes(oldest)
                self._forget(oldest)

    def _expire(self, request: _Request) -> None:
        """Let the next one who needs its ranges send another request, although some of them are kept."""
        with self._lock:
            if self._kept.pop(request.number, None) is not None:
                self._kept_bytes -= _kept_bytes(request)
            self._forget(request)

    def _forget(self, request: _Request) -> None:
        """Let the next one who needs its ranges look into the cache, or send another request."""
        numbers = request.span.ranges.number
        self._request_of[numbers[self._request_of[numbers] == request.number]] = 0
        self._requests.pop(request.number, None)

    def give_up(self) -> None:
        """See `Files`: requests under way are not repeated if they fail."""
        self._receiver.stop.set()
        self._receiver.stop = threading.Event()
        with self._lock:
            self._request_of[:] = 0
            self._requests.clear()
            self._kept.clear()
            self._kept_bytes = 0
        self.pool.give_up()

    def close(self) -> None:
        """See `Files`."""
        self.give_up()
        self._receiver.stop.set()
        self.pool.close()
        self._cache.close()


def _kept_bytes(request: _Request) -> int:
    return 0 if request.found is None else sum(map(len, request.found.arrival.kept.values()))


def _one(place: Range) -> Ranges:
    number, file, offset, length = (np.array([value], np.int64) for value in place)
    return Ranges(number, file.astype(np.int32), offset, length)
