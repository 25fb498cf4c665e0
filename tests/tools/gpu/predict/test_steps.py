"""Bounds of a training step, as computed."""

import pytest
import torch

from shards import BANDS
from tools.gpu.predict.counts import Cost, TorchCost
from tools.gpu.predict.engines import CARDS
from tools.gpu.predict.steps import PEAK, Step, _count, render, step_of
from trainer.models.create import create
from trainer.models.spec import ModelSpec


def test_a_large_batch_is_computed_from_small_ones() -> None:
    """Weights are counted for each patch, or patches are left out."""
    flops, cost = _count(create(ModelSpec("test_resnet", BANDS)).train(), 12)
    step = step_of("test_resnet", 12)
    assert step.flops == pytest.approx(flops)
    assert step.cost.device_bytes == pytest.approx(cost.device_bytes)
    assert step.cost.launches == cost.launches


def test_operations_are_those_of_the_layers() -> None:
    """A step has no backward, or a multiplication and its addition count as one."""
    linear = torch.nn.Linear(30, 20, bias=False)
    with TorchCost("cpu") as made:
        linear(torch.ones(5, 30)).sum().backward()
    # Product; sum; its gradient is a view of a filled scalar; product of the weights' gradient.
    read_and_written = 4 * (30 * 20 + 5 * 30 + 5 * 20)
    assert made.cost.device_bytes >= 2 * read_and_written
    flops, _ = _count(create(ModelSpec("resnet18", BANDS)).train(), 1)
    # 1.82e9 multiplications for 224×224 RGB (He et al. 2016, table 1), two operations each, and twice that backward.
    expected = 3 * 2 * 1.82e9 * (120 / 224) ** 2
    assert expected < flops < 1.35 * expected


def test_the_slowest_sets_the_bound() -> None:
    """The table names another limit than the one that counts."""
    h100, h200 = CARDS
    step = Step("any", "native", 512, flops=512 * PEAK / 1e6, cost=Cost(100, 0, int(512 * h100.bandwidth / 2e6)))
    assert step.bounds(h100) == pytest.approx({"multiplications": 1e6, "memory": 2e6, "launches": 512 / 300e-6})
    assert step.bounds(h200)["memory"] > step.bounds(h100)["memory"]
    lines = render([step]).splitlines()
    assert lines[0].startswith("Predicted, not measured: ")
    assert [line.split()[6] for line in lines[2:]] == ["multiplications"] * 2
    assert "34%" in lines[2]
