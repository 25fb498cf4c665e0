"""A server of a folder by HTTP ranges, each answer of which is late by a fixed time, as from object storage far away.

    python -m tools.bench.loader.ranges FOLDER --latency 0.03

It prints its port. Bytes go by sendfile(2), so that the server takes little of the processor that a measurement shares.
"""

import argparse
import asyncio
import re
from contextlib import suppress
from pathlib import Path

from shards.storage.safe_open import resolve_inside
from tools.arguments import run

_PIECE = 1 << 20


class Line:
    """A line that all answers share, with a limit of bytes a second; 0 for none."""

    def __init__(self, rate: float) -> None:
        self._rate, self._free = rate, 0.0

    async def wait(self, size: int) -> None:
        """Wait until that many bytes have gone before."""
        if self._rate:
            now = asyncio.get_running_loop().time()
            self._free = max(self._free, now) + size / self._rate
            await asyncio.sleep(self._free - now)


async def serve(folder: Path, latency: float, rate: float) -> None:
    """Answer requests until the process ends."""
    line = Line(rate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await asyncio.sleep(latency)
                await _answer(folder, head, writer, line)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _answer(folder: Path, head: str, writer: asyncio.StreamWriter, line: Line) -> None:
    method, target, _ = head.split(" ", 2)
    path = resolve_inside(folder, target.lstrip("/"))
    if path is None or not path.is_file():
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return
    size = path.stat().st_size
    start, stop, status = 0, size, "200 OK"
    extra = ""
    if match := re.search(r"(?im)^range: bytes=(\d+)-(\d+)", head):
        start, stop, status = int(match[1]), min(int(match[2]) + 1, size), "206 Partial Content"
        extra = f"Content-Range: bytes {start}-{stop - 1}/{size}\r\n"
    fields = f'Content-Length: {stop - start}\r\n{extra}ETag: "{size}"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT'
    writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode())
    await writer.drain()
    if method == "GET" and stop > start:
        with open(path, "rb") as file:
            for begin in range(start, stop, _PIECE):
                size = min(_PIECE, stop - begin)
                await line.wait(size)
                await asyncio.get_running_loop().sendfile(writer.transport, file, begin, size)


def main() -> None:
    """Serve a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0.03, help="seconds before each answer")
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second of all answers together; 0: no limit")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.folder, arguments.latency, arguments.rate))


if __name__ == "__main__":
    run(main)
