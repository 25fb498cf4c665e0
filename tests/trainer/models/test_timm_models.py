"""timm's networks: which images and bands they take, and whose weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from shards import BANDS
from tests.trainer.models.images import random_batch
from trainer.data.bands import BAND_SETS
from trainer.errors import BadCheckpoint
from trainer.models.create import ModelSpec, create
from trainer.models.timm_models import TimmClassifier

NAMES = (
    "resnet18",
    "resnet50",
    "resnet101",
    "convnextv2_atto",
    "efficientnet_b0",
    "mobilenetv3_small_100",
    "regnety_002",
    "vit_tiny_patch16_224",
    "mixer_s32_224",
    "swin_tiny_patch4_window7_224",
    "efficientvim_m1",  # Its features are a list.
)
FRAMED = {"vit_tiny_patch16_224": 128, "mixer_s32_224": 128, "convmixer_768_32": 126, "levit_128s": 128}


def rgb_net(name: str, num_classes: int = 7, seed: int = 1, **arguments: object) -> torch.nn.Module:
    """Return a network of timm for RGB images with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    return timm.create_model(name, num_classes=num_classes, **arguments).eval()


def save(net: torch.nn.Module, path: Path) -> Path:
    torch.save(net.state_dict(), path)
    return path


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_takes_its_bands_and_returns_float32_logits(name: str) -> None:
    """A named network does not run on 120×120 images of some set of bands, or returns something else than logits."""
    for bands in (BANDS, BAND_SETS["rgb"]) if name == "resnet18" else (BAND_SETS["s2-10"],):
        model = create(ModelSpec(name, bands, drop_rate=0.1)).eval()
        batch = random_batch(model)
        logits = model(batch | {"image": batch["image"].half()})
        assert (logits.shape, logits.dtype) == ((2, 19), torch.float32)
        assert logits.isfinite().all()


@pytest.mark.long
@pytest.mark.parametrize(("name", "size"), FRAMED.items())
def test_every_pixel_counts(name: str, size: int) -> None:
    """A network with patches that do not divide 120 ignores the pixels at the edge."""
    torch.manual_seed(0)
    model = create(ModelSpec(name, ("B02", "B08"))).eval()
    assert isinstance(model, TimmClassifier)
    assert model.size == size
    image = random_batch(model)["image"].requires_grad_()
    features = model.features({"image": image})  # The logits may start as 0.
    features.backward(torch.randn(features.shape))
    assert (image.grad.abs().sum((0, 1)) > 0).all()


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext", "fastvit_t8"])
def test_rgb_weights_on_the_same_bands_are_the_same_network(name: str, tmp_path: Path) -> None:
    """Weights of an RGB network do not reach the right bands, or something is changed on the way."""
    size = {"img_size": 128} if name == "test_vit" else {}
    source = rgb_net(name, num_classes=19, **size)
    path = save(source, tmp_path / "rgb.pth")
    spec = ModelSpec(name, ("B02", "B03", "B04"))
    model = create(spec, weights=path, weights_bands="rgb", weights_classes="alphabetical").eval()
    image = random_batch(model)["image"]
    expected = source(image.flip(1) if not size else torch.nn.functional.pad(image.flip(1), (4, 4, 4, 4)))
    torch.testing.assert_close(model({"image": image}), expected, rtol=1e-4, atol=1e-5)
    assert model.loaded is not None
    assert set(model.loaded.matched) == {"B02", "B03", "B04"}
    assert (model.loaded.averaged, model.loaded.initial, model.loaded.unused) == ((), (), ())


