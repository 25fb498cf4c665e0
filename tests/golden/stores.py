"""List of the golden stores: one for each format and codec, with these options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigearth_pipeline.build.select import Rules
from tests.support.data.building import build_store


@dataclass(frozen=True)
class Golden:
    """A store to build.

    Attributes:
        selection: name of what is in it; stores that share a selection hold the same patches with the same pixels.
        rules: which patches are taken.
        options: other options of the build.
    """

    selection: str
    rules: Rules
    options: dict[str, Any]


_AUTO = Rules(include_snow_cloud=True, seed=11, offset="auto")
_NONE = Rules(include_snow_cloud=True, seed=11, offset="none")
_SPLIT = Rules(seed=0, offset="auto", split_by=(50, 25, 25))

STORES = {
    "webdataset-raw": Golden("none", _NONE, {"codec": "raw", "patches_per_shard": 4}),
    "zarr-raw": Golden("none", _NONE, {"format": "zarr", "codec": "raw", "patches_per_shard": 4}),
    "webdataset-blosc-lz4": Golden("auto", _AUTO, {"codec": "blosc-lz4", "patches_per_shard": 4}),
    "webdataset-blosc-zstd": Golden("auto", _AUTO, {"codec": "blosc-zstd", "patches_per_shard": 4}),
    "webdataset-bitpack": Golden("split", _SPLIT, {"codec": "bitpack", "patches_per_shard": 5}),
    "zarr-blosc-lz4": Golden("auto", _AUTO, {"format": "zarr", "codec": "blosc-lz4", "patches_per_shard": 4}),
    "zarr-blosc-zstd": Golden("auto", _AUTO, {"format": "zarr", "codec": "blosc-zstd", "patches_per_shard": 4}),
}


def build_golden(name: str, source: Path, out: Path, scheduler: str | None = None) -> None:
    """Build a golden store with the code at hand."""
    golden = STORES[name]
    # Of the source one patch is damaged, and one has no labels.
    build_store(out, source, scheduler=scheduler, rules=golden.rules, allow_bad=2, **golden.options)
