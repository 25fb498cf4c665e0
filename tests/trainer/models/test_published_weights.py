"""Published weights: bands and classes get the filters and rows that were trained on them."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from shards import BANDS, CLASSES
from shards.errors import InvalidValue
from tests.trainer.models.published import (
    ARCHITECTURE,
    L1C,
    ORDERS,
    REBEN_1,
    REBEN_2,
    filters,
    lightning,
    network,
    number,
    reben,
    save,
)
from trainer.data.bands import BAND_SETS
from trainer.errors import BadCheckpoint
from trainer.models.create import ModelSpec, create
from trainer.models.published import CLASS_ORDERS, PAPER, PRESETS, channel_names, parse_channels


@pytest.mark.parametrize("preset", PRESETS)
def test_each_band_gets_the_filters_of_its_channel(preset: str, tmp_path: Path) -> None:
    """Weights of a published family look at other bands than they were trained on."""
    channels = ORDERS[preset]
    assert list(PRESETS[preset].channels) == channels
    path = save(network(channels), tmp_path / "weights.pth")
    bands = tuple(reversed(BANDS))
    model = create(ModelSpec(ARCHITECTURE, bands), weights=path, weights_bands=preset)
    known, scale = set(channels) & set(BANDS), len(channels) / len(bands)
    mean = sum(number(c) for c in channels if c in L1C) / sum(c in L1C for c in channels)
    for band, value in filters(model).items():
        assert value == pytest.approx(scale * (number(band) if band in known else mean), rel=1e-5), band
    assert model.loaded is not None
    assert set(model.loaded.matched) == known
    assert set(model.loaded.averaged) == set(BANDS) - known
    assert set(model.loaded.dropped) == set(channels) - set(BANDS)
    said = str(model.loaded)
    assert ("filters dropped of" in said) == bool(set(channels) - set(BANDS))
    assert ("the mean filter for" in said) == bool(set(BANDS) - known)


@pytest.mark.parametrize("order", ["alphabetical", "paper"])
def test_rows_of_the_classifier_go_by_class(order: str, tmp_path: Path) -> None:
    """The classifier of published weights gives right scores to wrong classes."""
    path = save(reben(network(REBEN_1, 19)), tmp_path / "weights.safetensors")
    spec = ModelSpec(ARCHITECTURE, tuple(REBEN_2))
    model = create(spec, weights=path, weights_bands="configilm-s2", weights_classes=order)
    names = {"alphabetical": sorted(CLASSES), "paper": list(PAPER)}[order]
    expected = torch.tensor([float(names.index(label)) for label in CLASSES])
    assert torch.equal(model.state_dict()["net.fc.bias"], expected)
    assert torch.equal(
        model.state_dict()["net.fc.weight"],
        expected[:, None].expand(-1, 512).contiguous()[:, : model.net.fc.in_features],
    )
    with pytest.raises(
        BadCheckpoint,
        match=r"19 classes in an unknown order; say it with `weights_classes=alphabetical` or .*paper` or .*=none`$",
    ):
        create(spec, weights=path, weights_bands="configilm-s2")
    random = create(spec, weights=path, weights_bands="configilm-s2", weights_classes="none")
    assert random.loaded is not None
    assert random.loaded.initial == random.loaded.unused == ("net.fc.weight", "net.fc.bias")
    preset = create(spec, weights=path, weights_bands="reben-s2-v0.1.1")
    assert torch.equal(preset.state_dict()["net.fc.bias"], torch.arange(19.0))


@pytest.mark.parametrize("number", [1, 43, 1000])
def test_a_classifier_for_other_classes(number: int, tmp_path: Path) -> None:
    """The classifier for other classes is taken, refused, or lost without a word; or called absent where it is not."""
    path = save(network(REBEN_1, number), tmp_path / "weights.pth")
    spec = ModelSpec(ARCHITECTURE, tuple(REBEN_2))
    model = create(spec, weights=path, weights_bands="configilm-s2")
    theirs = "1 class" if number == 1 else f"{number:,} classes"
    assert str(model.loaded).endswith(f"; its classifier for {theirs} left out, the one for 19 is random")
    with pytest.raises(BadCheckpoint, match=f"have a classifier for {theirs}, expected one for 19, so they cannot be"):
        create(spec, weights=path, weights_bands="configilm-s2", as_published=True)


def test_class_orders_hold_the_same_classes() -> None:
    """A class is missing from an order, or comes twice."""
    assert all(sorted(names) == sorted(CLASSES) for names in CLASS_ORDERS.values())
    assert list(CLASSES) == sorted(CLASSES)


@pytest.mark.parametrize("number_of_channels", [2, 3, 10, 12, 13])
def test_an_unknown_order_is_refused(number_of_channels: int, tmp_path: Path) -> None:
    """Channels whose order nobody knows are taken for the bands of the model."""
    torch.manual_seed(0)
    state = timm.create_model(ARCHITECTURE, in_chans=number_of_channels, num_classes=0).state_dict()
    path = save(state, tmp_path / "weights.pth")
    presets = [name for name, channels in ORDERS.items() if len(channels) == number_of_channels]
    for bands in (BANDS, BAND_SETS["s2-10"], BAND_SETS["rgb"]):
        with pytest.raises(BadCheckpoint, match=f"look at {number_of_channels} channels .*`weights_bands=`") as caught:
            create(ModelSpec(ARCHITECTURE, bands), weights=path)
        assert all(name in str(caught.value) for name in presets)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadCheckpoint, match=f"look at {number_of_channels} channels, but 5 are named: B02, B03"):
        create(ModelSpec(ARCHITECTURE, BANDS), weights=path, weights_bands="B02,B03,B04,B05,B06")


def test_errors_show_the_first_names(tmp_path: Path) -> None:
    """A user cannot see in what the names of a file differ from those expected."""
    path = save({f"trunk.{i}.weight": torch.zeros(2) for i in range(9)}, tmp_path / "weights.pth")
    with pytest.raises(
        BadCheckpoint, match=r"the file has trunk\.0\.weight, .*; expected conv1\.0\.weight, "
    ) as caught:
        create(ModelSpec(ARCHITECTURE, BANDS), weights=path, weights_bands="rgb")
    assert "trunk.4.weight" in str(caught.value)
    assert "trunk.5.weight" not in str(caught.value)
    with pytest.raises(BadCheckpoint, match=r"the file has trunk\.0\.weight"):
        create(ModelSpec(ARCHITECTURE, BANDS), weights=path)
    save({"epoch": 3, "step": 4}, path)
    with pytest.raises(BadCheckpoint, match=r"hold no state dict: .* found a dict with epoch, step"):
        create(ModelSpec(ARCHITECTURE, BANDS), weights=path)


CONFIGS = {
    "names": {"bands": REBEN_2, "class_names": list(PAPER)},
    "nested": {"config": {"channels": 10, "band_names": REBEN_2, "class_names": list(PAPER)}, "lr": 0.1},
    "short names": {
        "meta": {"bands": [f"B{int(b[1:])}" if b != "B8A" else "B8a" for b in REBEN_2]},
        "classes": [*PAPER],
    },
    "id2label": {"bands": REBEN_2, "id2label": {str(i): name for i, name in enumerate(PAPER)}},
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_configuration_beside_the_file_counts(kind: str, tmp_path: Path) -> None:
    """The bands and classes in `config.json` are ignored."""
    folder = tmp_path / "resnet-s2"
    folder.mkdir()
    path = save(reben(network(REBEN_2, 19)), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIGS[kind]))
    spec = ModelSpec(ARCHITECTURE, tuple(reversed(REBEN_2)))
    for named in (folder, path):
        model = create(spec, weights=named)
        assert filters(model) == {band: number(band) for band in REBEN_2}
        assert model.state_dict()["net.fc.bias"].tolist() == [float(PAPER.index(label)) for label in CLASSES]
    with pytest.raises(BadCheckpoint, match=r"say that their channels are B02, .*; `weights_bands=` says B02"):
        create(spec, weights=folder, weights_bands="reben-s2-v0.1.1")
    with pytest.raises(BadCheckpoint, match="classes in paper order; `weights_classes=` says alphabetical"):
        create(spec, weights=folder, weights_classes="alphabetical")


def test_the_published_configuration_gives_no_order(tmp_path: Path) -> None:
    """The number of channels in the `config.json` of the BigEarthNet v2.0 models is taken for their order."""
    save(reben(network(REBEN_2, 19)), tmp_path / "model.safetensors")
    values = {
        "channels": 10,
        "class_names": [str(i) for i in range(19)],
        "classes": 19,
        "timm_model_name": ARCHITECTURE,
    }
    (tmp_path / "config.json").write_text(json.dumps(values))
    spec = ModelSpec(ARCHITECTURE, tuple(REBEN_2))
    with pytest.raises(BadCheckpoint, match=r"look at 10 channels .*reben-s2-v0\.2\.0, reben-s2-v0\.1\.1"):
        create(spec, weights=tmp_path)
    model = create(spec, weights=tmp_path, weights_bands="reben-s2-v0.2.0", as_published=True)
    assert filters(model) == {band: number(band) for band in REBEN_2}
    assert torch.equal(model.state_dict()["net.fc.bias"], torch.arange(19.0))


def test_hyper_parameters_of_lightning_count(tmp_path: Path) -> None:
    """Bands that a Lightning checkpoint names are ignored."""
    content = lightning(network(REBEN_1))
    content["hyper_parameters"]["bands"] = REBEN_1
    model = create(ModelSpec(ARCHITECTURE, tuple(REBEN_2)), weights=save(content, tmp_path / "last.ckpt"))
    assert filters(model) == {band: number(band) for band in REBEN_2}


def test_weights_as_published(tmp_path: Path) -> None:
    """Weights that are evaluated as they are get rescaled filters, mean filters or a random classifier."""
    path = save(reben(network(ORDERS["reben-all-v0.2.0"], 19)), tmp_path / "model.safetensors")
    both: dict[str, Any] = {"weights_bands": "reben-all-v0.2.0", "as_published": True}
    model = create(ModelSpec(ARCHITECTURE, tuple(REBEN_2)), weights=path, **both)
    assert filters(model) == {band: number(band) for band in REBEN_2}
    assert model.loaded is not None
    assert model.loaded.dropped == ("VV", "VH")
    with pytest.raises(BadCheckpoint, match="have no filters for B01, B09; leave these out of `bands=`"):
        create(ModelSpec(ARCHITECTURE, BANDS), weights=path, **both)
    headless = save(network(REBEN_2), tmp_path / "headless.pth")
    with pytest.raises(BadCheckpoint, match=r"lack net\.fc\.weight, net\.fc\.bias, so they cannot be used as they are"):
        create(
            ModelSpec(ARCHITECTURE, ("B02",)),
            weights=headless,
            weights_bands="reben-s2-v0.2.0",
            as_published=True,
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("B02,B02", "B02 comes twice"),
        ("B02,b2", "B02 comes twice"),
        ("B02,B13", "'B13' is no band of Sentinel-2"),
        ("B02,B9A", "'B9A' is no band"),
        ("VV,VH", "no channel is one of the bands"),
        ("", "is no name of a channel"),
        ("B02;B03", "is no name of a channel"),
        ("B02,\x1b[31m", "is no name of a channel"),
        ("reben", r"are 'reben', expected a preset \(reben-s2-v0.2.0, .*, rgb\) or the names of the channels"),
        ("configilm-al", r"; perhaps configilm-all$"),
        ("ConfigILM_all", r"; perhaps configilm-all$"),
        ("nothing-like-it", r"or the names of the channels, separated by commas$"),
        ("B99", r"'B99' is no band of Sentinel-2"),
    ],
)
def test_names_that_are_none(text: str, message: str) -> None:
    """A typing error in the names of channels drops the filters of a band."""
    with pytest.raises(InvalidValue, match=message):
        parse_channels(text)


@given(st.permutations([*L1C, "VV", "VH"]), st.booleans())
def test_names_are_read_as_others_write_them(names: list[str], short: bool) -> None:
    """B1 or B8a of another program is another channel than B01 or B8A."""
    written = [name.replace("B0", "B").replace("8A", "8a") if short else name for name in names]
    assert channel_names(written) == tuple(names)
