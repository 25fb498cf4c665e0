"""The processors that this process may use."""

import os


def num_cores() -> int:
    """Return how many processors this process may run on, at least 1; where the system cannot say, how many there are.

    Linux reports it by `sched_getaffinity(2)`, which knows `taskset` and the sets of containers; macOS lacks it.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
