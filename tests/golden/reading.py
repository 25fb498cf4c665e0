"""Reading a store without this package: tarfile, zarr-python, numcodecs and pyarrow, as SPEC.md says."""

import hashlib
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numcodecs.blosc
import numpy as np
import pyarrow.parquet as pq
import torch
import zarr
from numpy.typing import NDArray

from tests.support.data import bitpack_reference

Record = NDArray[np.uint16]


def sha256(data: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def index_rows(store: Path) -> list[dict[str, Any]]:
    """Return the rows of the index, without where the encoded records lie."""
    table = pq.read_table(store / "index.parquet")
    places = [name for name in table.column_names if name.endswith(("_offset", "_length", "_crc32c"))]
    return table.drop_columns(places).to_pylist()


def records(store: Path) -> dict[str, Record]:
    """Return the records of a store by the names of the patches."""
    manifest = json.loads((store / "manifest.json").read_bytes())
    if manifest["format"] == "zarr":
        return _zarr_records(store, manifest["splits"])
    found = {}
    for shard in manifest["shards"]:
        with tarfile.open(store / shard["files"][0]["path"]) as archive:
            for member in archive.getmembers():
                key, _, kind = member.name.rpartition(".")
                if kind == "s2":
                    file = archive.extractfile(member)
                    assert file is not None
                    found[key] = _decode(manifest["codec"], file.read())
    return found


def _decode(codec: str, data: bytes) -> Record:
    match codec:
        case "raw":
            return np.frombuffer(data, "<u2")
        case "bitpack":
            return bitpack_reference.decode(data)
        case _:
            return np.frombuffer(numcodecs.blosc.decompress(data), "<u2")


def _zarr_records(store: Path, splits: Mapping[str, Any]) -> dict[str, Record]:
    found = {}
    for split in splits:
        group = zarr.open_group(store / split, mode="r")
        parts = [np.asarray(group[name][:]).reshape(group[name].shape[0], -1) for name in ("b10", "b20", "b60")]
        keys = [bytes(key).rstrip(b"\0").decode() for key in np.asarray(group["key"][:])]
        found |= dict(zip(keys, np.concatenate(parts, axis=1), strict=True))
    return found


def statistics(values: NDArray[np.uint16]) -> dict[str, Any]:
    """Return the statistics of the pixels of a band."""
    wide = values.astype(np.float64)
    shares = (0.1, 1, 2, 50, 98, 99, 99.9)
    return {
        "count": int(values.size),
        "nodata": int(np.count_nonzero(values == 0)),
        "min": int(values.min()),
        "max": int(values.max()),
        "mean": float(wide.mean()),
        "std": float(wide.std()),
        "percentiles": np.percentile(wide, shares).tolist(),
    }


def tensors(values: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Return the SHA-256 of tensors by name: of type, shape and values."""
    return {
        name: sha256(f"{value.dtype} {tuple(value.shape)} ".encode() + value.contiguous().numpy().tobytes())
        for name, value in values.items()
    }


def logits(model: torch.nn.Module, statistics: Mapping[str, Any], values: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the logits of records, (n, 19), by a network that takes the bands at their resolutions.

    Args:
        model: the network.
        statistics: by band, of the split that it was trained on.
        values: (n, 80000).
    """
    mean = np.array([band["mean"] for band in statistics.values()])
    std = np.array([band["std"] for band in statistics.values()])
    inputs, start, first = {}, 0, 0
    for name, bands, size in (("b10", 4, 120), ("b20", 6, 60), ("b60", 2, 20)):
        pixels = values[:, start : start + bands * size * size].reshape(-1, bands, size, size).astype(np.float64)
        chosen = np.s_[first : first + bands]
        normal = (pixels - mean[chosen, None, None]) / std[chosen, None, None]
        inputs[name] = torch.from_numpy(normal.astype(np.float32))
        start, first = start + bands * size * size, first + bands
    with torch.inference_mode():
        return model.eval()(inputs).numpy()
