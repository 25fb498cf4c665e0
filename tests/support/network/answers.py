"""A server for ranges on loopback whose answers can be wrong in ways that HTTP allows or that proxies are known for."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

ENDLESS: Final = 64 << 20
"""Bytes that follow an answer that does not end."""


class Answers(ThreadingHTTPServer):
    """A running server of a folder.

    Attributes:
        fault: of the answers to requests for ranges of files with records: `none`, `short` (the length of the answer is
            that of half of the range), `endless` (more follows), `another` (range), `unsaid` (no range), `chunked`.
        each: one of N of these answers has the fault.
        seen: answers by fault.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        """Say which folder is served."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.fault, self.each, self.seen = folder, "none", 1, Counter[str]()
        self.address = f"http://127.0.0.1:{self.server_port}"

    def next_fault(self) -> str:
        """Return the fault of the next answer."""
        fault = self.fault if self.seen.total() % self.each == 0 else "none"
        self.seen.update([fault])
        return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Answers

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        content = (self.server.folder / self.path.lstrip("/")).read_bytes()
        wanted = self.headers.get("Range")
        if wanted is None:
            self._answer(200, content, {"Content-Length": len(content)})
            return
        start, last = map(int, wanted.removeprefix("bytes=").split("-"))
        part, fault = content[start : last + 1], self.server.next_fault()
        first = start + 1 if fault == "another" else start
        headers: dict[str, object] = {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(content)}"}
        if fault == "unsaid":
            del headers["Content-Range"]
        if fault == "short":
            part = part[: len(part) // 2]
        headers["Content-Length"] = len(part) + (ENDLESS << 4 if fault == "endless" else 0)
        if fault == "chunked":
            headers["Transfer-Encoding"] = "chunked"
            del headers["Content-Length"]
            part = f"{len(part):x}\r\n".encode() + part + b"\r\n0\r\n\r\n"
        self._answer(206, part, headers)
        if fault == "endless":
            self.wfile.write(bytes(ENDLESS))
            self.close_connection = True

    def _answer(self, status: int, content: bytes, headers: dict[str, object]) -> None:
        self.send_response(status)
        for name, value in {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT", "ETag": '"1"', **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # The client had enough.
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            self.connection.close()


@contextmanager
def answers(folder: Path) -> Iterator[Answers]:
    """Run the server."""
    with Answers(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
