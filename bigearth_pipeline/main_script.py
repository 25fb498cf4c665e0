"""The user's script, which every worker process imports before it works, as `multiprocessing` has it."""

import multiprocessing
import os
import sys
from multiprocessing import process
from typing import Final

from bigearth_pipeline.errors import PipelineError

WORKER_NAME: Final = "bep worker"
"""Name of the processes that are ended in place of an error of each."""
UNGUARDED: Final = 93
"""Exit status of a worker process that runs the user's script instead of tasks."""
NO_GUARD: Final = (
    'the script builds, verifies or draws patches outside of `if __name__ == "__main__":`, so each worker process, '
    "which imports the script, would start again from its first line; put the call under that line"
)


def refuse_import_by_worker() -> None:
    """End a process that imports the user's script in order to become a worker, and comes to start workers itself.

    Raises:
        PipelineError: the process was started by others, such as a data loader.
    """
    current = multiprocessing.current_process()
    if getattr(current, "_inheriting", False):  # Set while the main module is imported.
        if current.name == WORKER_NAME:
            os._exit(UNGUARDED)  # The driver says it, once.
        raise PipelineError(NO_GUARD)


def check_importable() -> None:
    """Check that worker processes of this machine can import the user's script; call it before they are started.

    Raises:
        PipelineError: the script is no file, or this process is one that a worker process has started in its place.
    """
    refuse_import_by_worker()
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None)
    # What is found by its name, as by `python -m`, is imported by that; a notebook has neither.
    if script is None or getattr(main, "__spec__", None) is not None:
        return
    if not os.path.isfile(os.path.join(getattr(process, "ORIGINAL_DIR", None) or "", script)):
        raise PipelineError(
            f"the script {script} is no file, and each worker process imports the script; save it as one and run that"
        )
