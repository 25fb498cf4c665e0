"""The networks of timm, for any bands and for images of 120×120 pixels. All of timm is in this file."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final

import timm
import torch
from timm.models import clean_state_dict, get_pretrained_cfg
from timm.optim._param_groups import param_groups_layer_decay
from torch import Tensor
from torch.nn.functional import pad

from shards.errors import InvalidValue
from shards.layout.classes import NINETEEN
from trainer.data.batch import IMAGE_SIZE
from trainer.errors import BadCheckpoint, TrainError
from trainer.models import hub, subtree
from trainer.models.classifier import Classifier, Features
from trainer.models.hub import shorten
from trainer.models.published import CLASS_ORDERS, NO_CLASSIFIER, order_options, presets_of
from trainer.models.spec import ModelSpec
from trainer.models.timm_modules import first_convs, head_entries, loses_pixels, try_once
from trainer.models.weights import RGB, InputFilters, Loaded, transfer
from trainer.models.weights_file import WeightsFile

_SIZES: Final = (IMAGE_SIZE, 126, 128)
"""Sides that an image may be padded to: multiples of patches of 14 and of 16 or 32 pixels."""


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
        return {f"net.{name}.weight": tuple(bands) for name in first_convs(self.net)}

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the classifier's entries in the state dict."""
        return tuple(f"net.{name}" for name in head_entries(self.net))

    def set_checkpointing(self) -> None:
        """Let timm compute features again for the gradients.

        Raises:
            InvalidValue: the network cannot do that.
        """
        try:
            self.net.set_grad_checkpointing(True)
        except (AttributeError, AssertionError, NotImplementedError) as err:
            raise InvalidValue(
                f"`checkpointing=true` cannot be honoured: timm has no gradient checkpointing for {self.spec.name}"
            ) from err

    def layer_scales(self, decay: float) -> dict[str, float]:
        """Return the factors that timm's own groups of layers have.

        Raises:
            InvalidValue: timm does not know the layers of the network.
        """
        groups = param_groups_layer_decay(self.net, layer_decay=decay) if hasattr(self.net, "group_matcher") else []
        by_parameter = {parameter: group["lr_scale"] for group in groups for parameter in group["params"]}
        if len(set(by_parameter.values())) < 2:
            raise InvalidValue(f"`layer_decay=` cannot be honoured: timm does not know the layers of {self.spec.name}")
        return {name: by_parameter[parameter] for name, parameter in self.named_parameters()}

    def load_pretrained(self) -> Loaded:
        """Load the weights that timm publishes under this name; the classifier stays random.

        Raises:
            TrainError: there are none, or they cannot be downloaded.
        """
        name = self.spec.name
        wanted = _published(name).hf_hub_id
        with hub.asked(wanted, hub.WEIGHTS) if wanted else nullcontext() as found:
            try:
                net = self._load_by_timm({})
            except MemoryError:
                raise
            except Exception as err:  # Hub, HTTP, file system and timm each raise their own kinds.
                reason = found.reason(err, wanted) if found else shorten(err)
                raise TrainError(
                    f"the pretrained weights of {name} cannot be loaded: {reason}; "
                    "give a file of them with `weights=FILE`"
                ) from err
        channels = net.pretrained_cfg["input_size"][0]
        if channels != len(RGB):
            raise TrainError(
                f"the pretrained weights of {name} are for {channels} channels, expected red, green and blue"
            )
        return self._take(net, name=f"{name} as published by timm", channels=RGB)

    def load_file(self, file: WeightsFile, *, as_published: bool = False) -> Loaded:
        """Load a state dict with timm's or torchvision's names, on which timm does what it does to its own weights.

        Args:
            file: what was read, with what is known of its channels and classes.
            as_published: the network is to be used as it is, not trained: see `create`.

        Raises:
            BadCheckpoint: it holds no network, its entries are not this network's, or the order of its channels or of
                its classes is not known.
        """
        path, heads = file.path, head_entries(self.net)
        wanted = [name for name in self.net.state_dict() if name not in heads and "num_batches" not in name]
        found = subtree.find(file.content, wanted, path)
        # A head for a pretext task, such as an MLP in place of the classifier, has other entries below the same name.
        modules = tuple({f"{name.rpartition('.')[0]}." for name in heads})
        other_heads = [name for name in found.state if modules and name.startswith(modules) and name not in heads]
        known = {name: value for name, value in found.state.items() if name not in other_heads}
        state = clean_state_dict(known)
        channels = self._channel_names(file, state, found.described(wanted))
        by_timm = [name for name in heads if name in state]
        # Without a classifier under its usual name the file may have none, or timm may rename it.
        published = _published(self.spec.name)
        numbers = [len(state[by_timm[-1]])] if by_timm else [0, published.num_classes]
        if by_timm and other_heads:
            numbers, state = [0], {name: value for name, value in state.items() if name not in by_timm}
        for number in numbers:
            overlay = {
                "state_dict": state,
                "input_size": (len(channels), *published.input_size[1:]),
                "num_classes": number,
                "label_offset": 0,
            }
            try:
                net = self._load_by_timm(overlay, in_chans=len(channels), num_classes=number)
            except MemoryError:
                raise
            except Exception as err:  # What timm does to foreign weights can fail in any way.
                if number == numbers[-1]:
                    raise BadCheckpoint(
                        f"weights {path} do not fit {self.spec.name}: {shorten(err)}; {found.described(wanted)}"
                    ) from err
            else:
                break
        loaded = self._take(
            net, name=str(path), channels=channels, classes=file.classes, as_published=as_published, path=path
        )
        unused = (*loaded.unused, *(f"net.{name}" for name in other_heads))
        return replace(loaded, unused=unused, place=found.place, num_others=found.num_others)

    def _channel_names(self, file: WeightsFile, state: Mapping[str, Tensor], described: str) -> tuple[str, ...]:
        """Return the name of each channel that the weights look at.

        Raises:
            BadCheckpoint: they are not known, or are of another number than the first convolution has.
        """
        number = self._num_channels(state)
        if file.channels is None:
            fitting = presets_of(number) if number else []
            raise BadCheckpoint(
                f"weights {file.path} {f'look at {number} channels and' if number else ''} do not say which bands they "
                "look at; say it by `weights_bands=` with a name for each channel, in their order, such as "
                f"B02,B03,B04,VV{' or a preset: ' + ', '.join(fitting) if fitting else ''}"
                f"{'' if number else f' ({described})'}"
            )
        if number and number != len(file.channels):
            raise BadCheckpoint(
                f"weights {file.path} look at {number} channels, but {len(file.channels)} are named: "
                f"{', '.join(file.channels)}"
            )
        return file.channels

    def _num_channels(self, state: Mapping[str, Tensor]) -> int | None:
        """Return how many channels the first convolution in a state dict looks at; None if it is not there."""
        for name in first_convs(self.net):
            weight, own = state.get(f"{name}.weight"), self.net.get_submodule(name).weight
            if weight is not None and weight.ndim == own.ndim == 4:
                # Some networks fold pixels into channels first, so that there are k times as many.
                return max(1, weight.shape[1] * len(self.spec.bands) // own.shape[1])
        return None

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

    def _take(
        self,
        net: Any,
        *,
        name: str,
        channels: tuple[str, ...],
        classes: str | None = NO_CLASSIFIER,
        as_published: bool = False,
        path: object = None,
    ) -> Loaded:
        """Take over the weights of a network that differs in its first convolutions and its classifier at most."""
        state = {f"net.{key}": value for key, value in net.state_dict().items()}
        given = [key for key in self.heads if key in state and len(state[key]) == self.spec.classes]
        orders = CLASS_ORDERS if self.spec.nomenclature is NINETEEN else {}  # None are known of the 43.
        if given and classes is None and orders:
            raise BadCheckpoint(
                f"weights {path} have a classifier for 19 classes in an unknown order; say it with "
                f"{order_options(leave_out=not as_published)}"
            )
        for key in given:
            if classes in orders:
                state[key] = state[key][[orders[classes].index(label) for label in NINETEEN.names]]
            else:
                del state[key]
        inputs = {key: InputFilters(channels, own) for key, own in self.filter_bands(self.spec.bands).items()}
        loaded = transfer(self, state, source=name, inputs=inputs, heads=self.heads, rescale=not as_published)
        unused = (*loaded.unused, *(key for key in given if key not in state))
        return replace(loaded, unused=unused)


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
            if not loses_pixels(net, size):
                try_once(net, len(spec.bands), size, spec.classes)
                return net, size
            reason = f"it ignores pixels of {size}×{size}"
        except TypeError as err:
            raise InvalidValue(f"timm's {spec.name} cannot be built for {spec}: {shorten(err)}") from err
        except (RuntimeError, AssertionError, IndexError, ValueError) as err:
            reason = shorten(err)
    raise InvalidValue(
        f"{spec.name} does not take images of {IMAGE_SIZE}×{IMAGE_SIZE} pixels, nor with a frame up to "
        f"{_SIZES[-1]}×{_SIZES[-1]} ({reason}); take a network for any size, such as resnet50 or convnextv2_base"
    )


def _build(spec: ModelSpec, size: int) -> Any:
    # Not every network knows every kind of dropout: only one with a rate above 0 is passed on.
    rates: dict[str, Any] = {name: rate for name in ("drop_rate", "drop_path_rate") if (rate := getattr(spec, name))}
    return timm.create_model(
        spec.name, in_chans=len(spec.bands), num_classes=spec.classes, **rates, **_size_argument(spec.name, size)
    )


def _size_argument(name: str, size: int) -> dict[str, Any]:
    return {"img_size": size} if _published(name).fixed_input_size else {}


def _published(name: str) -> Any:
    """Return what timm says about the weights it publishes under a name, and about the network they are for."""
    return get_pretrained_cfg(name)
