"""A proxy for HTTP on loopback that delays answers, refuses some, and breaks others off, as networks and servers do."""

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final

_TOGETHER_SECONDS: Final = 20.0
_CHUNK: Final = 1 << 16
_RESET: Final = struct.pack("ii", 1, 0)
"""For SO_LINGER: close sends RST."""


@dataclass(frozen=True, kw_only=True)
class Weather:
    """Faults of a network, drawn for each request by itself; shares add up to 1 at most.

    Attributes:
        latency: seconds before each answer.
        refused: share of requests that are answered with 500 or 503 and not passed on.
        reset: share whose connection is reset in the middle of the answer.
        short: share whose answer ends in the middle.
        lost: share that are passed on and done, but never answered.
        slow: share whose answer takes `slow_seconds` more.
        slow_seconds: see `slow`.
        seed: of the draws.
    """

    latency: float = 0.0
    refused: float = 0.0
    reset: float = 0.0
    short: float = 0.0
    lost: float = 0.0
    slow: float = 0.0
    slow_seconds: float = 1.0
    seed: int = 0

    def draw(self, rng: random.Random) -> str:
        """Return the fault of the next request, by the name of its share; `none` for none."""
        number = rng.random()
        for name in ("refused", "reset", "short", "lost", "slow"):
            if number < (share := getattr(self, name)):
                return name
            number -= share
        return "none"


class Proxy:
    """A proxy in front of a server; a context manager.

    Attributes:
        weather: faults; may be set at any time.
        address: of the proxy, `http://127.0.0.1:PORT`.
        seen: requests by fault, and by method.
        most: requests that were under way at the same time, at most.
        together: answers wait until as many requests have been under way at the same time; 20 s at most.
        decide: replaces the draws of the weather where set: returns the fault for a method and a target.
    """

    decide: Callable[[str, str], str] | None

    def __init__(self, port: int, weather: Weather = Weather()) -> None:
        """Say which port of this machine requests go to."""
        self.weather, self.seen, self.most, self.decide = weather, Counter[str](), 0, None
        self.address = ""
        self._port, self._now, self.together = port, 0, 0
        self._rng = random.Random(weather.seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._ready = threading.Event()

    @property
    def num_requests(self) -> int:
        """Requests that came."""
        return self.seen.total() // 2

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20))
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        try:
            while await self._exchange(reader, writer, upstream):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            with suppress(OSError):
                writer.close()
                upstream[1].close()

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.decode("latin-1").split(" ", 2)
        body = await _body(reader, head)
        fault = self.decide(method, target) if self.decide else self.weather.draw(self._rng)
        self.seen.update((fault, method))
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await asyncio.sleep(self.weather.latency + (self.weather.slow_seconds if fault == "slow" else 0.0))
            end = self._loop.time() + _TOGETHER_SECONDS
            while self.most < self.together and self._loop.time() < end:
                await asyncio.sleep(0.01)
        finally:
            self._now -= 1
        if fault == "refused":
            status = self._rng.choice(["500 Internal Server Error", "503 Slow Down"])
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return True
        upstream[1].write(head + body)
        await upstream[1].drain()
        answer = await upstream[0].readuntil(b"\r\n\r\n")
        has_body = method != "HEAD" and answer.split(b" ", 2)[1] not in (b"204", b"304")
        # Answers whose length is not known before they end are passed on as a whole.
        is_whole = has_body and (fault in ("lost", "reset", "short") or _is_chunked(answer))
        content = await _body(upstream[0], answer) if is_whole else b""
        if fault == "lost":
            return _reset(writer)
        if fault in ("reset", "short"):
            writer.write(answer + content[: len(content) // 2])
            await writer.drain()
            return _reset(writer) if fault == "reset" else False
        writer.write(answer + content)
        await writer.drain()
        length = _length(answer) if has_body and not is_whole else 0
        while length:
            piece = await upstream[0].read(min(length, _CHUNK))
            if not piece:
                return False
            length -= len(piece)
            writer.write(piece)
            await writer.drain()
        return b"connection: close" not in answer.lower()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if not _is_chunked(head):
        return await reader.readexactly(_length(head))
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        body += line + await reader.readexactly(size + 2)
        if not size:
            return body


def _is_chunked(head: bytes) -> bool:
    return b"transfer-encoding: chunked" in head.lower()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _reset(writer: asyncio.StreamWriter) -> bool:
    connection: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
    return False
