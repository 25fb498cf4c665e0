"""Published weights: files with random values in the real layouts, and what becomes of each filter and each row."""

import argparse
import json
import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from shards import BANDS, CLASSES
from shards.errors import InvalidValue
from trainer.data.bands import BAND_SETS
from trainer.errors import BadCheckpoint
from trainer.models.classifier import Classifier
from trainer.models.create import ModelSpec, create
from trainer.models.published import CLASS_ORDERS, PAPER, PRESETS, channel_names, parse_channels
from trainer.models.weights_file import read

REBEN_2 = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
REBEN_1 = ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A"]
L1C = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
ORDERS = {
    "reben-s2-v0.2.0": REBEN_2,
    "reben-all-v0.2.0": ["VV", "VH", *REBEN_2],
    "reben-s2-v0.1.1": REBEN_1,
    "reben-all-v0.1.1": [*REBEN_1, "VH", "VV"],
    "configilm-s2": REBEN_1,
    "configilm-all": [*REBEN_1, "VH", "VV"],
    "s2-l1c": L1C,
    "s2-l2a": [name for name in L1C if name != "B10"],
    "rgb": ["B04", "B03", "B02"],
}
ARCHITECTURE = "test_resnet"


def network(channels: list[str], num_classes: int = 0, name: str = ARCHITECTURE, seed: int = 1) -> dict[str, Tensor]:
    """Return the state of a network whose first filter of channel c is c's number, and whose row of class k is k."""
    torch.manual_seed(seed)
    net = timm.create_model(name, in_chans=len(channels), num_classes=num_classes)
    state = net.state_dict()
    state[first_conv(name)][:] = torch.tensor([number(c) for c in channels])[:, None, None]
    if num_classes == len(CLASSES):
        state["fc.weight"][:] = torch.arange(19.0)[:, None]
        state["fc.bias"][:] = torch.arange(19.0)
    return state


def first_conv(name: str = ARCHITECTURE) -> str:
    return f"{timm.get_pretrained_cfg(name).first_conv}.weight"


def number(channel: str) -> float:
    """Return a number that stands for a channel."""
    return 1.0 + [*sorted({*L1C}), "VV", "VH"].index(channel)


def filters(model: Classifier, name: str = ARCHITECTURE) -> dict[str, float]:
    """Return the value of each band's filters, which must be equal."""
    weight = model.state_dict()[f"net.{first_conv(name)}"].float()
    assert (weight == weight[:1, :, :1, :1]).all()
    return dict(zip(model.spec.bands, weight[0, :, 0, 0].tolist(), strict=True))


def reben(state: dict[str, Tensor]) -> dict[str, Any]:
    """Return the layout of the BigEarthNet v2.0 models: a Lightning module around ConfigILM's model."""
    return {f"model.vision_encoder.{name}": value for name, value in state.items()}


def lightning(state: dict[str, Tensor]) -> dict[str, Any]:
    """Return a checkpoint of Lightning."""
    return {
        "epoch": 3,
        "global_step": 99,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": OrderedDict(reben(state)),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5), "best_model_path": "best.ckpt"}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.001, "warmup": None, "channels": 10},
    }


def moco(state: dict[str, Tensor]) -> dict[str, Any]:
    """Return a checkpoint of MoCo v2: two encoders with an MLP in place of the classifier, and the queue."""
    mlp = {"fc.0.weight": torch.zeros(8, 8), "fc.0.bias": torch.zeros(8), "fc.2.weight": torch.zeros(4, 8)}
    other = {name: torch.full_like(value, -1) for name, value in state.items()}
    entries = {f"module.encoder_q.{name}": value for name, value in (state | mlp).items()}
    entries |= {f"module.encoder_k.{name}": value for name, value in (other | mlp).items()}
    entries |= {"module.queue": torch.zeros(4, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.int64)}
    return {"epoch": 100, "arch": "resnet50", "state_dict": entries, "optimizer": {"state": {}, "param_groups": []}}


