"""Pieces of a file, fetched by several threads and taken in order."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from bigearth_pipeline.download.client import RemoteFile, Stopped

PIECE: Final = 8 << 20
"""Bytes of a piece: long enough that asking for it costs little, short enough to be fetched again."""


class Reader(Protocol):
    """Reads ranges of files: a client."""

    def read(self, file: RemoteFile, begin: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of a range; see `client.Client.read`."""

    def close(self) -> None:
        """End all waits, from any thread."""


class Sink(Protocol):
    """A place where pieces wait until they are taken."""

    @property
    def ahead(self) -> int | None:
        """Number of pieces that may wait; None for any number."""

    def has(self, number: int) -> bool:
        """Return whether a piece is here."""

    def put(self, number: int, blocks: Iterator[bytes]) -> None:
        """Keep a piece, which is here once all its blocks have come."""

    def take(self, number: int) -> bytes:
        """Return a piece that is here; once."""


class InMemory:
    """Pieces in memory, as `Sink`: a few only."""

    def __init__(self, ahead: int) -> None:
        self.ahead: int | None = ahead
        self._pieces: dict[int, bytes] = {}

    def has(self, number: int) -> bool:
        """See `Sink`."""
        return number in self._pieces

    def put(self, number: int, blocks: Iterator[bytes]) -> None:
        """See `Sink`."""
        self._pieces[number] = b"".join(blocks)

    def take(self, number: int) -> bytes:
        """See `Sink`."""
        return self._pieces.pop(number)


def num_pieces(size: int) -> int:
    """Return how many pieces a file of that many bytes has."""
    return -(-size // PIECE)


@contextmanager
def fetched(client: Reader, file: RemoteFile, sink: Sink, connections: int) -> Iterator["Transfer"]:
    """Fetch the pieces that a sink does not have; the block takes all of them in order.

    The threads have ended when the block has. What one of them raises comes out of the iterator.

    Args:
        client: closed when the block ends, so that no thread waits for a server.
        file: the file.
        sink: where pieces wait.
        connections: number of threads; one where the server gives no ranges.
    """
    work = Transfer(client, file, sink)
    threads = [
        threading.Thread(target=work.run, name="bep-download", daemon=True)
        for _ in range(connections if file.has_ranges else 1)
    ]
    for thread in threads:
        thread.start()
    try:
        yield work
    finally:
        work.stop()
        for thread in threads:
            thread.join()


class Transfer:
    """The threads that fetch a file, and its pieces in order.

    Attributes:
        error: what has ended one of the threads; None as long as nothing has.
    """

    def __init__(self, client: Reader, file: RemoteFile, sink: Sink) -> None:
        self._client, self._file, self._sink = client, file, sink
        self._condition = threading.Condition()
        self._next = self._taken = 0
        self.error: BaseException | None = None
        self._is_stopped = False
        self._stream: Iterator[bytes] | None = None

    def run(self) -> None:
        """Fetch pieces until there are no more; in a thread."""
        try:
            while (number := self._claim()) is not None:
                self._sink.put(number, self._blocks(number))
                with self._condition:
                    self._condition.notify_all()
        except Stopped:
            pass
        except BaseException as err:
            with self._condition:
                self.error = self.error or err
                self._condition.notify_all()

    def _claim(self) -> int | None:
        """Return the next piece to fetch, as soon as it may be; None if none is left, or the transfer ends."""
        with self._condition:
            while True:
                while self._next < num_pieces(self._file.size) and self._sink.has(self._next):
                    self._next += 1
                if self._is_stopped or self.error is not None or self._next >= num_pieces(self._file.size):
                    return None
                if self._sink.ahead is None or self._next < self._taken + self._sink.ahead:
                    self._next += 1
                    return self._next - 1
                self._condition.wait()

    def _blocks(self, number: int) -> Iterator[bytes]:
        begin, end = number * PIECE, min((number + 1) * PIECE, self._file.size)
        if self._file.has_ranges:
            yield from self._client.read(self._file, begin, end)
            return
        # One answer for all pieces, which come in sequence.
        if self._stream is None:
            self._rest, self._stream = b"", self._client.read(self._file, begin, self._file.size)
        while begin < end:
            block = self._rest or next(self._stream)
            part, self._rest = block[: end - begin], block[end - begin :]
            begin += len(part)
            yield part

    _rest = b""

    def in_order(self) -> Iterator[bytes]:
        """Yield the pieces as soon as they are here."""
        for number in range(num_pieces(self._file.size)):
            with self._condition:
                while not self._sink.has(number):
                    if self.error is not None:
                        raise self.error
                    if self._is_stopped:
                        raise Stopped
                    self._condition.wait()
            yield self._sink.take(number)
            with self._condition:
                self._taken = number + 1
                self._condition.notify_all()

    def stop(self) -> None:
        """Let the threads end, and whoever waits for a piece; any thread may call."""
        self._client.close()
        with self._condition:
            self._is_stopped = True
            self._condition.notify_all()
