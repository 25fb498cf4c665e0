"""CUDA events around steps."""

import time

import pytest
import torch

from bigearth_pipeline.bench.train.timed_stepper import StepEvents


def test_nothing_was_marked() -> None:
    """A pass without a step ends in an error."""
    assert StepEvents().idle_and_total() == (0.0, 0.0)


@pytest.mark.gpu
@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_idle_time_is_that_between_steps(pause: float) -> None:
    """A device that waits for the loader looks busy, or one that computes looks idle."""
    busy = torch.randn(4096, 4096, device="cuda")
    events = StepEvents()
    for i in range(6):
        if i:
            time.sleep(pause)
        events.mark()
        for _ in range(4):
            busy = busy @ busy / 64
        events.mark()
        if pause:
            # A host that is ahead would sleep while the device computes.
            torch.cuda.synchronize()
    idle, total = events.idle_and_total()
    assert 0 <= idle < total
    if pause:
        assert 5 * pause <= idle < 5 * pause + 0.1
    else:
        assert idle < 0.1 * total
