"""Running tests on a mutant: in a forked process, so that what the tests import from others is imported once."""

import importlib
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple


class Outcome(NamedTuple):
    """The end of a mutant.

    Attributes:
        fate: `survived` if all tests passed.
        seconds: of processor time that they took.
    """

    fate: Literal["survived", "killed", "too slow"]
    seconds: float


_IMPORTED: Final = ("pytest", "_hypothesis_pytestplugin", "xdist.plugin", "pytest_timeout", "hypothesis.extra.numpy")
_IMPORTED_FOR_TESTS: Final = ("numpy", "pyarrow.parquet", "zarr", "crc32c", "numcodecs.blosc", "webdataset")
_OURS: Final = ("shards", "trainer", "bigearth_pipeline", "tools", "tests")
_POLL_SECONDS: Final = 0.02


def prepare() -> None:
    """Import what most tests need, and nothing of what is mutated."""
    for name in (*_IMPORTED, *_IMPORTED_FOR_TESTS):
        importlib.import_module(name)


def outcome(folder: Path, tests: Sequence[str], seconds: float) -> Outcome:
    """Run tests until the first fails.

    Args:
        folder: root of a copy of the code.
        tests: paths within it.
        seconds: of processor time that they may take; ten times as long in all, for the machine may be busy.
    """
    process = os.fork()
    if not process:
        try:
            _run(folder, tests, seconds)
        finally:
            os._exit(70)
    end = time.monotonic() + 10 * seconds
    while time.monotonic() < end:
        found, status, used = os.wait4(process, os.WNOHANG)
        if found:
            took = used.ru_utime + used.ru_stime
            if os.waitstatus_to_exitcode(status) == -signal.SIGXCPU:
                return Outcome("too slow", took)
            return Outcome("survived" if status == 0 else "killed", took)
        time.sleep(_POLL_SECONDS)
    os.killpg(process, signal.SIGKILL)
    _, _, used = os.wait4(process, 0)
    return Outcome("too slow", used.ru_utime + used.ru_stime)


def _run(folder: Path, tests: Sequence[str], seconds: float) -> None:
    import pytest

    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 5))
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
    # Of the files of fixtures only the first, which these tests need: those of folders import more than they do.
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--noconftest", "-p", "tests.conftest"]
    options += ["--hypothesis-seed=0", f"--basetemp={folder}.tmp"]
    os._exit(int(pytest.main([*options, *tests])))
