"""Growth of the memory of a server."""

import subprocess
import sys

import numpy as np
import pytest

from tools.bench.serve.memory import Trend, private_mb

_SECONDS = np.arange(0, 60, 0.5)


@pytest.mark.parametrize(
    ("rise", "noise", "is_flat"), [(0, 1, True), (3, 0, True), (30, 1, False), (30, 20, True), (-30, 1, True)]
)
def test_a_rise_counts_where_it_exceeds_the_noise(rise: float, noise: float, is_flat: bool) -> None:
    """A leak passes for noise, or the noise for a leak."""
    drawn = np.random.default_rng(0).normal(0, noise, len(_SECONDS))
    found = Trend.of(_SECONDS.tolist(), (500 + rise * _SECONDS / _SECONDS[-1] + drawn).tolist())
    assert found.end - found.begin == pytest.approx(rise, abs=noise + 1e-6)
    assert found.noise == pytest.approx(noise, rel=0.2, abs=1e-6)
    assert found.is_flat == is_flat == found.figures()["memory_is_flat"]


def test_memory_is_that_of_all_processes_of_the_server() -> None:
    """A process that the server has started grows unseen."""
    hold = "import sys; held = b'x' * 100_000_000; print(flush=True); sys.stdin.read()"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "\n"
        assert 100 < private_mb(server.pid) < 200
