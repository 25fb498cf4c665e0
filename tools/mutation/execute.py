"""Running tests on a mutant: in a forked process, so that what the tests import from others is imported once."""

import importlib
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

Outcome: TypeAlias = Literal["survived", "killed", "too slow"]

_IMPORTED: Final = ("pytest", "hypothesis", "numpy", "pyarrow.parquet", "torch")
_OURS: Final = ("shards", "trainer", "bigearth_pipeline", "tools", "tests")
_POLL_SECONDS: Final = 0.02


def prepare() -> None:
    """Import what most tests need, and nothing of what is mutated."""
    for name in _IMPORTED:
        importlib.import_module(name)


def outcome(folder: Path, tests: Sequence[str], seconds: float) -> Outcome:
    """Run tests until the first fails.

    Args:
        folder: root of a copy of the code.
        tests: paths within it.
        seconds: of time that they may take.
    """
    process = os.fork()
    if not process:
        try:
            _run(folder, tests)
        finally:
            os._exit(70)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return "survived" if status == 0 else "killed"
        time.sleep(_POLL_SECONDS)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "too slow"


def _run(folder: Path, tests: Sequence[str]) -> None:
    import pytest

    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A mutant may allocate by a wrong number.
    resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
    sink = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(sink, stream)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    # What this tool itself has imported is that of the folder that it lies in.
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        del sys.modules[name]
    sys.dont_write_bytecode = True
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"--basetemp={folder}.tmp"]
    os._exit(int(pytest.main([*options, *tests])))
