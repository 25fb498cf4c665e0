"""Networks whose filters tell their channel, saved as published ones are."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor

from shards import CLASSES
from trainer.models.classifier import Classifier

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


def save(content: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(content, path)
    else:
        torch.save(content, path)
    return path
