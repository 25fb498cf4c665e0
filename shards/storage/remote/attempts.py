"""Repetition of requests that fail in passing, and the error where it did not help."""

import errno
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from shards.storage.remote.client import PASSING, Refused

ATTEMPTS: Final = 7
_FIRST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 5.0
DEADLINE: Final = 90.0
"""Seconds after which no attempt is begun any more."""
T = TypeVar("T")


def attempt(send: Callable[[], T], *, attempts: int = ATTEMPTS) -> T:
    """Call `send` until it does not fail in passing; wait in between, longer each time and at random.

    Raises:
        Refused: it failed for good, or as often as is allowed.
    """
    began, wait = time.monotonic(), _FIRST_WAIT
    for number in range(1, attempts + 1):
        try:
            return send()
        except Refused as err:
            if err.kind not in PASSING:
                raise
            if number == attempts or time.monotonic() - began > DEADLINE:
                times = "once" if number == 1 else f"{number} times"
                raise Refused(err.kind, f"{err.what}; tried {times} in {time.monotonic() - began:.0f} s") from None
        # Full jitter: many that failed together do not come again together.
        time.sleep(random.uniform(0, wait))
        wait = min(2 * wait, _LONGEST_WAIT)
    raise AssertionError


def system_error(path: Path, err: Refused) -> OSError:
    """Return a failure as the error of the operating system that the same failure of a local file is."""
    numbers = {"absent": errno.ENOENT, "denied": errno.EACCES, "exists": errno.EEXIST, "changed": errno.ESTALE}
    return OSError(numbers.get(err.kind, errno.EIO), err.what, str(path))
