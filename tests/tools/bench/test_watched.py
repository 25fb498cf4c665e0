"""Commands that are watched while they run."""

import sys

import pytest

from tools.bench.watched import Sample, Watched, watch

_GROWS = """
import os, subprocess, sys, time
hold = "held = bytearray({0}); held[::4096] = bytes(len(range(0, {0}, 4096)))"
begin = time.monotonic()
files = [open(os.devnull) for _ in range(50)]
child = subprocess.Popen([sys.executable, "-c", hold.format(80_000_000) + "; import time; time.sleep(1)"])
child.wait()
files = []
exec(hold.format(160_000_000))
time.sleep(time.monotonic() - begin + 0.2)
print("end")
"""


@pytest.mark.long
def test_memory_and_files_are_those_of_the_command_and_its_children() -> None:
    """A leak is not seen, or is taken for one of another process."""
    watched = watch([sys.executable, "-c", _GROWS])
    assert watched.output == "end\n"
    figures = watched.figures()
    assert 160 <= figures["peak"]["driver_mb"] < 240
    assert 80 <= figures["peak"]["child_mb"] < 160
    assert watched.peak_mb == max(sample.driver_mb for sample in watched.samples)
    assert figures["peak"]["open_files"] >= 50 > watched.samples[-1].open_files


def test_each_quarter_has_its_median() -> None:
    """Growth looks flat, or the other way about."""
    samples = [
        Sample(second + part / 10, 10.0 * second + part, second, second) for second in range(4) for part in range(5)
    ]
    figures = Watched("", 4.0, (*samples, Sample(4.05, 35, 3, 3))).figures()
    assert figures["median_by_quarter"] == {
        "driver_mb": [2, 12, 22, 32.5],
        "child_mb": [0, 1, 2, 3],
        "open_files": [0, 1, 2, 3],
    }
    assert figures["peak"] == {"driver_mb": 35, "child_mb": 3, "open_files": 3}


def test_a_command_that_fails_says_why() -> None:
    """A benchmark measures half a store."""
    with pytest.raises(SystemExit, match="no such thing"):
        watch([sys.executable, "-c", "import sys; sys.exit('no such thing')"])
