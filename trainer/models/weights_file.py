"""Files of weights: what they hold, and what they or the `config.json` beside them say of channels and classes."""

import argparse
import hashlib
import pickle
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import safetensors.torch
import torch
from torch import Tensor

from shards.storage.safe_open import open_regular_file, read_regular
from trainer.errors import BadCheckpoint
from trainer.models.spec import ModelSpec
from trainer.models.weights_config import CONFIG, read_config, stated

_FILES: Final = ("model.safetensors", "pytorch_model.bin")
"""Files of weights in a folder with the layout of the Hugging Face hub, the first one that is there."""
_SUFFIXES: Final = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
MOST_BYTES: Final = 1 << 34
"""Bytes that a `.safetensors` file may have."""
_GLOBAL: Final = re.compile(r"(?:GLOBAL|global:?|class) ([\w.]+)")


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of weights that was read.

    Attributes:
        path: of the file itself, where a folder was named.
        content: what it holds.
        channels: name of each input channel, if the file or its configuration says so.
        classes: name of the class order, likewise.
        ours: the network, if the file is that of an export of ours.
    """

    path: Path
    content: Any
    channels: tuple[str, ...] | None
    classes: str | None
    ours: ModelSpec | None = None


def open_weights(path: Path) -> WeightsFile:
    """Read a file of weights, or that of a folder with `config.json` and `model.safetensors`.

    Raises:
        BadCheckpoint: it cannot be read, holds more than tensors and plain values, or its configuration is damaged.
    """
    path = file_at(path)
    content = read(path)
    said = [read_config(path.parent / CONFIG)]
    if isinstance(content, dict) and isinstance(content.get("hyper_parameters"), dict):
        said.append(content["hyper_parameters"])  # As Lightning saves what a module was made with.
    facts = stated(path, said)
    # Files beside an export's own belong to somebody else.
    is_ours = facts.ours is not None and path.name == _FILES[0]
    if is_ours and facts.sha256 is not None and (sha256 := _sha256(path)) != facts.sha256:
        raise BadCheckpoint(
            f"weights {path} are damaged, or not of the {CONFIG} beside them: they have SHA-256 {sha256}, expected "
            f"{facts.sha256}"
        )
    return WeightsFile(path, content, facts.channels, facts.classes, facts.ours if is_ours else None)


def file_at(path: Path) -> Path:
    """Return the file of weights that a path names, by itself or by its folder.

    Raises:
        BadCheckpoint: it is a folder without one.
    """
    if not path.is_dir():
        return path
    found = next((path / name for name in _FILES if (path / name).exists()), None)
    if found is None:
        raise BadCheckpoint(f"weights {path} are a folder without {' or '.join(_FILES)}; name {_likely(path)}")
    return found


def _likely(folder: Path) -> str:
    """Return the file of weights that a folder was perhaps named for: the best one of a run, or any other."""
    found = sorted(each for pattern in ("*", "*/*") for each in folder.glob(pattern) if each.suffix in _SUFFIXES)
    return next((f"{each}" for each in sorted(found, key=lambda each: each.stem != "best")), "the file")


def read(path: Path) -> Any:
    """Return what a `.safetensors` file or one of `torch.save` holds, on the CPU, without running code from it.

    Raises:
        BadCheckpoint: the file cannot be read, or holds more than tensors and plain values.
    """
    try:
        content = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
        _check_sizes(content)
        return content
    except OSError as err:
        raise BadCheckpoint(f"weights {path} cannot be read: {err.strerror or err}") from err
    except Exception as err:  # Damaged files make the readers fail in any way.
        raise BadCheckpoint(f"weights {path} are not a file of tensors: {_reason(err)}") from err


def _sha256(path: Path) -> str:
    try:
        with open_regular_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise BadCheckpoint(f"weights {path} cannot be read: {err.strerror or err}") from err


def _safetensors(path: Path) -> dict[str, Tensor]:
    # Read, where `load_file` maps: what is written over the file meanwhile changes nothing, and a cut ends no process.
    return safetensors.torch.load(read_regular(path, MOST_BYTES))


def _torch(path: Path) -> Any:
    with open_regular_file(path) as file:
        return _unpickled(file)


def _unpickled(file: IO[bytes]) -> Any:
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
