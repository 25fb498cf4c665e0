"""Properties of every network: precision, compilation, description; and how files are read."""

import io
import json
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from shards import BANDS
from tests.trainer.models.images import random_batch
from trainer.errors import BadCheckpoint
from trainer.models.create import ModelSpec, create, names
from trainer.models.weights_file import read

NAMES = ("bepnet-s", "resnet18", "test_vit", "convnextv2_atto", "mobilenetv3_small_050")


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_float32_under_autocast(name: str) -> None:
    """Scores are rounded to bfloat16, so that many patches tie, or the features are not computed in it at once."""
    torch.manual_seed(0)
    model = create(ModelSpec(name, BANDS)).eval()
    nn.init.normal_(dict(model.named_parameters())[model.heads[0]])  # Those of some networks start as 0.
    batch = random_batch(model, n=4)
    seen: list[tuple[torch.dtype, torch.dtype]] = []
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    convs[0].register_forward_hook(lambda module, inputs, out: seen.append((inputs[0].dtype, out.dtype)))
    for inputs, dtype in ((batch, torch.float32), ({k: image.half() for k, image in batch.items()}, torch.float16)):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(inputs)
        assert logits.dtype == torch.float32
        assert not torch.equal(logits, logits.bfloat16().float())
        assert seen.pop() == (dtype, torch.bfloat16)
    assert torch.equal(model(batch), model({name: image.double() for name, image in batch.items()}))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str) -> None:
    """A parameter gets no gradient, which DistributedDataParallel takes for an error."""
    model = create(ModelSpec(name, BANDS, drop_rate=0.1))
    nn.functional.binary_cross_entropy_with_logits(model(random_batch(model)), torch.ones(2, 19)).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["bepnet-s", *(pytest.param(name, marks=pytest.mark.long) for name in ("resnet18", "test_vit"))]
)
def test_compiles_to_one_graph(name: str) -> None:
    """torch.compile has to fall back to Python within the network, or changes its scores."""
    model = create(ModelSpec(name, ("B02", "B05"))).eval()
    batch = random_batch(model)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(compiled(batch), model(batch))


@pytest.mark.parametrize("name", ["bepnet-s", "resnet18"])
def test_weights_lie_channels_last(name: str) -> None:
    """Convolutions have to transpose their weights or their input, which costs time on GPUs with tensor cores."""
    model = create(ModelSpec(name, BANDS))
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    features = model.features(random_batch(model))
    assert isinstance(features, torch.Tensor)
    assert features.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["bepnet-m", "resnet18"])
def test_a_spec_survives_json(name: str) -> None:
    """A checkpoint does not describe the network that it holds."""
    spec = ModelSpec(name, ("B04", "B8A"), drop_rate=0.1, drop_path_rate=0.2)
    again = ModelSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert create(again).state_dict().keys() == create(spec).state_dict().keys()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bands": ("B10",)}, "no band 'B10'"),
        ({"bands": ()}, "no band is selected"),
        ({"drop_rate": 1.0}, "drop_rate is 1.0, expected at least 0 and below 1"),
        ({"drop_path_rate": -0.1}, "drop_path_rate is -0.1"),
    ],
)
def test_specs_out_of_range(values: dict[str, object], message: str) -> None:
    """A description that no network can have is accepted."""
    with pytest.raises(ValueError, match=message):
        ModelSpec(**{"name": "resnet18", "bands": BANDS, **values})  # type: ignore[arg-type]


def test_names_are_listed() -> None:
    """The list of models lacks ours or timm's, or its pattern does nothing."""
    assert names("*net-*")[:3] == ["bepnet-s", "bepnet-m", "bepnet-l"]
    assert {"resnet18", "resnet50"} <= set(names("resnet*"))
    assert "vit_tiny_patch16_224" in names()


def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    """A file that is absent, damaged or would run code is read, or ends in a traceback."""
    path = tmp_path / "weights.pt"
    with pytest.raises(BadCheckpoint, match=r"weights\.pt cannot be read: No such file"):
        read(path)
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(1000.0)}, buffer)
    whole = buffer.getvalue()
    torch.save({"model": Path("/")}, path)  # Any object but tensors and plain values.
    contents = [path.read_bytes(), b"", b"not a file of torch", whole[:2000], whole[: len(whole) // 2]]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "hello")
    for suffix in (".pt", ".safetensors"):
        for content in [*contents, archive.getvalue()]:
            path = tmp_path / f"weights{suffix}"
            path.write_bytes(content)
            with pytest.raises(BadCheckpoint, match=rf"{path.name} are not a file of tensors: .+") as caught:
                read(path)
            assert "\n" not in str(caught.value)
