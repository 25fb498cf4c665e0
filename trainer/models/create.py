"""Building a network from its description, with random weights or with those of a file.

timm takes three seconds to import, so it is imported only when a network of it is requested.
"""

import difflib
import fnmatch
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shards.errors import InvalidValue
from shards.text.words import counted
from trainer.errors import BadCheckpoint
from trainer.models.bepnet import PLANS, BepNet
from trainer.models.classifier import Classifier
from trainer.models.published import CLASS_ORDERS, check_classes, parse_channels
from trainer.models.spec import ModelSpec
from trainer.models.weights import InputFilters, Loaded, transfer
from trainer.models.weights_file import WeightsFile, open_weights

__all__ = ["Classifier", "Loaded", "ModelSpec", "create", "names"]


def names(pattern: str = "*") -> list[str]:
    """Return the names of the models that fit a pattern with `*` and `?`, ours before timm's."""
    from trainer.models import timm_models

    return fnmatch.filter(PLANS, pattern) + timm_models.names(pattern)


def create(
    spec: ModelSpec,
    *,
    pretrained: bool = False,
    weights: Path | None = None,
    weights_bands: str | None = None,
    weights_classes: str | None = None,
    as_published: bool = False,
) -> Classifier:
    """Return a network, channels-last in memory; the same one after the same `torch.manual_seed`.

    `loaded` of the result says what was loaded. Filters of the first convolutions are matched by name of band (see
    `trainer.models.weights.inflate`), rows of the classifier by name of class; a classifier for other classes keeps its
    random values.

    Args:
        spec: which network, for which bands.
        pretrained: load the weights that timm publishes under this name, which see red, green and blue.
        weights: load this file: a checkpoint of ours with the same network for any bands, or a state dict with timm's
            or torchvision's names (`.pt`, `.pth`, `.ckpt`, `.safetensors`, or a folder with `model.safetensors`); or
            the folder of an export of ours.
        weights_bands: what its channels are: a preset or names, see `trainer.models.published`; None if it says so
            itself, as our checkpoints do.
        weights_classes: order of its 19 classes, or `none` to leave its classifier out; None if it says so itself.
        as_published: the network is to be used as it is, not trained, so all of it must be in the file: each band has
            filters and each class a row. A channel that no band is for counts as if it were at its mean.

    Raises:
        ValueError: there is no such network, it does not take these bands, images or rates, or weights are requested
            in two ways.
        TrainError: the weights cannot be loaded, are not this network's, or the order of their channels or classes is
            not known.
    """
    if pretrained and weights is not None:
        raise InvalidValue(f"both pretrained weights and those of {weights} are requested, expected one of them")
    model: Classifier
    if spec.name in PLANS:
        if pretrained:
            raise InvalidValue(
                f"there are no published weights of {spec.name}; give a file of them with `weights=FILE`"
            )
        model = BepNet(spec)
    else:
        model = _create_by_timm(spec, pretrained=pretrained)
    if weights is not None:
        model.loaded = _load(model, weights, weights_bands, weights_classes, as_published=as_published)
    return model.to(memory_format=torch.channels_last)


def _create_by_timm(spec: ModelSpec, *, pretrained: bool) -> Classifier:
    from trainer.models import timm_models

    if not timm_models.is_known(spec.name):
        close = difflib.get_close_matches(spec.name, names(), n=3, cutoff=0.5)
        hint = f", perhaps {' or '.join(close)}" if close else ""
        raise InvalidValue(
            f"no model {spec.name!r}{hint}; there are {', '.join(PLANS)} and those that `timm.list_models()` returns"
        )
    model = timm_models.TimmClassifier(spec)
    if pretrained:
        model.loaded = model.load_pretrained()
    return model