@pytest.mark.parametrize("bands", [BANDS, BAND_SETS["rgb-swir"], ("B08", "B04", "B03", "B02")])
def test_filters_of_a_first_convolution_go_by_band(bands: tuple[str, ...], tmp_path: Path) -> None:
    """The filters of RGB weights are thrown away, misplaced, or change the magnitude of what they respond with."""
    source = rgb_net("resnet18")
    model = create(ModelSpec("resnet18", bands), weights=save(source, tmp_path / "rgb.pt"), weights_bands="rgb")
    rgb = torch.randn(2, 3, 120, 120)
    image = torch.zeros(2, len(bands), 120, 120)
    image[:, [bands.index(band) for band in BAND_SETS["rgb"]]] = rgb
    torch.testing.assert_close(model.net.conv1(image), source.conv1(rgb) * (3 / len(bands)), rtol=1e-4, atol=1e-5)
    grey = torch.randn(2, 1, 120, 120)
    torch.testing.assert_close(
        model.net.conv1(grey.expand(-1, len(bands), -1, -1)),
        source.conv1(grey.expand(-1, 3, -1, -1)),
        rtol=1e-4,
        atol=1e-5,
    )
    assert model.loaded is not None
    assert set(model.loaded.averaged) == set(bands) - set(BAND_SETS["rgb"])
    assert model.loaded.initial == model.loaded.unused == ("net.fc.weight", "net.fc.bias")


def test_folded_pixels_keep_their_places(tmp_path: Path) -> None:
    """A network that folds pixels into channels before its first convolution gets the filters of other pixels."""
    source = rgb_net("tresnet_m")
    path = save(source, tmp_path / "rgb.pt")
    model = create(ModelSpec("tresnet_m", BAND_SETS["rgb-nir"]), weights=path, weights_bands="rgb").eval()
    rgb = torch.randn(1, 3, 120, 120)
    image = torch.cat([rgb, torch.zeros(1, 1, 120, 120)], 1)
    folded = [net.body.conv1.conv(net.body.s2d(x)) for net, x in ((model.net, image), (source, rgb))]
    torch.testing.assert_close(folded[0], folded[1] * 0.75, rtol=1e-4, atol=1e-5)


def test_position_embeddings_are_resampled(tmp_path: Path) -> None:
    """A vision transformer cannot start from weights for images of another size."""
    source = rgb_net("test_vit", img_size=224)
    model = create(ModelSpec("test_vit", BANDS), weights=save(source, tmp_path / "vit.pt"), weights_bands="rgb")
    assert model.loaded is not None
    assert model.loaded.initial == ("net.head.weight", "net.head.bias")
    blocks = {k: v for k, v in source.state_dict().items() if k.startswith("blocks")}
    assert all(torch.equal(model.net.state_dict()[k], v) for k, v in blocks.items())


