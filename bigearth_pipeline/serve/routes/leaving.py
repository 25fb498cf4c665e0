"""Clients that leave before they are answered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Final

from fastapi import Depends, Request

_LOOK_SECONDS: Final = 0.25


async def _leaving(request: Request) -> AsyncIterator[Callable[[], bool]]:
    has_left = False

    async def watch() -> None:
        nonlocal has_left
        while not await request.is_disconnected():
            await asyncio.sleep(_LOOK_SECONDS)
        has_left = True

    watching = asyncio.create_task(watch())
    try:
        yield lambda: has_left
    finally:
        watching.cancel()


HasLeft = Annotated[Callable[[], bool], Depends(_leaving)]
"""Tells whether the client of a request, whose body has come, has left; any thread may ask."""
