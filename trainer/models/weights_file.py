"""Files of weights: what they hold, and what they or the `config.json` beside them say of channels and classes."""

import argparse
import json
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import safetensors.torch
import torch
from torch import Tensor

from shards import CLASSES
from shards.errors import InvalidValue
from shards.storage.safe_open import open_regular_file, read_regular
from trainer.errors import BadCheckpoint
from trainer.models.published import CLASS_ORDERS, channel_names

CONFIG: Final = "config.json"
_FILES: Final = ("model.safetensors", "pytorch_model.bin")
"""Files of weights in a folder with the layout of the Hugging Face hub, the first one that is there."""
_CONFIG_BYTES: Final = 1 << 20
_CHANNEL_KEYS: Final = ("bands", "band_names", "band_order", "channel_names", "input_bands")
_CLASS_KEYS: Final = ("class_names", "classes", "label_names", "labels", "id2label")
_WITHIN: Final = ("config", "hyper_parameters", "pretrained_cfg", "meta")
"""Parts of a configuration in which bands and classes are looked for too."""
_GLOBAL: Final = re.compile(r"(?:GLOBAL|global:?|class) ([\w.]+)")


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of weights that was read.

    Attributes:
        path: of the file itself, where a folder was named.
        content: what it holds.
        channels: name of each input channel, if the file or its configuration says so.
        classes: name of the class order, likewise.
    """

    path: Path
    content: Any
    channels: tuple[str, ...] | None
    classes: str | None


def open_weights(path: Path) -> WeightsFile:
    """Read a file of weights, or that of a folder with `config.json` and `model.safetensors`.

    Raises:
        BadCheckpoint: it cannot be read, holds more than tensors and plain values, or its configuration is damaged.
    """
    if path.is_dir():
        found = [path / name for name in _FILES if (path / name).exists()]
        if not found:
            raise BadCheckpoint(f"weights {path} are a folder without {' or '.join(_FILES)}; name the file")
        path = found[0]
    content = read(path)
    said = [_config(path.parent / CONFIG)]
    if isinstance(content, dict) and isinstance(content.get("hyper_parameters"), dict):
        said.append(content["hyper_parameters"])  # As Lightning saves what a module was made with.
    parts = [part for values in said for part in _parts(values)]
    return WeightsFile(path, content, _channels(parts, path), _classes(parts))


def read(path: Path) -> Any:
    """Return what a `.safetensors` file or one of `torch.save` holds, on the CPU, without running code from it.

    Raises:
        BadCheckpoint: the file cannot be read, or holds more than tensors and plain values.
    """
    try:
        with open_regular_file(path) as file:
            content = _safetensors(path) if path.suffix == ".safetensors" else _torch(file)
            _check_sizes(content)
            return content
    except OSError as err:
        raise BadCheckpoint(f"weights {path} cannot be read: {err.strerror or err}") from err
    except Exception as err:  # Damaged files make the readers fail in any way.
        raise BadCheckpoint(f"weights {path} are not a file of tensors: {_reason(err)}") from err


def _safetensors(path: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(path)


def _torch(file: IO[bytes]) -> Any:
    if zipfile.is_zipfile(file):
        size = file.seek(0, 2)
        # torch stores without compression; a small file that unpacks to a large one is none of its files.
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > size:
            raise ValueError(f"it has {size:,} bytes, but says that it holds {unpacked:,}")
    file.seek(0)
    # Training scripts save their options beside the weights; a namespace is nothing but named values.
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(file, map_location="cpu", weights_only=True)


def _check_sizes(content: Any) -> None:
    """Refuse tensors with more values than the file has, which a few bytes can describe."""
    for tensor in _tensors(content, 8):
        if tensor.is_sparse or tensor.layout != torch.strided:
            raise ValueError(f"it holds a tensor of layout {tensor.layout}")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"it says that {tensor.untyped_storage().nbytes():,} bytes are {tensor.numel():,} values")


def _tensors(content: Any, depth: int) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif depth and isinstance(content, dict):
        for value in content.values():
            yield from _tensors(value, depth - 1)


def _reason(err: Exception) -> str:
    """Return an error of a reader as a part of one line; torch's own text also tells how to run the file."""
    if isinstance(err, pickle.UnpicklingError):
        name = _GLOBAL.search(str(err))
        what = f"it holds {name[1]}" if name else "it is damaged, or holds other objects"
        return f"{what}, expected tensors alone; save its state dict in a file of its own"
    return str(err).partition("\n")[0] or type(err).__name__


def _config(path: Path) -> Mapping[str, Any]:
    """Return the configuration beside a file; empty if it is absent.

    A `config.json` of something else, a run of ours among them, says nothing about channels, so that it may lie here.
    """
    if not path.exists():
        return {}
    try:
        values = json.loads(read_regular(path, _CONFIG_BYTES))
    except OSError as err:
        raise BadCheckpoint(f"{path} beside the weights cannot be read: {err.strerror or err}") from err
    except (ValueError, RecursionError) as err:
        raise BadCheckpoint(f"{path} beside the weights is no JSON: {err}; mend or move it") from err
    return values if isinstance(values, dict) else {}


def _parts(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [values, *(values[name] for name in _WITHIN if isinstance(values.get(name), dict))]


def _channels(parts: list[Mapping[str, Any]], path: Path) -> tuple[str, ...] | None:
    found: dict[tuple[str, ...], str] = {}
    for part in parts:
        for key in _CHANNEL_KEYS:
            value = part.get(key)
            if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
                try:
                    found[channel_names(list(value))] = key
                except InvalidValue as err:
                    raise BadCheckpoint(f"weights {path}: {key} of their configuration: {err}") from None
    if len(found) > 1:
        keys = " and ".join(found.values())
        raise BadCheckpoint(f"weights {path}: their configuration gives the bands in two orders: {keys}")
    return next(iter(found), None)


def _classes(parts: list[Mapping[str, Any]]) -> str | None:
    """Return the name of the class order that a configuration lists; None if it lists numbers or other classes."""
    for part in parts:
        for key in _CLASS_KEYS:
            value = part.get(key)
            if isinstance(value, dict) and all(str(i) in value for i in range(len(CLASSES))):
                value = [value[str(i)] for i in range(len(value)) if str(i) in value]
            for order, names in CLASS_ORDERS.items():
                if isinstance(value, list | tuple) and tuple(value) == names:
                    return order
    return None
