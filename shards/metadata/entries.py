"""Entries of a manifest: files, shards and splits, each checked where it is read."""

import re
from dataclasses import dataclass
from typing import Any, Final

from shards.errors import InvalidValue
from shards.layout.bands import BANDS
from shards.layout.classes import CLASSES
from shards.layout.statistics import BandStatistics
from shards.text.json_fields import Fields
from shards.text.named import ByBand

SPLITS: Final = ("train", "validation", "test")
MAX_PATCHES: Final = 2**31 - 1  # Positions are int32.

_MAX_SIZE: Final = 2**63 - 1
_SHA256: Final = re.compile("[0-9a-f]{64}")
_NAME: Final = re.compile("[A-Za-z0-9_-]{1,200}")
_PATH: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}(/[A-Za-z0-9_.-]{1,200}){0,15}")


def check_split(name: str) -> None:
    """Check the name of a split.

    Raises:
        InvalidValue: no split has that name.
    """
    if name not in SPLITS:
        raise InvalidValue(f"there is no split {name!r:.60}, expected one of {', '.join(SPLITS)}")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of the store: path relative to it, size in bytes, SHA-256 in hexadecimal."""

    path: str
    size_bytes: int
    sha256: str

    @classmethod
    def from_json(cls, raw: Any, where: str = "file") -> "FileInfo":
        """Return the file that `dataclasses.asdict` wrote.

        Raises:
            CorruptShard: it is no description of a file below the store.
        """
        fields = Fields(raw, where)
        fields.only(("path", "size_bytes", "sha256"))
        path = fields.text("path", _PATH, "a path within the store")
        if any(part in (".", "..") for part in path.split("/")):
            raise fields.unexpected("path", "a path within the store")
        size = fields.integer("size_bytes", 0, _MAX_SIZE)
        return cls(path, size, fields.text("sha256", _SHA256, "64 hexadecimal digits"))


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """A shard: patches of one split in one tar, or in one Zarr shard of each pixel array."""

    name: str
    split: str
    count: int
    files: tuple[FileInfo, ...]

    @classmethod
    def from_json(cls, raw: Any, where: str = "shard") -> "ShardInfo":
        """Return the shard that `dataclasses.asdict` wrote.

        Raises:
            CorruptShard: it is no description of a shard.
        """
        fields = Fields(raw, where)
        fields.only(("name", "split", "count", "files"))
        split = fields.choice("split", SPLITS)
        name = fields.text("name", _NAME, "letters, digits, _ and -")
        if not re.fullmatch(rf"{split}-[0-9]{{1,18}}", name):
            raise fields.unexpected("name", f"{split} and a number")
        count = fields.integer("count", 1, MAX_PATCHES)
        files = enumerate(fields.items("files"))
        return cls(name, split, count, tuple(FileInfo.from_json(file, f"{where}.files[{i}]") for i, file in files))


@dataclass(frozen=True, slots=True)
class SplitInfo:
    """Patches, patches by class and statistics by band of one split."""

    count: int
    class_counts: dict[str, int]
    statistics: dict[str, BandStatistics]

    @classmethod
    def from_json(cls, raw: Any, where: str = "split") -> "SplitInfo":
        """Return the split that `dataclasses.asdict` wrote.

        Raises:
            CorruptShard: it is no description of a split, or holds numbers that no pixels have.
        """
        fields = Fields(raw, where)
        fields.only(("count", "class_counts", "statistics"))
        classes, bands = fields.fields("class_counts"), fields.fields("statistics")
        classes.only(CLASSES)
        bands.only(BANDS)
        return cls(
            count=fields.integer("count", 1, MAX_PATCHES),
            class_counts={name: classes.integer(name, 0, MAX_PATCHES) for name in classes},
            statistics=ByBand({band: BandStatistics.from_json(bands.fields(band)) for band in bands}),
        )
