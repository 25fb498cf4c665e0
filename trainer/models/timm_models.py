"""The networks of timm, for any bands and for images of 120×120 pixels. All of timm is in this file."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import timm
import torch
from timm.models import clean_state_dict, get_pretrained_cfg
from torch import Tensor, nn
from torch.nn.functional import pad

from shards import CLASSES
from shards.errors import InvalidValue
from trainer.data.batch import IMAGE_SIZE
from trainer.errors import BadCheckpoint, TrainError
from trainer.models.classifier import Classifier, Features
from trainer.models.spec import ModelSpec
from trainer.models.weights import RGB, InputFilters, Loaded, transfer

_SIZES: Final = (IMAGE_SIZE, 126, 128)
"""Sides that an image may be padded to: multiples of patches of 14 and of 16 or 32 pixels."""

_REASON: Final = 300  # Longest quote from timm's own errors, in characters.


class TimmClassifier(Classifier):
    """A network of timm.

    Some networks take only images whose side is a multiple of their patches, or would ignore the pixels beyond the last
    whole patch. For those the image gets a frame of zeros, the mean of standardised pixels: 126×126 for patches of 14
    pixels, 128×128 for patches of 16 or 32. The side is the smallest of 120, 126 and 128 that works.

    Attributes:
        net: timm's module.
        size: side of the images that `net` sees, in pixels.
    """

    layout = "stacked"

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        _check_tag(spec.name)
        self.net: Any  # Typed in part only, as all of timm.
        self.net, self.size = _build_fitting(spec)

    def features(self, inputs: Mapping[str, Tensor]) -> Features:
        """Return the features of `image`, (n, C, 120, 120); their shape is the network's affair."""
        image = self.images(inputs, "image")
        before, after = (self.size - IMAGE_SIZE) // 2, (self.size - IMAGE_SIZE + 1) // 2
        if after:
            image = pad(image, (before, after, before, after))
        return self.net.forward_features(image)

    def scores(self, features: Features) -> Tensor:
        """Return the logits: pooling, dropout and classifier, whichever the network has."""
        return self.net.forward_head(features)

    def filter_bands(self, bands: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the bands of each convolution that looks at the image, by name of weight."""
        return {f"net.{name}.weight": tuple(bands) for name in _first_convs(self.net)}

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the classifier's entries in the state dict."""
        return tuple(f"net.{name}" for name in _heads(self.net))

    def load_pretrained(self) -> Loaded:
        """Load the weights that timm publishes under this name; the classifier stays random.

        Raises:
            TrainError: there are none, or they cannot be downloaded.
        """
        name = self.spec.name
        try:
            net = self._load_by_timm({})
        except Exception as err:  # Hub, HTTP, file system and timm each raise their own kinds.
            raise TrainError(
                f"the pretrained weights of {name} cannot be loaded ({_shorten(err)}); "
                "give a file of them with --weights FILE"
            ) from err
        return self._take(net, f"{name} as published by timm", net.pretrained_cfg["input_size"][0])

    def load_file(self, content: Any, path: Path) -> Loaded:
        """Load a state dict with timm's or torchvision's names, on which timm does what it does to its own weights.

        Three input channels are taken for red, green and blue, as many as there are bands for those bands in this
        order; of any other number only the mean is used.

        Args:
            content: what the file holds: the state dict, or a dict with it under `state_dict` or `model`.
            path: of the file, for errors.

        Raises:
            BadCheckpoint: it is none, or its entries are not this network's.
        """
        state = _state_dict(content, path)
        channels = self._channels(state)
        heads = [name for name in _heads(self.net) if name in state]
        # Without a classifier under its usual name the file may have none, or timm may rename it.
        published = _published(self.spec.name)
        numbers = [len(state[heads[-1]])] if heads else [0, published.num_classes]
        for number in numbers:
            overlay = {
                "state_dict": state,
                "input_size": (channels, *published.input_size[1:]),
                "num_classes": number,
                "label_offset": 0,
            }
            try:
                net = self._load_by_timm(overlay, in_chans=channels, num_classes=number)
            except Exception as err:  # What timm does to foreign weights can fail in any way.
                if number == numbers[-1]:
                    raise BadCheckpoint(f"weights {path} do not fit {self.spec.name}: {_shorten(err)}") from err
            else:
                break
        return self._take(net, str(path), channels)

    def _channels(self, state: Mapping[str, Tensor]) -> int:
        """Return the number of channels that the first convolution in a state dict looks at, 3 if it is not there."""
        for name in _first_convs(self.net):
            weight, own = state.get(f"{name}.weight"), self.net.get_submodule(name).weight
            if weight is not None and weight.ndim == own.ndim == 4:
                # Some networks fold pixels into channels first, so that there are k times as many.
                return max(1, weight.shape[1] * len(self.spec.bands) // own.shape[1])
        return len(RGB)

    def _load_by_timm(self, overlay: dict[str, Any], **arguments: Any) -> Any:
        """Return the network with its own channels and classes, loaded by timm."""
        with torch.random.fork_rng(devices=[]):  # So that loading changes none of the caller's random numbers.
            return timm.create_model(
                self.spec.name,
                pretrained=True,
                pretrained_cfg_overlay=overlay,
                **_size_argument(self.spec.name, self.size),
                **arguments,
            )

    def _take(self, net: Any, source: str, channels: int) -> Loaded:
        """Take over the weights of a network that differs in its first convolutions and its classifier at most."""
        bands: tuple[str | None, ...] = (None,) * channels
        if channels == len(RGB):
            bands = RGB
        elif channels == len(self.spec.bands):
            bands = self.spec.bands
        inputs = {name: InputFilters(bands, own) for name, own in self.filter_bands(self.spec.bands).items()}
        state = {f"net.{name}": value for name, value in net.state_dict().items()}
        return transfer(self, state, source=source, inputs=inputs, heads=self.heads)


def names(pattern: str = "*") -> list[str]:
    """Return the names of timm's networks that fit a pattern with `*` and `?`."""
    return timm.list_models(pattern)


def is_known(name: str) -> bool:
    """Tell whether timm has a network of this name, whatever weights (what follows a dot) the name asks for."""
    return timm.is_model(name)


def _check_tag(name: str) -> None:
    architecture, _, tag = name.partition(".")
    tags = [full.partition(".")[2] for full in timm.list_models(f"{architecture}.*", pretrained=True)]
    if tag and tag not in tags:
        raise InvalidValue(f"timm has no weights {tag!r} of {architecture}; it has {', '.join(tags) or 'none'}")


def _build_fitting(spec: ModelSpec) -> tuple[Any, int]:
    """Return a network with random weights, and the side of the images that it takes without losing pixels."""
    reason = ""
    for size in _SIZES:
        try:
            net = _build(spec, size)
            if not _loses_pixels(net, size):
                _try(net, len(spec.bands), size)
                return net, size
            reason = f"it ignores pixels of {size}×{size}"
        except TypeError as err:
            raise InvalidValue(f"timm's {spec.name} cannot be built for {spec}: {_shorten(err)}") from err
        except (RuntimeError, AssertionError, IndexError, ValueError) as err:
            reason = _shorten(err)
    raise InvalidValue(
        f"{spec.name} does not take images of {IMAGE_SIZE}×{IMAGE_SIZE} pixels, nor with a frame up to "
        f"{_SIZES[-1]}×{_SIZES[-1]} ({reason}); take a network for any size, such as resnet50 or convnextv2_base"
    )


def _build(spec: ModelSpec, size: int) -> Any:
    # Not every network knows every kind of dropout: only one that is asked for is passed on.
    rates: dict[str, Any] = {name: rate for name in ("drop_rate", "drop_path_rate") if (rate := getattr(spec, name))}
    return timm.create_model(
        spec.name, in_chans=len(spec.bands), num_classes=len(CLASSES), **rates, **_size_argument(spec.name, size)
    )


def _size_argument(name: str, size: int) -> dict[str, Any]:
    return {"img_size": size} if _published(name).fixed_input_size else {}


def _published(name: str) -> Any:
    """Return what timm says about the weights it publishes under a name, and about the network they are for."""
    return get_pretrained_cfg(name)


def _loses_pixels(net: Any, size: int) -> bool:
    """Tell whether the image is cut into patches that do not divide it, in each branch that looks at it."""
    convs = [conv for name in _first_convs(net) if isinstance(conv := net.get_submodule(name), nn.Conv2d)]
    lossy = [conv.kernel_size == conv.stride and size % conv.stride[0] > 0 for conv in convs]
    return bool(lossy) and all(lossy)


def _try(net: Any, channels: int, size: int) -> None:
    """Run a network once, so that one that does not take these images fails here and not in a run."""
    net.eval()  # Neither statistics nor random numbers change.
    with torch.no_grad():
        shape = tuple(net.forward_head(net.forward_features(torch.zeros(1, channels, size, size))).shape)
    net.train()
    if shape != (1, len(CLASSES)):
        raise ValueError(f"it returns {shape} for one image, expected (1, {len(CLASSES)})")


def _first_convs(net: Any) -> tuple[str, ...]:
    names = net.pretrained_cfg["first_conv"]
    return (names,) if isinstance(names, str) else tuple(names or ())


def _heads(net: Any) -> list[str]:
    """Return the names of the classifier's entries in a network's state dict."""
    found = net.get_classifier()
    modules = list(found) if isinstance(found, tuple | list | nn.ModuleList) else [found]
    prefixes = [f"{name}." for name, module in net.named_modules() if any(module is m for m in modules)]
    return [name for name in net.state_dict() if name.startswith(tuple(prefixes))]


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise BadCheckpoint(f"weights {path} hold no state dict: expected names of parameters with a tensor each")
    return clean_state_dict(content)


def _shorten(err: Exception) -> str:
    """Return an error of torch, timm or the hub as a part of one line."""
    return textwrap.shorten(str(err) or type(err).__name__, _REASON, placeholder=" …")
