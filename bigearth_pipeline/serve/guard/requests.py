"""Requests that are refused: for another host (DNS rebinding), from another site, without the token, too large or slow.

Uploads are refused, too, while too many others are under way.
"""

import asyncio
import hmac
import re
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
MOST_BYTES: Final = 96 << 20
"""Bytes of the body of a request."""
SMALL_BYTES: Final = 1 << 16
"""Bytes up to which a body of JSON is no upload."""
MOST_UPLOADS: Final = 8
"""Uploads at a time, each of which has a thread while it is decoded or waits for that."""
BODY_SECONDS: Final = 600.0
"""Seconds for a body to come."""
SILENT_SECONDS: Final = 60.0
"""Seconds between two parts of a body."""
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@\s]+)(?::\d{1,5})?")
_READING: Final = ("GET", "HEAD")


class Refused(Exception):
    """A request is refused.

    Attributes:
        status: of the answer.
    """

    def __init__(self, status: int, reason: str) -> None:
        """Take the status and the reason."""
        super().__init__(reason)
        self.status = status


class Guard:
    """ASGI application that passes only allowed requests to another one.

    With a token, paths begin with it, `/TOKEN/api/about`, so that links within the page have it, too; or requests
    have it in `Authorization: Bearer TOKEN`.
    """

    def __init__(self, app: ASGIApp, token: str | None = None, most_bytes: int = MOST_BYTES) -> None:
        """Take the application.

        Args:
            app: the application.
            token: that requests need; without one, the host that they name must be this machine.
            most_bytes: of the body of a request.
        """
        self._app, self._token, self._most_bytes = app, token, most_bytes
        self._uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        try:
            if self._token is None:
                _check_host(headers)
            else:
                scope = _without_token(scope, headers, self._token)
            _check_site(scope["method"], headers)
            is_upload = _is_upload(headers, _check_length(headers, self._most_bytes))
            if is_upload and self._uploads >= MOST_UPLOADS:
                raise Refused(503, f"{MOST_UPLOADS} other uploads are under way; try again in a few seconds")
        except Refused as err:
            await JSONResponse({"detail": str(err)}, err.status)(scope, receive, send)
            return
        self._uploads += is_upload
        try:
            await self._app(scope, _bounded(receive, self._most_bytes), send)
        finally:
            self._uploads -= is_upload


def _check_host(headers: Headers) -> None:
    """Refuse names of other hosts: a page elsewhere may have its name lead to this machine."""
    match = _HOST.fullmatch(headers.get("host", ""))
    if match is None or match[1].lower() not in LOOPBACK_NAMES:
        raise Refused(400, f"the request names another host, expected {', '.join(LOOPBACK_NAMES)}")


def _without_token(scope: Scope, headers: Headers, token: str) -> Scope:
    """Return the request without the token in its path.

    Raises:
        Refused: the token is absent or another one.
    """
    first, slash, rest = scope["path"].removeprefix("/").partition("/")
    if slash and hmac.compare_digest(first.encode(), token.encode()):
        prefix = f"/{first}"
        return {
            **scope,
            "path": f"/{rest}",
            "raw_path": f"/{rest}".encode(),
            "root_path": "",
            "prefix": prefix,
        }
    given = headers.get("authorization", "").encode()
    if hmac.compare_digest(given, f"Bearer {token}".encode()):
        return scope
    raise Refused(401, "the token is absent or wrong, expected a path that begins with it and a slash")


def _check_site(method: str, headers: Headers) -> None:
    """Refuse what another site makes a browser send; links from elsewhere may open the page."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    is_link = method in _READING and headers.get("sec-fetch-mode") == "navigate"
    if site not in (None, "same-origin", "none") and not is_link:
        raise Refused(403, "the request comes from another site")
    if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
        raise Refused(403, "the request comes from another site")


def _check_length(headers: Headers, most: int) -> int:
    """Return the bytes of the body, at most; of one in chunks the limit."""
    if "transfer-encoding" in headers:
        return most
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit():
        raise Refused(400, "the length of the body is no number")
    if int(length) > most:
        raise Refused(
            413, f"the body has {int(length):,} bytes, expected at most {most:,}; bep predict takes images of any size"
        )
    return int(length)


def _is_upload(headers: Headers, length: int) -> bool:
    is_json = headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    return length > (SMALL_BYTES if is_json else 0)


def _bounded(receive: Receive, most: int) -> Receive:
    """Return a receiver that ends a body of unknown length at the limit, and one that comes too slowly."""
    total, is_whole, end = 0, False, asyncio.get_running_loop().time() + BODY_SECONDS

    async def bounded() -> Message:
        nonlocal total, is_whole
        if is_whole:
            # What is waited for now is the end of the connection.
            return await receive()
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(now + SILENT_SECONDS, end)):
                message = await receive()
        except TimeoutError as err:
            raise HTTPException(408, "the body has not come in time") from err
        if message["type"] == "http.request":
            is_whole = not message.get("more_body", False)
            total += len(message.get("body", b""))
            if total > most:
                raise HTTPException(413, f"the body has more than {most:,} bytes")
        return message

    return bounded
