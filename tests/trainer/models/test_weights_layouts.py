"""Layouts of files with weights: the network is found in each."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from shards import BANDS
from tests.trainer.models.published import ARCHITECTURE, L1C, REBEN_2, filters, lightning, network, number, reben, save
from trainer.data.bands import BAND_SETS
from trainer.errors import BadCheckpoint
from trainer.models.create import ModelSpec, create


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
NESTED = ("lightning", "moco", "dino", "averaged", "model", "backbone", "two Lightning networks")
"""Layouts with dicts in dicts, which safetensors do not hold."""
FILES = [(name, ".pth") for name in LAYOUTS] + [(name, ".safetensors") for name in LAYOUTS if name not in NESTED]


@pytest.mark.product
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
