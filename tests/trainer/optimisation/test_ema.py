"""The moving average of the weights."""

import io
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from trainer.optimisation.ema import Ema


def create_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def train_step(model: nn.Module) -> None:
    """Change all parameters and buffers."""
    model(torch.randn(5, 3, 4, 4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))


@settings(max_examples=12)
@given(st.floats(0, 0.9999), st.integers(1, 20))
def test_average_is_that_of_a_plain_loop(decay: float, num_steps: int) -> None:
    """The evaluated weights are not the average of those that were trained."""
    model = create_model()
    ema = Ema(model, decay)
    expected: dict[str, Tensor] = {name: value.double() for name, value in model.state_dict().items()}
    for step in range(num_steps):
        train_step(model)
        ema.update(model)
        keep = min(decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            expected[name] = keep * expected[name] + (1 - keep) * value.double()
            if not value.is_floating_point():
                expected[name] = value.double()
    for name, value in ema.model.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-5, msg=name)
    assert ema.num_updates == num_steps


def test_average_is_apart_from_the_model() -> None:
    """Training changes the average without an update, or evaluating the average changes the training."""
    model = create_model().train()
    ema = Ema(model, 0.9)
    before = {name: value.clone() for name, value in ema.model.state_dict().items()}
    train_step(model)
    assert all(torch.equal(value, before[name]) for name, value in ema.model.state_dict().items())
    ema.update(model)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in ema.model.modules())
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())


class Calls(TorchDispatchMode):
    """Counts calls of operators while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count a call."""
        # What only looks at a tensor in another way launches nothing.
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("num_norms", [0, 1, 40])
def test_an_update_is_a_few_calls(num_norms: int) -> None:
    """An update launches a kernel for each BatchNorm, or fails for a network without one."""
    model = nn.Sequential(nn.Linear(3, 3), *(nn.BatchNorm1d(3) for _ in range(num_norms)))
    ema = Ema(model, 0.9)
    with Calls() as calls:
        ema.update(model)
    assert 1 <= calls.count <= 2


def test_memory_layout_is_kept() -> None:
    """The average of a model in channels-last order is slower to evaluate than the model."""
    model = create_model().to(memory_format=torch.channels_last)
    ema = Ema(model, 0.9)
    ema.update(model)
    assert ema.model.get_parameter("0.weight").is_contiguous(memory_format=torch.channels_last)


def test_resumed_average_goes_on_exactly() -> None:
    """A run that was interrupted ends with other averages than one that was not."""
    model = create_model()
    straight, stopped = Ema(model, 0.99), Ema(model, 0.99)
    file = io.BytesIO()
    for step in range(8):
        train_step(model)
        straight.update(model)
        stopped.update(model)
        if step == 3:
            torch.save(stopped.state_dict(), file)
            file.seek(0)
            stopped = Ema(create_model(seed=1), 0.99)
            stopped.load_state_dict(torch.load(file, weights_only=True))
            assert stopped.decay == straight.decay
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, stopped.model.state_dict()[name]), name


@pytest.mark.parametrize("decay", [1.0, -0.1, math.nan])
def test_decay_is_checked(decay: float) -> None:
    """A run keeps an average that never changes."""
    with pytest.raises(ValueError, match="decay of the average"):
        Ema(create_model(), decay)


@pytest.mark.gpu
def test_host_does_not_wait() -> None:
    """Every update of the average stops the GPU until the host has caught up."""
    model = create_model().cuda()
    ema = Ema(model, 0.9)
    torch.cuda.set_sync_debug_mode("error")
    try:
        ema.update(model)
        ema.update(model)
    finally:
        torch.cuda.set_sync_debug_mode("default")