def dino(state: dict[str, Tensor]) -> dict[str, Any]:
    """Return a checkpoint of DINO: student and teacher, each with a projection head, and the script's options."""
    other = {name: torch.full_like(value, -1) for name, value in state.items()}
    head = {"mlp.0.weight": torch.zeros(8, 8), "last_layer.weight_v": torch.zeros(4, 8)}
    return {
        "student": {f"module.backbone.{name}": value for name, value in other.items()}
        | {f"module.head.{name}": value for name, value in head.items()},
        "teacher": {f"backbone.{name}": value for name, value in state.items()}
        | {f"head.{name}": value for name, value in head.items()},
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 100,
        "args": argparse.Namespace(arch="resnet50", lr=0.1),
        "dino_loss": {"center": torch.zeros(1, 4)},
    }


def averaged(state: dict[str, Tensor]) -> dict[str, Any]:
    """Return a checkpoint of timm's training script with averaged weights."""
    other = {name: torch.full_like(value, -1) for name, value in state.items()}
    return {"epoch": 1, "arch": "resnet50", "state_dict": other, "state_dict_ema": state, "args": argparse.Namespace()}


LAYOUTS = {
    "plain": lambda state: state,
    "reben": reben,
    "lightning": lightning,
    "moco": moco,
    "dino": dino,
    "averaged": averaged,
    "model": lambda state: {"model": {f"model.{name}": value for name, value in state.items()}},
    "parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "backbone": lambda state: {"state_dict": {f"module.backbone.{name}": value for name, value in state.items()}},
    "encoder": lambda state: {f"encoder.{name}": value for name, value in state.items()},
    "net": lambda state: {f"net.{name}": value for name, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()},
    "two Lightning networks": lambda state: {
        "state_dict": {f"backbone.{name}": value for name, value in state.items()}
        | {f"backbone_momentum.{name}": value * 0 for name, value in state.items()}
    },
}


def save(content: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(content, path)
    else:
        torch.save(content, path)
    return path


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


NESTED = ("lightning", "moco", "dino", "averaged", "model", "backbone", "two Lightning networks")
"""Layouts with dicts in dicts, which safetensors do not hold."""
FILES = [(name, ".pth") for name in LAYOUTS] + [(name, ".safetensors") for name in LAYOUTS if name not in NESTED]


@pytest.mark.parametrize(("layout", "suffix"), FILES)
def test_networks_are_found_in_every_layout(layout: str, suffix: str, tmp_path: Path) -> None:
    """A published file is refused for the names of its entries, or another network in it is taken without a word."""
    state = network(REBEN_2)
    content = LAYOUTS[layout](state)
    path = save(content, tmp_path / f"weights{suffix}")
    model = create(ModelSpec(ARCHITECTURE, tuple(REBEN_2)), weights=path, weights_bands="reben-s2-v0.2.0")
    assert filters(model) == {band: number(band) for band in REBEN_2}
    own = model.state_dict()
    assert all(torch.equal(own[f"net.{name}"], value) for name, value in state.items())
    assert model.loaded is not None
    places = {
        "moco": "state_dict/module.encoder_q.",
        "dino": "teacher/backbone.",
        "averaged": "state_dict_ema/",
        "two Lightning networks": "state_dict/backbone.",
    }
    if layout in places:
        assert model.loaded.place == places[layout]
        assert places[layout] in str(model.loaded)
        assert "other tensors of the file not used" in str(model.loaded)


def test_two_networks_that_fit_are_refused(tmp_path: Path) -> None:
    """One of two networks that nothing tells apart is taken by chance."""
    state = network(REBEN_2)
    both = {f"left.{name}": value for name, value in state.items()} | {f"right.{n}": v for n, v in state.items()}
    path = save(both, tmp_path / "weights.pth")
    with pytest.raises(BadCheckpoint, match=r"several networks that fit: left\., right\.; save the one"):
        create(ModelSpec(ARCHITECTURE, BANDS), weights=path, weights_bands="reben-s2-v0.2.0")


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnets_of_torchgeo(name: str, tmp_path: Path) -> None:
    """The ResNets of SSL4EO-S12, as torchgeo publishes them without a classifier, get averaged filters."""
    state = network(L1C, name=name)
    path = save(state, tmp_path / f"{name}_sentinel2_all_moco.pth")
    model = create(ModelSpec(name, BAND_SETS["s2-10"]), weights=path, weights_bands="s2-l1c")
    assert filters(model, name) == pytest.approx({band: 1.3 * number(band) for band in BAND_SETS["s2-10"]}, rel=1e-5)
    assert model.loaded is not None
    assert set(model.loaded.dropped) == {"B01", "B09", "B10"}
    assert model.loaded.initial == ("net.fc.weight", "net.fc.bias")


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
        BadCheckpoint, match=r"classifier for 19 classes .* say it with `weights_classes=` alphabetical"
    ):
        create(spec, weights=path, weights_bands="configilm-s2")
    random = create(spec, weights=path, weights_bands="configilm-s2", weights_classes="none")
    assert random.loaded is not None
    assert random.loaded.initial == random.loaded.unused == ("net.fc.weight", "net.fc.bias")
    preset = create(spec, weights=path, weights_bands="reben-s2-v0.1.1")
    assert torch.equal(preset.state_dict()["net.fc.bias"], torch.arange(19.0))


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
        ("reben", "or a preset: reben-s2-v0.2.0"),
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