@pytest.mark.parametrize("kind", ["safetensors", "wrapped", "parallel", "headless", "half"])
def test_files_of_other_programs(kind: str, tmp_path: Path) -> None:
    """Weights are not found in a usual kind of file."""
    source = rgb_net("test_resnet", num_classes=0 if kind == "headless" else 7)
    state, path = source.state_dict(), tmp_path / "weights.pth"
    if kind == "safetensors":
        path = path.with_suffix(".safetensors")
        safetensors.torch.save_file(state, path)
    elif kind == "wrapped":
        torch.save({"state_dict": state, "epoch": 3}, path)
    elif kind == "parallel":
        torch.save({f"module.{name}": value for name, value in state.items()}, path)
    elif kind == "half":
        torch.save({name: value.half() for name, value in state.items()}, path)
    else:
        torch.save(state, path)
    model = create(ModelSpec("test_resnet", BAND_SETS["rgb"]), weights=path, weights_bands="rgb")
    assert model.loaded is not None
    assert model.loaded.initial == ("net.fc.weight", "net.fc.bias")
    name = "layer1.0.conv1.weight"
    torch.testing.assert_close(model.net.state_dict()[name], state[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("names", "matched"), [(",".join(BANDS), set(BANDS)), ("B04,VV,VH,HH,HV", {"B04"}), ("rgb", {"B02", "B03", "B04"})]
)
def test_weights_of_other_numbers_of_channels(names: str, matched: set[str], tmp_path: Path) -> None:
    """Weights with a channel for each band are shuffled or averaged, or those of unknown bands are taken for known."""
    channels = names.split(",") if "," in names else ["B04", "B03", "B02"]
    source = rgb_net("test_resnet", in_chans=len(channels))
    path = save(source, tmp_path / "weights.pt")
    model = create(ModelSpec("test_resnet", BANDS), weights=path, weights_bands=names)
    assert model.loaded is not None
    assert set(model.loaded.matched) == matched
    assert set(model.loaded.averaged) == set(BANDS) - matched
    assert set(model.loaded.dropped) == set(channels) - set(BANDS)
    theirs, own = source.conv1[0].weight, model.net.conv1[0].weight
    optical = [i for i, name in enumerate(channels) if name in BANDS]
    for i, band in enumerate(BANDS):
        expected = theirs[:, channels.index(band)] if band in matched else theirs[:, optical].mean(1)
        torch.testing.assert_close(own[:, i], expected * len(channels) / len(BANDS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state.pop("layer2.0.conv1.weight"), "layer2.0.conv1.weight"),
        (lambda state: state.update(surplus=torch.zeros(1)), "surplus"),
        (lambda state: state.update({"layer1.0.bn1.weight": torch.zeros(5)}), "layer1.0.bn1.weight"),
        (lambda state: state.update({"conv1.0.weight": torch.zeros(3)}), "conv1.0.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: object, named: str, tmp_path: Path) -> None:
    """Weights with missing, unexpected or misshapen entries are loaded in part, in silence."""
    state = rgb_net("test_resnet").state_dict()
    change(state)  # type: ignore[operator]
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(BadCheckpoint, match=named) as caught:
        create(ModelSpec("test_resnet", BANDS), weights=tmp_path / "weights.pt", weights_bands="rgb")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnat18", "no model 'resnat18', perhaps resnet18"),
        ("bepnet-x", "perhaps bepnet-"),
        ("resnet18.none", "no weights 'none' of resnet18; it has a1_in1k"),
        ("efficientformer_l1", r"does not take images of 120×120 pixels.*take a network for any size"),
    ],
)
def test_names_that_cannot_be_had(name: str, message: str) -> None:
    """A wrong name gives no hint of the right one, or a network that cannot take 120×120 pixels fails in training."""
    with pytest.raises(ValueError, match=message):
        create(ModelSpec(name, BANDS))


def test_rates_that_a_network_does_not_know() -> None:
    """An option that the network does not have is ignored in silence."""
    with pytest.raises(ValueError, match=r"densenet121 .*drop_path_rate"):
        create(ModelSpec("densenet121", BANDS, drop_path_rate=0.1))


PRETRAINED = """
import torch
from trainer.errors import TrainError
from trainer.models.create import ModelSpec, create
model = create(ModelSpec("test_resnet", ("B03", "B04", "B02")), pretrained=True)
print(model.loaded)
print(model.net.conv1[0].weight.sum().item(), model.net.layer1[0].conv1.weight.sum().item())
try:
    create(ModelSpec("test_vit", ("B03",)), pretrained=True)
except TrainError as err:
    print(err)
"""


@pytest.mark.long
def test_pretrained_weights(tmp_path: Path) -> None:
    """Timm's weights are not taken from the hub's cache, or a failing download is not one line that says what to do."""
    source = rgb_net("test_resnet", num_classes=1000)
    cache = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0" * 40)
    (cache / "snapshots" / ("0" * 40)).mkdir(parents=True)
    safetensors.torch.save_file(source.state_dict(), cache / "snapshots" / ("0" * 40) / "model.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", PRETRAINED],
        env=os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, sums, error = done.stdout.splitlines()
    assert loaded == (
        "weights of test_resnet as published by timm; filters by band for B03, B04, B02; its classifier for 1,000 "
        "classes left out, the one for 19 is random"
    )
    expected = [source.conv1[0].weight.sum().item(), source.layer1[0].conv1.weight.sum().item()]
    assert [float(x) for x in sums.split()] == pytest.approx(expected, rel=1e-4)
    assert error.startswith("the pretrained weights of test_vit cannot be loaded")
    assert error.endswith("give a file of them with `weights=FILE`")
