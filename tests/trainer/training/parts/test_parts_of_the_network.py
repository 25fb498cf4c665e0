"""Parts of a network that are trained, their learning rates, and features that are computed again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shards.errors import InvalidValue
from tests.trainer.training.comparing import Notes, assert_same_weights
from tests.trainer.training.step.test_cuda_graph import GPU, Recorder, batches, recorded
from trainer.config import effect
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.data.batch import Batch
from trainer.models.create import Classifier, ModelSpec, create
from trainer.models.timm_models import TimmClassifier
from trainer.optimisation.losses import bce
from trainer.optimisation.optimizer import LR_SCALE
from trainer.runs.checkpoint import Checkpoint
from trainer.runtime.ranks import Ranks
from trainer.runtime.stop import Request
from trainer.training.start import resume, train
from trainer.training.step import Stepper

BANDS = ("B04", "B03", "B02", "B05", "B01")
NETWORKS = ["bepnet-s", "test_resnet", "test_vit3"]


def inputs(model: Classifier, n: int = 3) -> Iterator[Batch]:
    """Yield random batches for a network of five bands."""
    generator = torch.Generator().manual_seed(1)
    sizes = {"image": (5, 120)} if model.layout == "stacked" else {"b10": (3, 120), "b20": (1, 60), "b60": (1, 20)}
    while True:
        images = {name: torch.randn(n, c, size, size, generator=generator) for name, (c, size) in sizes.items()}
        label = (torch.rand(n, 19, generator=generator) < 0.3).float()
        yield {**images, "label": label, "row": torch.arange(n), "mask": torch.ones(n, dtype=torch.bool)}


def make(name: str, *, drop: float = 0.0, **options: Any) -> Stepper:
    """Return a stepper of a network, the same in every call, as a run would make it."""
    torch.manual_seed(0)
    model = create(ModelSpec(name=name, bands=BANDS, drop_path_rate=drop))
    config = TrainConfig.of(shards=Path(), out=Path(), model=name, batch_size=3, precision="fp32", **options)
    if config.model.freeze:
        model.freeze_backbone()
    if config.model.checkpointing:
        model.set_checkpointing()
    model.train()
    return Stepper(model, bce, config, Ranks(torch.device("cpu")))


def state(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of weights and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_frozen_backbone_stays_as_it_is(name: str) -> None:
    """A probe changes features by weight decay, by statistics of BatchNorm, or by skipped blocks; or nothing learns."""
    stepper = make(name, drop=0.5 if name != "test_resnet" else 0.0, freeze="backbone")
    model, before = stepper.model, state(stepper.model)
    batch = next(inputs(model))
    features = model.features(batch)
    torch.testing.assert_close(features, model.features(batch), rtol=0, atol=0)
    for _, batch in zip(range(2), inputs(model), strict=False):
        model.train()
        torch.manual_seed(3)
        stepper.step(batch, 3, 0.1)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == set(model.heads)
    assert stepper._optimizer.param_groups[0]["weight_decay"] > 0


def test_a_frozen_run_resumes_and_says_so(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed probe trains all of the network, or nobody hears that its backbone is random."""
    base: dict[str, Any] = {"model": "test_resnet", "device": "cpu", "loader": "torch", "batch_size": 8, "epochs": 1}
    config = TrainConfig.of(shards=tiny, out=tmp_path / "whole", freeze="backbone", **base)
    notes = Notes()
    train(config, notes)
    assert any("parameters are trained; the backbone is random" in line for line in notes.lines)
    requests = iter([Request.TIME_UP])
    with monkeypatch.context() as patch:
        patch.setattr("trainer.runtime.stop.Stop.request", lambda self: next(requests))
        train(config.replace(out=tmp_path / "stopped"))
    resume(tmp_path / "stopped")
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")
    begun = Checkpoint.read(tmp_path / "whole/checkpoints/last.pt")
    optimizer = (begun.progress or {})["stepper"]["optimizer"]
    assert sum(len(group["params"]) for group in optimizer["param_groups"]) == 2


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_have_their_learning_rates(name: str) -> None:
    """The classifier is slowed down with the backbone, or a layer before another is trained faster."""
    stepper = make(name, backbone_lr=0.5, layer_decay=0.8, optimizer="sgd", momentum=0.0, weight_decay=0.0)
    plain = make(name, optimizer="sgd", momentum=0.0, weight_decay=0.0)
    model, batch = stepper.model, next(inputs(stepper.model))
    start = state(model)
    for each in (stepper, plain):
        each.step(batch, 3, 1.0)
    names = {id(parameter): key for key, parameter in model.named_parameters()}
    expected = {
        names[id(parameter)]: group[LR_SCALE]
        for group in stepper._optimizer.param_groups
        for parameter in group["params"]
    }
    assert expected.keys() == {key for key, _ in model.named_parameters()}
    full = dict(plain.model.named_parameters())
    for key, parameter in model.named_parameters():
        moved, whole = parameter.detach() - start[key], full[key].detach() - start[key]
        torch.testing.assert_close(moved, expected[key] * whole, rtol=1e-3, atol=1e-6, msg=key)
    assert all(expected[key] == 1.0 for key in model.heads)
    first = next(iter(model.filter_bands(BANDS)))
    distances = {key: round(torch.tensor(value / 0.5).log().item() / torch.tensor(0.8).log().item(), 3)
                 for key, value in expected.items() if key not in model.heads}  # fmt: skip
    assert distances[first] == max(distances.values()) > 1
    assert all(distance == round(distance) for distance in distances.values())