class Code:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def bomb(path: Path) -> None:
    """Write a small ZIP archive that unpacks to 64 MiB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (64 << 20))


HOSTILE = {
    "FIFO": lambda path: os.mkfifo(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "sparse": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
    "bomb": bomb,
    "code": lambda path: torch.save({"state_dict": {}, "hook": Code(path.with_name("ran"))}, path),
    "expanded": lambda path: torch.save({"conv1.weight": torch.zeros(1).expand(1 << 20, 1 << 20)}, path),
    "truncated": lambda path: (torch.save(network(REBEN_2), path), os.truncate(path, 5000)),
    "absent": lambda path: None,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt"])
def test_hostile_files_are_one_line(kind: str, suffix: str, tmp_path: Path) -> None:
    """A file that is none, is damaged or would run code hangs, fills the memory or ends in a traceback."""
    path = tmp_path / f"weights{suffix}"
    HOSTILE[kind](path)
    with pytest.raises(BadCheckpoint, match=f"weights{suffix}") as caught:
        create(ModelSpec(ARCHITECTURE, BANDS), weights=path, weights_bands="rgb")
    assert "\n" not in str(caught.value)
    if kind == "code" and suffix != ".safetensors":
        assert "posix.mkdir, expected tensors alone" in str(caught.value)
    assert not path.with_name("ran").exists()


def test_truncated_safetensors_are_one_line(tmp_path: Path) -> None:
    """A download that was cut off ends in a traceback at some length."""
    whole = safetensors.torch.save({"conv1.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(2)})
    path = tmp_path / "model.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BadCheckpoint, match=r"model\.safetensors are not a file of tensors: .") as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["{", "[" * 100_000, '{"bands": ["B02", "B13"]}', '{"bands": ["B02"], "band_names": ["B03"]}']
)
def test_damaged_configurations_are_one_line(content: str, tmp_path: Path) -> None:
    """A `config.json` that nobody can read ends in a traceback, or is ignored."""
    path = save(network(REBEN_2), tmp_path / "weights.pth")
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(BadCheckpoint, match=r"weights\.pth|config\.json") as caught:
        create(ModelSpec(ARCHITECTURE, BANDS), weights=path)
    assert "\n" not in str(caught.value)


def test_names_from_files_do_not_steer_the_terminal(tmp_path: Path) -> None:
    """A control sequence in the name of an entry reaches the terminal."""
    state = network(REBEN_2) | {"fc.\x1b[31m.weight": torch.zeros(2)}
    path = save(state, tmp_path / "weights.pth")
    model = create(ModelSpec(ARCHITECTURE, BANDS), weights=path, weights_bands="reben-s2-v0.2.0")
    assert "\\x1b[31m" in str(model.loaded)
    assert "\x1b" not in str(model.loaded)
