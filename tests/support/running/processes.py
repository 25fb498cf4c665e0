"""Work in a forked process."""

import os
import signal
from collections.abc import Callable


def run_in_child(work: Callable[[], object], seconds: float = 60) -> int:
    """Run something in a forked child; return its exit status, that of a signal if it takes too long."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            signal.alarm(int(seconds))
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
