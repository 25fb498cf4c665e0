"""`manifest.json`: what a store holds. It is written last, so its presence says that the store is whole."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from shards.bands import BANDS
from shards.classes import CLASSES
from shards.durable import atomic_write
from shards.errors import CorruptShard, ShardError, UnfinishedStore
from shards.statistics import BandStatistics

MANIFEST: Final = "manifest.json"
BUILD_NOTE: Final = "build.json"
"""What a store was built from; it is there before the manifest is."""
INDEX: Final = "index.parquet"
HISTOGRAMS: Final = "histograms.parquet"
FORMAT_VERSION: Final = 1
SPLITS: Final = ("train", "validation", "test")

StoreFormat = Literal["webdataset", "zarr"]


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of the store: path relative to it, size in bytes, SHA-256 in hexadecimal."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """A shard: patches of one split in one tar, or in one Zarr shard of each of the three arrays."""

    name: str
    split: str
    count: int
    files: tuple[FileInfo, ...]

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "ShardInfo":
        """Return the shard that `dataclasses.asdict` wrote."""
        return cls(raw["name"], raw["split"], raw["count"], tuple(FileInfo(**file) for file in raw["files"]))


@dataclass(frozen=True, slots=True)
class SplitInfo:
    """Patches, patches by class and statistics by band of one split."""

    count: int
    class_counts: dict[str, int]
    statistics: dict[str, BandStatistics]

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "SplitInfo":
        """Return the split that `dataclasses.asdict` wrote."""
        statistics = {band: BandStatistics(**values) for band, values in raw["statistics"].items()}
        return cls(raw["count"], dict(raw["class_counts"]), statistics)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a store holds.

    Attributes:
        format: `webdataset` or `zarr`.
        codec: name of the record codec.
        source_version: version of BigEarthNet, `v1` or `v2`.
        count: patches in all.
        splits: by split name; a split without patches is absent.
        shards: in index order.
        files: index and histogram file.
        seed: seed of the shuffle.
        patches_per_shard: patches of a full shard.
        source_bytes: bytes of the band files that were read.
        left_out: patches of the source that are not in the store, by reason.
        offset: `auto` if the radiometric offset of newer Sentinel-2 products was subtracted, else `none`.
        bands: band names in record order.
        classes: class names in label order.
        format_version: version of the specification.
    """

    format: StoreFormat
    codec: str
    source_version: str
    count: int
    splits: dict[str, SplitInfo]
    shards: tuple[ShardInfo, ...]
    files: tuple[FileInfo, ...]
    seed: int
    patches_per_shard: int
    source_bytes: int
    left_out: dict[str, int] = field(default_factory=dict)
    offset: str = "none"
    bands: tuple[str, ...] = BANDS
    classes: tuple[str, ...] = CLASSES
    format_version: int = FORMAT_VERSION

    def write(self, folder: Path) -> None:
        """Write the manifest into a store, whole or not at all."""
        with atomic_write(folder / MANIFEST) as file:
            file.write(json.dumps(asdict(self), indent=1).encode() + b"\n")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read the manifest of a store.

        Raises:
            UnfinishedStore: there is none.
            CorruptShard: it is not the JSON of a manifest.
            ShardError: it is of another format version, or of other bands or classes.
        """
        path = folder / MANIFEST
        try:
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            what = "its build has not finished" if (folder / BUILD_NOTE).exists() else "it is not a shard store"
            raise UnfinishedStore(f"{folder} holds no {MANIFEST}: {what}") from None
        try:
            raw = json.loads(text)
            version = raw["format_version"]
        except (ValueError, KeyError, TypeError) as err:
            raise CorruptShard(f"{path} is not a manifest: {err}") from err
        if version != FORMAT_VERSION:
            raise ShardError(f"{path} is of format version {version}; this program reads version {FORMAT_VERSION}")
        try:
            manifest = cls(
                format=raw["format"],
                codec=raw["codec"],
                source_version=raw["source_version"],
                count=raw["count"],
                splits={name: SplitInfo.from_json(split) for name, split in raw["splits"].items()},
                shards=tuple(ShardInfo.from_json(shard) for shard in raw["shards"]),
                files=tuple(FileInfo(**file) for file in raw["files"]),
                seed=raw["seed"],
                patches_per_shard=raw["patches_per_shard"],
                source_bytes=raw["source_bytes"],
                left_out=raw["left_out"],
                offset=raw.get("offset", "none"),
                bands=tuple(raw["bands"]),
                classes=tuple(raw["classes"]),
            )
        except (KeyError, TypeError, AttributeError) as err:
            raise CorruptShard(f"{path} is not a manifest: {err!r}") from err
        if manifest.bands != BANDS:
            raise ShardError(f"{path} has bands {', '.join(manifest.bands)}; this program reads {', '.join(BANDS)}")
        if manifest.classes != CLASSES:
            raise ShardError(f"{path} has other classes, or another order of them, than the 19 of this program")
        return manifest

    @property
    def size_bytes(self) -> int:
        """Bytes of all shard files."""
        return sum(file.size_bytes for shard in self.shards for file in shard.files)
