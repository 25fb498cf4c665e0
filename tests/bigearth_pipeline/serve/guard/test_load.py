"""Bodies that come slowly or many at a time, and answers without content."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from bigearth_pipeline.serve.app import api_of
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stopping import Stopping
from bigearth_pipeline.serve.guard import requests
from bigearth_pipeline.serve.guard.requests import MOST_UPLOADS, Guard

FORM = (b"content-type", b"multipart/form-data; boundary=x")
JSON = (b"content-type", b"application/json")


def post(path: str, kind: tuple[bytes, bytes], length: int) -> Scope:
    """Return the scope of a request with a body."""
    headers = [(b"host", b"127.0.0.1"), kind, (b"content-length", str(length).encode())]
    return {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": headers, "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 80), "root_path": "",
    }  # fmt: skip


def completed(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run to its end, in a thread without the loop that browsers of other tests leave."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(work())).result()


async def status_of(app: Guard, scope: Scope, receive: Receive) -> int:
    """Return the status of an answer."""
    found: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    await app(scope, receive, send)
    return found[0]


def test_uploads_leave_threads_for_everything_else() -> None:
    """Uploads that wait for each other take all threads, and the page stands still until they are decoded."""

    async def check() -> None:
        go_on = asyncio.Event()

        async def wait(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/api/uploads":
                await go_on.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        app = Guard(wait)
        upload = post("/api/uploads", FORM, 2000)
        under_way = [asyncio.create_task(status_of(app, upload, receive)) for _ in range(MOST_UPLOADS)]
        await asyncio.sleep(0)
        assert await status_of(app, upload, receive) == 503
        assert await status_of(app, post("/api/check/verdicts", JSON, 200), receive) == 200
        go_on.set()
        assert await asyncio.gather(*under_way) == [200] * MOST_UPLOADS
        assert await status_of(app, upload, receive) == 200

    completed(check)


def test_a_body_that_does_not_come_ends(contents: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stops in the middle of an upload takes the place of one for ever."""
    monkeypatch.setattr(requests, "SILENT_SECONDS", 0.05)

    async def check() -> None:
        parts = [b"--x\r\n"]

        async def receive() -> Message:
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": True}
            await asyncio.Event().wait()
            raise AssertionError

        app = Guard(api_of(contents, Stopping()))
        found = await asyncio.wait_for(status_of(app, post("/api/uploads", FORM, 2000), receive), 30)
        assert found == 408

    completed(check)


@pytest.mark.parametrize("path", ["/", "/docs", "/api/about", "/static/js/main.js", "/api/runs/0/events", "/nothing"])
def test_head_is_get_without_content(client: Any, path: str) -> None:
    """A program that asks whether the page is there receives the answer that its method is not allowed."""
    answer = client.head(path)
    assert answer.status_code == (404 if path == "/nothing" else 200)
    assert answer.content == b""
    if path != "/api/runs/0/events":
        assert answer.headers["content-length"] == str(len(client.get(path).content))
