"""The end of cancelled tasks.

Dask cancels a task that is at work by forgetting it: it keeps running, and writes, after the driver has gone on. Nobody
else may take the folder of the store until it has ended, and what it has not finished is removed after that.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

_LONGEST_SECONDS: Final = 30.0
_ANSWER_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.02


def wait_until_ended(client: Any, keys: Sequence[str]) -> None:
    """Wait until no worker knows cancelled tasks any more; not for long, and not if the scheduler is gone.

    Args:
        client: connected to the scheduler.
        keys: of the tasks, which end by themselves when they notice.
    """
    deadline = time.monotonic() + _LONGEST_SECONDS
    with suppress(OSError, TimeoutError, AttributeError):
        while client.status == "running" and time.monotonic() < deadline:
            known = client.run(_known, list(keys), on_error="ignore", callback_timeout=_ANSWER_SECONDS)
            if not any(known.values()):
                return
            time.sleep(_PAUSE_SECONDS)


def _known(keys: list[str], dask_worker: Any) -> bool:
    return any(key in dask_worker.state.tasks for key in keys)
