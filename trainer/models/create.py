"""Building a network from its description, with random weights or with those of a file."""

import difflib
import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shards.errors import InvalidValue
from trainer.errors import BadCheckpoint
from trainer.models import timm_models
from trainer.models.bepnet import PLANS, BepNet
from trainer.models.classifier import Classifier
from trainer.models.spec import ModelSpec
from trainer.models.timm_models import TimmClassifier
from trainer.models.weights import InputFilters, Loaded, read, transfer

__all__ = ["Classifier", "Loaded", "ModelSpec", "create", "names"]


def names(pattern: str = "*") -> list[str]:
    """Return the names of the models that fit a pattern with `*` and `?`, ours before timm's."""
    return fnmatch.filter(PLANS, pattern) + timm_models.names(pattern)


def create(spec: ModelSpec, *, pretrained: bool = False, weights: Path | None = None) -> Classifier:
    """Return a network, channels-last in memory; the same one after the same `torch.manual_seed`.

    What was loaded is told by `loaded` of the result. Filters of the first convolutions are matched by name of band
    (see `trainer.models.weights.inflate`); a classifier for other classes keeps its random values.

    Args:
        spec: which network, for which bands.
        pretrained: load the weights that timm publishes under this name, which see red, green and blue.
        weights: load this file: a checkpoint of ours with the same network for any bands, or a state dict with timm's
            or torchvision's names (`.pt`, `.pth`, `.safetensors`).

    Raises:
        ValueError: there is no such network, it does not take these bands, images or rates, or weights are asked for
            in two ways.
        TrainError: the weights cannot be loaded, or are not this network's.
    """
    if pretrained and weights is not None:
        raise InvalidValue(f"both pretrained weights and those of {weights} are asked for, expected one of them")
    model: Classifier
    if spec.name in PLANS:
        if pretrained:
            raise InvalidValue(
                f"there are no published weights of {spec.name}; give a file of them with --weights FILE"
            )
        model = BepNet(spec)
    elif timm_models.is_known(spec.name):
        model = net = TimmClassifier(spec)
        if pretrained:
            model.loaded = net.load_pretrained()
    else:
        close = difflib.get_close_matches(spec.name, names(), n=3, cutoff=0.5)
        hint = f", perhaps {' or '.join(close)}" if close else ""
        raise InvalidValue(
            f"no model {spec.name!r}{hint}; there are {', '.join(PLANS)} and those that `timm.list_models()` returns"
        )
    if weights is not None:
        model.loaded = _load(model, weights)
    return model.to(memory_format=torch.channels_last)


def _load(model: Classifier, path: Path) -> Loaded:
    content = read(path)
    if (ours := _checkpoint(content, path)) is not None:
        return _take(model, *ours, path)
    if isinstance(model, TimmClassifier):
        return model.load_file(content, path)
    raise BadCheckpoint(f"weights {path} are no checkpoint of ours, as {model.spec.name} needs: no `model` and `state`")


def _checkpoint(content: Any, path: Path) -> tuple[ModelSpec, Mapping[str, Tensor]] | None:
    """Return what a checkpoint of ours holds of its model, with averaged weights where it has some; None for others."""
    if not (isinstance(content, dict) and isinstance(content.get("model"), dict) and "name" in content["model"]):
        return None
    state = content.get("ema") or content.get("state")
    if not state:
        raise BadCheckpoint(f"weights {path} name a model but have no `state`")
    try:
        return ModelSpec.from_json(content["model"]), state
    except ValueError as err:
        raise BadCheckpoint(f"weights {path}: {err}") from err


def _take(model: Classifier, spec: ModelSpec, state: Mapping[str, Tensor], path: Path) -> Loaded:
    """Load the weights of a model of ours that may see other bands."""
    if spec.name.partition(".")[0] != model.spec.name.partition(".")[0]:
        raise BadCheckpoint(f"weights {path} are of {spec.name}, expected {model.spec.name}")
    theirs, own = model.filter_bands(spec.bands), model.filter_bands(model.spec.bands)
    inputs = {name: InputFilters(theirs.get(name, ()), own.get(name, ())) for name in theirs | own}
    return transfer(model, state, source=str(path), inputs=inputs, heads=model.heads)