def test_stages_of_ours_are_layers() -> None:
    """A grid is as far from the classifier as another."""
    model = create(ModelSpec(name="bepnet-s", bands=BANDS))
    scales = model.layer_scales(0.5)
    found = {name: scales[f"grids.{name}.norm.weight"] for name in ("60", "20", "10", "5")}
    assert found == {"60": 1 / 16, "20": 1 / 8, "10": 1 / 4, "5": 1 / 2}


def test_groups_without_factors_are_those_of_before() -> None:
    """The state of an optimizer of an earlier run does not fit."""
    groups = make("bepnet-s")._optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert all(LR_SCALE not in group for group in groups)


def test_replays_have_the_rates_of_their_groups() -> None:
    """A recorded step trains the backbone at the rate of the classifier."""
    options: dict[str, Any] = {"backbone_lr": 0.1, "layer_decay": 0.5}
    plain, graphed = (make_native(**options) for _ in range(2))
    recorder = Recorder(graphed._optimizer)
    recorded(graphed, recorder)
    for number, (one, other) in enumerate(zip(batches([4] * 6), batches([4] * 6), strict=True)):
        plain.step(one, 4, 1e-2 / (1 + number))
        graphed.step(other, 4, 1e-2 / (1 + number))
    assert recorder.num_replayed == 3
    for key, value in graphed.model.state_dict().items():
        torch.testing.assert_close(value, plain.model.state_dict()[key], rtol=1e-3, atol=1e-5, msg=key)


def make_native(**options: Any) -> Stepper:
    from tests.trainer.training.step.test_cuda_graph import create_stepper

    return create_stepper(**options)


class Kept:
    """Counts the bytes that autograd keeps for the backward pass."""

    def __init__(self) -> None:
        self.bytes = 0

    def pack(self, tensor: Tensor) -> Tensor:
        """Count a tensor."""
        self.bytes += tensor.nbytes
        return tensor


@pytest.mark.parametrize("name", NETWORKS)
def test_checkpointing_keeps_less_and_computes_the_same(name: str) -> None:
    """Statistics of BatchNorm move twice a step, a skipped block is another one in the second pass, or all is kept."""
    drop = 0.0 if name == "test_resnet" else 0.5
    found = []
    for checkpointing in (False, True):
        stepper = make(name, drop=drop, checkpointing=checkpointing, optimizer="sgd")
        kept, losses = Kept(), []
        for step, batch in zip(range(3), inputs(stepper.model), strict=False):
            torch.manual_seed(step)
            with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
                losses.append(stepper.step(batch, 3, 0.01).item())
        norms = [module for module in stepper.model.modules() if isinstance(module, nn.BatchNorm2d)]
        assert all(norm.momentum and norm.num_batches_tracked is not None for norm in norms)
        found.append((losses, state(stepper.model)))
    (losses, weights), (others, other_weights) = found
    assert losses == pytest.approx(others, rel=1e-4)
    for key, value in weights.items():
        torch.testing.assert_close(value, other_weights[key], rtol=1e-3, atol=1e-5, msg=key)


@pytest.mark.parametrize("name", NETWORKS)
def test_checkpointing_keeps_fewer_features(name: str) -> None:
    """The option is taken, and takes no less memory."""
    kept = []
    for checkpointing in (False, True):
        stepper = make(name, checkpointing=checkpointing)
        count = Kept()
        with torch.autograd.graph.saved_tensors_hooks(count.pack, lambda tensor: tensor):
            stepper.model(next(inputs(stepper.model)))
        kept.append(count.bytes)
    assert kept[1] < 0.8 * kept[0]


def test_what_timm_cannot_do_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network without checkpointing or layers ends in timm's own error, or ignores the option."""
    model = create(ModelSpec(name="test_resnet", bands=BANDS))
    assert isinstance(model, TimmClassifier)

    def refuse(enable: bool) -> None:
        assert not enable, "gradient checkpointing not supported"

    monkeypatch.setattr(model.net, "set_grad_checkpointing", refuse)
    with pytest.raises(InvalidValue, match="`checkpointing=true` cannot be honoured: timm has no"):
        model.set_checkpointing()
    monkeypatch.delattr(type(model.net), "group_matcher")
    with pytest.raises(InvalidValue, match="`layer_decay=` cannot be honoured: timm does not know the layers"):
        model.layer_scales(0.5)


@pytest.mark.parametrize("mode", ["default", "cuda-graph"])
def test_checkpointing_is_refused_with_compiled_steps(mode: str) -> None:
    """A recorded step computes features again with draws that cannot be recorded."""
    config = TrainConfig.of(shards=Path(), out=Path(), checkpointing=True, compile=mode)
    with pytest.raises(InvalidValue, match="`checkpointing=true` cannot be honoured with `compile="):
        effect.check_device(config, Given.by(config), Ranks(GPU), "bf16")
