"""Heads of requests: of bounded size, in bounded time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn")

from bigearth_pipeline.serve.guard import connection  # noqa: E402
from tests.bigearth_pipeline.serve.conftest import apart  # noqa: E402

LINE = b"POST / HTTP/1.1\r\nHost: x\r\n"
MOST = connection.MOST_HEAD


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the number of bytes of the body."""
    total, more = 0, True
    while more:
        message = await receive()
        total += len(message.get("body", b""))
        more = message.get("more_body", False)
    content = str(total).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(content))]})
    await send({"type": "http.response.body", "body": content})


def asked(work: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, bytes]]) -> bytes:
    """Return what a client has from a server."""

    async def both() -> bytes:
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
        config.load()
        state = uvicorn.server.ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: connection.Connection(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            async with asyncio.timeout(60):
                return await work(reader, writer)
        finally:
            writer.close()
            server.close()

    return apart(both)


async def sent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begin: bytes, part: bytes) -> bytes:
    """Send a beginning and 16 MiB of parts until the server has enough; return what it answers."""
    answer = asyncio.create_task(reader.read())
    writer.write(begin)
    try:
        for _ in range((16 << 20) // len(part)):
            writer.write(part)
            await writer.drain()
    except ConnectionError:
        try:
            return await answer
        except ConnectionError:
            return b""
    raise AssertionError("the server has taken all of it")


@pytest.mark.parametrize(
    ("begin", "part"),
    [
        (LINE + b"X: ", b"a" * 65_536),
        (LINE, b"X: a\r\n" * 8_192),
        (b"GET /", b"a" * 65_536),
        (LINE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n" * 8_192),
    ],
    ids=["a field", "many fields", "an address", "fields after the body"],
)
def test_a_head_without_end_is_refused(begin: bytes, part: bytes) -> None:
    """A head of any size is kept, and one field of 100 MB stops the server for ten seconds."""
    answer = asked(lambda reader, writer: sent(reader, writer, begin, part))
    assert answer == b"" or b"400 Bad Request" in answer


def test_requests_of_usual_size_are_answered() -> None:
    """A large body, fields of a browser, or several requests on a connection count as one large head."""

    async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        found = b""
        for size in (0, 3 << 20, 10):
            field = b"X: " + b"a" * (MOST // 4) + b"\r\n"
            writer.write(LINE + 2 * field + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
            await reader.readuntil(b"\r\n\r\n")
            found += await reader.readexactly(len(str(size))) + b" "
        return found

    assert asked(work) == b"0 3145728 10 "


def test_a_head_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections without a request stay open until the server can open no file."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        return await reader.read()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(LINE)
        return await reader.read()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(LINE + b"Content-Length: 2\r\n\r\nx")
        await asyncio.sleep(0.5)
        writer.write(b"x")
        return await reader.readuntil(b"\r\n\r\n2")

    assert asked(silent) == asked(half) == b""
    assert b"200 OK" in asked(slow)
