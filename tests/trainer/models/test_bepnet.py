"""Our own networks."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from shards import BANDS
from tests.trainer.models.images import random_batch
from trainer.data.bands import BAND_SETS
from trainer.errors import BadCheckpoint
from trainer.models import bepnet
from trainer.models.bepnet import PLANS, BepNet
from trainer.models.create import Classifier, ModelSpec, create

SUBSETS = [*BAND_SETS.values(), ("B01",), ("B09", "B8A"), ("B11",), ("B01", "B02")]
ROW = re.compile(r"\| ([\w.]+) \|.*\| ([\d×]+) \| ([\d,]+) \| ([\d,]+) \|")


def seeded(spec: ModelSpec, seed: int = 0, weights: Path | None = None) -> Classifier:
    torch.manual_seed(seed)
    return create(spec, weights=weights)


def save(model: Classifier, path: Path, **other: object) -> Path:
    torch.save({"model": model.spec.to_json(), "state": model.state_dict(), "epoch": 3, **other}, path)
    return path


@pytest.mark.parametrize("bands", SUBSETS)
def test_any_set_of_bands(bands: tuple[str, ...]) -> None:
    """Some set of bands makes a network that does not run, has parts without use, or does not look at a band."""
    model = seeded(ModelSpec("bepnet-s", bands, drop_rate=0.1, drop_path_rate=0.1)).eval()
    for module in model.modules():
        if isinstance(module, bepnet.Block):
            nn.init.ones_(module.norm2.weight)  # From 0 on, the first step reaches only these.
    batch = random_batch(model)
    images = {name: image.requires_grad_() for name, image in batch.items() if name.startswith("b")}
    logits = model(batch)
    assert (logits.shape, logits.dtype) == ((2, 19), torch.float32)
    logits.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert sum(image.grad.abs().sum((0, 2, 3)).count_nonzero() for image in images.values()) == len(bands)


@pytest.mark.parametrize("name", PLANS)
def test_the_tables_are_true(name: str) -> None:
    """The documentation of the module gives other shapes, parameters or multiply-adds than the network has."""
    model = seeded(ModelSpec(name, BANDS)).eval()
    shapes: dict[str, str] = {}
    multiply_adds: dict[str, int] = {}
    for path, module in model.named_modules():

        def count(module: nn.Module, _: object, out: torch.Tensor, path: str = path) -> None:
            shapes[path] = "×".join(str(side) for side in out.shape[1:])
            if isinstance(module, nn.Conv2d | nn.Linear):
                multiply_adds[path] = out[0].numel() * module.weight[0].numel()

        module.register_forward_hook(count)
    with torch.inference_mode():
        model(random_batch(model, n=1))
    assert bepnet.__doc__ is not None
    table = bepnet.__doc__.partition(f"| {name} |")[2].partition("\n\n")[0]
    rows = {stage: (shape, params, ops) for stage, shape, params, ops in ROW.findall(table)}
    expected = {}
    for stage in ("grids.60", "grids.20", "grids.10", "grids.5", "head", "all"):
        path = "" if stage == "all" else stage
        parameters = sum(p.numel() for p in model.get_submodule(path).parameters())
        operations = sum(n for name, n in multiply_adds.items() if stage == "all" or f"{name}.".startswith(f"{stage}."))
        expected[stage] = (shapes[path], f"{parameters:,}", f"{operations:,}")
    assert rows == expected


def test_a_seed_makes_a_network() -> None:
    """Networks of one seed differ, or those of two do not."""
    spec = ModelSpec("bepnet-s", BANDS)
    first, same, other = (seeded(spec, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_rates_act_in_training_only() -> None:
    """Dropout or stochastic depth does nothing in training, or something in evaluation."""
    for rates in ({"drop_rate": 0.5}, {"drop_path_rate": 0.5}):
        model = seeded(ModelSpec("bepnet-s", BAND_SETS["rgb"], **rates))
        for module in model.modules():
            if isinstance(module, bepnet.Block):
                nn.init.ones_(module.norm2.weight)
        batch = random_batch(model)
        assert not torch.equal(model(batch), model(batch))
        model.eval()
        assert torch.equal(model(batch), model(batch))


def test_averaged_weights_come_first(tmp_path: Path) -> None:
    """A checkpoint with averaged weights gives the others, or one without gives none."""
    spec = ModelSpec("bepnet-s", BANDS)
    model, average = seeded(spec, 1), seeded(spec, 2)
    for other, expected in (({"ema": average.state_dict()}, average), ({"ema": None}, model), ({}, model)):
        loaded = create(spec, weights=save(model, tmp_path / "checkpoint.pt", **other))
        assert all(torch.equal(value, expected.state_dict()[name]) for name, value in loaded.state_dict().items())
        assert loaded.loaded is not None
        assert loaded.loaded.matched == BANDS
        assert (loaded.loaded.averaged, loaded.loaded.initial, loaded.loaded.unused) == ((), (), ())


def test_other_bands_keep_their_filters(tmp_path: Path) -> None:
    """Filters of a checkpoint for other bands go to wrong ones, or a resolution that it lacks is an error."""
    source = seeded(ModelSpec("bepnet-s", ("B08", "B02", "B05", "B01")), 1)
    spec = ModelSpec("bepnet-s", ("B02", "B03", "B08", "B06"))
    model = seeded(spec, weights=save(source, tmp_path / "checkpoint.pt"))
    own, theirs = model.state_dict(), source.state_dict()
    b10, b20 = (theirs[f"grids.60.bands.{group}.weight"] for group in ("b10", "b20"))
    mean = b10.mean(1)
    expected = torch.stack([b10[:, 1], mean, b10[:, 0]], 1) * (2 / 3)
    torch.testing.assert_close(own["grids.60.bands.b10.weight"], expected)
    torch.testing.assert_close(own["grids.60.bands.b20.weight"], b20)
    assert torch.equal(own["head.weight"], theirs["head.weight"])
    assert model.loaded is not None
    assert (model.loaded.matched, model.loaded.averaged) == (("B02", "B08"), ("B03", "B06"))
    assert (model.loaded.initial, model.loaded.unused) == ((), ("grids.20.bands.b60.weight",))

    all_bands = seeded(ModelSpec("bepnet-s", BANDS), weights=save(model, tmp_path / "checkpoint.pt"))
    assert all_bands.loaded is not None
    assert all_bands.loaded.initial == ("grids.20.bands.b60.weight",)
    assert "left random: grids.20.bands.b60.weight" in str(all_bands.loaded)


def test_a_classifier_for_other_classes_stays_random(tmp_path: Path) -> None:
    """Weights for other classes cannot be used, or without a word about the classifier."""
    spec = ModelSpec("bepnet-s", BANDS)
    source = seeded(spec, 1)
    assert isinstance(source, BepNet)
    source.head = nn.Linear(256, 43)
    model = seeded(spec, weights=save(source, tmp_path / "checkpoint.pt"))
    assert model.loaded is not None
    assert model.loaded.initial == model.loaded.unused == ("head.weight", "head.bias")
    assert str(model.loaded).endswith("; its classifier for 43 classes left out, the one for 19 is random")
    assert torch.equal(model.state_dict()["head.weight"], seeded(spec).state_dict()["head.weight"])


def test_checkpoints_that_do_not_fit(tmp_path: Path) -> None:
    """A checkpoint of another network, or a damaged one, is taken or ends in a traceback."""
    spec, path = ModelSpec("bepnet-s", BANDS), tmp_path / "checkpoint.pt"
    other = save(seeded(ModelSpec("bepnet-m", BANDS)), path)
    with pytest.raises(BadCheckpoint, match=r"checkpoint.pt are of bepnet-m, expected bepnet-s"):
        create(spec, weights=other)
    state = seeded(spec).state_dict()
    surplus = state | {"grids.3.norm.weight": torch.zeros(3)}
    del state["grids.20.norm.weight"]
    for content, message in (
        ({"model": spec.to_json(), "state": state}, r"1 missing: grids\.20\.norm\.weight"),
        ({"model": spec.to_json(), "state": surplus}, r"1 unexpected: grids\.3\.norm\.weight"),
        ({"model": spec.to_json(), "state": {}}, "no `state`"),
        ({"model": {"name": "bepnet-s", "bands": ["B10"]}, "state": state}, "no band 'B10'"),
        ({"model": {"name": "bepnet-s", "bands": ["B02"], "depth": 3}, "state": state}, "depth"),
        (state, "no checkpoint of ours"),
        ([1, 2], "no checkpoint of ours"),
    ):
        torch.save(content, path)
        with pytest.raises(BadCheckpoint, match=message):
            create(spec, weights=path)
    with pytest.raises(ValueError, match="no published weights of bepnet-s"):
        create(spec, pretrained=True)
    with pytest.raises(ValueError, match="expected one of them"):
        create(spec, pretrained=True, weights=path)


def test_a_network_is_made_without_the_compiler_of_torch() -> None:
    """Every command that names a network waits seconds for what only `--compile` uses."""
    code = (
        "import sys, trainer.training.start, trainer.inference, trainer.evaluation.run\n"
        "from trainer.models.create import create\n"
        "from trainer.models.spec import ModelSpec\n"
        "create(ModelSpec('bepnet-s', ('B02', 'B03')))\n"
        "print([name for name in ('torch._dynamo', 'torchvision', 'timm', 'sympy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
