"""Connections whose requests have a head of bounded size, which comes in bounded time."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD: Final = 1 << 16
"""Bytes of the line and the fields of a request, or of the fields after its body; what was received together counts
from the next part on."""
HEAD_SECONDS: Final = 30.0
"""Seconds for a head to come, from the beginning of the connection or of the request."""


class Connection(HttpToolsProtocol):
    """HTTP connection of Uvicorn, which by itself keeps heads of any size and waits for them without end."""

    _unread = 0
    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._await_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse a head that is too large."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread <= MOST_HEAD or self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.send_400_response(f"The head of the request has more than {MOST_HEAD} bytes.")
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to wait for a head."""
        self._unread = 0
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Wait no longer."""
        self._unread = 0
        self._await_nothing()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, which has limits of its own."""
        self._unread = 0
        super().on_body(body)

    def _await_head(self) -> None:
        self._await_nothing()
        self._end = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _await_nothing(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
