"""The end of cancelled tasks, and of connections to Dask.

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
_CLOSE_SECONDS: Final = 5.0


def close(client_or_cluster: Any) -> None:
    """Close a client or a cluster of Dask, and give it up if that takes more than a few seconds.

    Left alone a client waits for a minute, and a cluster without end, for a connection or a loop that does not move;
    both would wait once more when they are deleted, or when the interpreter ends.
    """
    from distributed import Status

    try:
        client_or_cluster.close(timeout=_CLOSE_SECONDS)
    except TimeoutError:
        client_or_cluster.status = "closed" if isinstance(client_or_cluster.status, str) else Status.closed


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