def _load(model: Classifier, path: Path, bands: str | None, classes: str | None, *, as_published: bool) -> Loaded:
    file = open_weights(path)
    if (ours := _of_ours(file, path)) is not None:
        if bands is not None or classes is not None:
            raise InvalidValue(
                f"weights {path} are {'a checkpoint' if file.ours is None else 'an export'} of ours, which knows its "
                "bands and classes; do not name them"
            )
        loaded = _take(model, *ours, path)
    elif model.spec.name in PLANS:
        raise BadCheckpoint(
            f"weights {path} are no checkpoint of ours, as {model.spec.name} needs: no `model` and `state`, nor the "
            "folder of an export"
        )
    else:
        from trainer.models.timm_models import TimmClassifier

        assert isinstance(model, TimmClassifier)
        loaded = model.load_file(_with_knowledge(file, bands, classes), as_published=as_published)
    if as_published and loaded.averaged:
        raise BadCheckpoint(
            f"weights {path} have no filters for {', '.join(loaded.averaged)}; leave these out of `bands=` to use the "
            "weights as they are"
        )
    if as_published and loaded.other_classes:
        theirs, needed = loaded.other_classes
        raise BadCheckpoint(
            f"weights {path} have a classifier for {counted(theirs, 'class', 'classes')}, expected one for {needed}, "
            "so they cannot be used as they are; train with them first, which gives the network a new classifier"
        )
    if as_published and loaded.initial:
        raise BadCheckpoint(
            f"weights {path} lack {', '.join(loaded.initial)}, so they cannot be used as they are; "
            "train with them first"
        )
    return loaded


def _with_knowledge(file: WeightsFile, bands: str | None, classes: str | None) -> WeightsFile:
    """Return a file with what a user says of it, too.

    Raises:
        InvalidValue: what the user says is not allowed.
        BadCheckpoint: the file says something else.
    """
    family = None if bands is None else parse_channels(bands)
    if classes is not None:
        check_classes(classes)
    if family and file.channels and family.channels != file.channels:
        raise BadCheckpoint(
            f"weights {file.path} say that their channels are {', '.join(file.channels)}; `weights_bands=` says "
            f"{', '.join(family.channels)}"
        )
    if classes in CLASS_ORDERS and file.classes and classes != file.classes:
        raise BadCheckpoint(
            f"weights {file.path} have their classes in {file.classes} order; `weights_classes=` says {classes}"
        )
    return replace(
        file,
        channels=family.channels if family else file.channels,
        classes=classes or file.classes or (family.classes if family else None),
    )


def _of_ours(file: WeightsFile, path: Path) -> tuple[ModelSpec, Mapping[str, Tensor]] | None:
    """Return what a checkpoint or an export of ours holds of its model; None for others."""
    return _checkpoint(file.content, path) if file.ours is None else (file.ours, file.content)


def _checkpoint(content: Any, path: Path) -> tuple[ModelSpec, Mapping[str, Tensor]] | None:
    """Return what a checkpoint of ours holds of its model, with averaged weights where it has some; None for others."""
    if not (isinstance(content, dict) and isinstance(content.get("model"), dict) and "name" in content["model"]):
        return None
    state = content.get("ema") or content.get("state")
    if not state:
        raise BadCheckpoint(f"weights {path} name a model but have no `state`")
    try:
        return ModelSpec.from_json(content["model"]), state
    except InvalidValue as err:
        raise BadCheckpoint(f"weights {path}: {err}") from err


def _take(model: Classifier, spec: ModelSpec, state: Mapping[str, Tensor], path: Path) -> Loaded:
    """Load the weights of a model of ours that may see other bands."""
    if spec.name.partition(".")[0] != model.spec.name.partition(".")[0]:
        raise BadCheckpoint(f"weights {path} are of {spec.name}, expected {model.spec.name}")
    theirs, own = model.filter_bands(spec.bands), model.filter_bands(model.spec.bands)
    inputs = {name: InputFilters(theirs.get(name, ()), own.get(name, ())) for name in theirs | own}
    return transfer(model, state, source=str(path), inputs=inputs, heads=model.heads)
