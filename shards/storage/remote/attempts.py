"""Repetition of requests that fail in passing, and the error where it did not help."""

import errno
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from shards.storage.remote.client import S3_ENDPOINTS
from shards.storage.remote.failures import PASSING, Refused

ATTEMPTS: Final = 7
_FIRST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 5.0
DEADLINE: Final = 90.0
"""Seconds after which no attempt is begun any more."""
T = TypeVar("T")


def attempt(send: Callable[[], T], *, stop: threading.Event | None = None) -> T:
    """Call `send` until it does not fail in passing; wait in between, longer each time and at random.

    Args:
        send: sends a request.
        stop: is set when the answer is not needed any more.

    Raises:
        Refused: it failed for good, or as often as is allowed.
    """
    stop = stop or threading.Event()
    began, wait = time.monotonic(), _FIRST_WAIT
    for number in range(1, ATTEMPTS + 1):
        try:
            return send()
        except Refused as err:
            if err.kind not in PASSING:
                raise
            if number == ATTEMPTS or stop.is_set() or time.monotonic() - began > DEADLINE:
                times = "once" if number == 1 else f"{number} times"
                advice = _advice() if err.kind == "broken" else ""
                what = f"{err.what}; tried {times} in {time.monotonic() - began:.0f} s{advice}"
                raise Refused(err.kind, what) from None
        # Full jitter: many that failed together do not come again together.
        stop.wait(random.uniform(0, wait))
        wait = min(2 * wait, _LONGEST_WAIT)
    raise AssertionError


def _advice() -> str:
    """Return what to look at where a server is not reached; the environment may name one by mistake."""
    named = next((name for name in S3_ENDPOINTS if os.environ.get(name)), None)
    return f"; check the network and {'the name of the server' if named is None else f'the server that {named} names'}"


def system_error(path: Path, err: Refused) -> OSError:
    """Return a failure as the error of the operating system that the same failure of a local file is."""
    numbers = {"absent": errno.ENOENT, "denied": errno.EACCES, "exists": errno.EEXIST, "changed": errno.ESTALE}
    return OSError(numbers.get(err.kind, errno.EIO), err.what, str(path))
