"""Threads of their own for handlers that wait: for a network, a lock, a process."""

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

Options = ParamSpec("Options")
Answer = TypeVar("Answer")


def aside(most: int) -> Callable[[Callable[Options, Answer]], Callable[Options, Awaitable[Answer]]]:
    """Return a decorator of handlers that wait, so that they leave the few threads of the server to those that compute.

    Args:
        most: threads of all handlers that one decorator was applied to; further requests wait without a thread.
    """
    limiter = CapacityLimiter(most)

    def decorate(handler: Callable[Options, Answer]) -> Callable[Options, Awaitable[Answer]]:
        @wraps(handler)
        async def answer(*arguments: Options.args, **options: Options.kwargs) -> Answer:
            return await to_thread.run_sync(partial(handler, *arguments, **options), limiter=limiter)

        return answer

    return decorate
