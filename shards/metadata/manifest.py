"""`manifest.json`: what a store holds. It is written last, so its presence says that the store is whole."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

from shards.codec.registry import CODECS, ZARR_CODECS
from shards.errors import CorruptShard, ShardError, UnfinishedStore
from shards.layout.bands import BANDS, LAYOUT
from shards.layout.classes import CLASSES, FORTY_THREE
from shards.layout.record import RecordLayout
from shards.metadata.entries import MAX_PATCHES, SPLITS, FileInfo, ShardInfo, SplitInfo
from shards.metadata.layout import layout_from_json, layout_to_json
from shards.metadata.parts import Part, num_files, parts_of
from shards.metadata.seal import check_seal, sealed
from shards.reporting import printable
from shards.storage.atomic import atomic_write
from shards.storage.base import Storage
from shards.storage.places import hint_of, storage_of
from shards.storage.remote.address import Address, check_scheme
from shards.text.json_fields import Fields, shown
from shards.text.json_text import parse_json
from shards.text.named import BySplit
from shards.text.words import patches

MANIFEST: Final = "manifest.json"
BUILD_NOTE: Final = "build.json"
"""Note of what a store is built from; it is written before the manifest."""
INDEX: Final = "index.parquet"
HISTOGRAMS: Final = "histograms.parquet"
FORMAT_VERSION: Final = 1
"""Version of a store whose patches consist of the Sentinel-2 record alone."""
LAYOUT_VERSION: Final = 2
"""Version of a store with further groups, which its manifest describes."""
OFFSETS: Final = ("auto", "none")

StoreFormat = Literal["webdataset", "zarr"]
FORMATS: Final = ("webdataset", "zarr")
VERSIONS: Final = ("v1", "v2")

MANIFEST_BYTES: Final = 256 << 20
"""Of a manifest: 400,000 shards."""
_MAX_SIZE: Final = 2**63 - 1
_TAR_MEMBER: Final = 1024
"""Bytes of a member of a tar, at least: a header and one block."""
_TAR_END: Final = 1024
_ZARR_ENTRY: Final = 16
"""Bytes of a chunk in the index of a Zarr shard."""


def dataset_name(source_version: str, *, synthetic: bool) -> str:
    """Return the name of data for people: `BigEarthNet v2`, or `synthetic data in the layout of BigEarthNet v2`."""
    name = f"BigEarthNet {source_version}"
    return f"synthetic data in the layout of {name}" if synthetic else name


def _flag(fields: Fields, name: str) -> bool:
    if name not in fields:
        return False
    value = fields.value(name)
    if type(value) is not bool:
        raise fields.unexpected(name, "true or false")
    return value


@dataclass(frozen=True, slots=True, repr=False)
class Manifest:
    """Description of the contents of a store.

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
        layout: groups of each patch.
        synthetic: the patches were drawn by chance in the layout of BigEarthNet, as `bep synth` does.
        classes43: names of the 43 classes of BigEarthNet v1 in the order of the bits of the index's column `labels43`;
            empty if the store has no such column.
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
    layout: RecordLayout = LAYOUT
    synthetic: bool = False
    classes43: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Manifest of {self.dataset}: {self}>"

    def __str__(self) -> str:
        """Return what the store holds, on a line without its name."""
        splits = ", ".join(f"{info.count:,} {name}" for name, info in self.splits.items())
        return f"{self.format}, {self.codec}, {patches(self.count)} ({splits})"

    @property
    def dataset(self) -> str:
        """Name of the data for people, such as `BigEarthNet v2`."""
        return dataset_name(self.source_version, synthetic=self.synthetic)

    @property
    def format_version(self) -> int:
        """Version of the specification, which is 1 as long as there are no further groups."""
        return LAYOUT_VERSION if self.layout.extras else FORMAT_VERSION

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """Names of the optional columns that the index has."""
        return (FORTY_THREE.column,) if self.classes43 else ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Stored parts of each patch."""
        return parts_of(self.format, self.layout)

    @property
    def paths(self) -> set[str]:
        """Paths of all files that the manifest lists, those of the shards included."""
        return {info.path for infos in (self.files, *(shard.files for shard in self.shards)) for info in infos}

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values, the checksum of the others last."""
        fields = asdict(self) | {"layout": layout_to_json(self.layout), "format_version": self.format_version}
        if self.format_version == FORMAT_VERSION:
            del fields["layout"]
        if not self.synthetic:
            # Stores of before have no such field.
            del fields["synthetic"]
        if not self.classes43:
            del fields["classes43"]
        return sealed(fields)

    def write(self, folder: Path) -> None:
        """Write the manifest into a store, whole or not at all."""
        with atomic_write(folder / MANIFEST) as file:
            file.write(json.dumps(self.to_json(), indent=1).encode() + b"\n")

    @classmethod
    def read(cls, folder: Path, storage: Storage | None = None) -> "Manifest":
        """Read the manifest of a store.

        Args:
            folder: directory of the store.
            storage: what holds its files, if not the folder.

        Raises:
            UnfinishedStore: there is none.
            CorruptShard: it is not the JSON of a manifest, differs from its checksum, or contradicts itself.
            ShardError: it is of another format version, or of other bands, classes or codec.
        """
        path, storage = folder / MANIFEST, storage or storage_of(folder)
        try:
            raw = parse_json(storage.read(MANIFEST, MANIFEST_BYTES))
            version = Fields(raw, "").integer("format_version", -_MAX_SIZE, _MAX_SIZE)
            if version not in (FORMAT_VERSION, LAYOUT_VERSION):
                raise ShardError(
                    f"{path} is of format version {version}; this program reads versions {FORMAT_VERSION} and "
                    f"{LAYOUT_VERSION}"
                )
            check_seal(raw)
            if version == LAYOUT_VERSION and "layout" not in raw:
                raise CorruptShard("layout is absent, expected groups of records with format version 2")
            # Version 1 knows no such field, and further ones are allowed there.
            layout = layout_from_json(Fields(raw, ""), "layout") if version == LAYOUT_VERSION else LAYOUT
            return cls._from_json(Fields(raw, ""), layout, path)
        except (FileNotFoundError, NotADirectoryError):
            check_scheme(folder)
            if not isinstance(folder, Address) and not folder.exists():
                raise UnfinishedStore(f"{folder} does not exist, expected the folder of a store") from None
            if not isinstance(folder, Address) and not folder.is_dir():
                raise UnfinishedStore(f"{folder} is a file, expected the folder of a store") from None
            if storage.has(BUILD_NOTE):
                raise UnfinishedStore(f"{folder} holds no {MANIFEST}: its build has not finished") from None
            hint = "" if isinstance(folder, Address) else hint_of(folder, MANIFEST)
            raise UnfinishedStore(f"{folder} holds no {MANIFEST}: it is not a shard store{hint}") from None
        except (CorruptShard, ValueError) as err:
            raise CorruptShard(f"{path} is not a manifest: {err}") from err
        except OSError as err:
            raise CorruptShard(f"{path} cannot be read: {err.strerror}") from err

    @classmethod
    def _from_json(cls, fields: Fields, layout: RecordLayout, path: Path) -> "Manifest":
        if fields.items("bands") != list(BANDS):
            bands = ", ".join(map(str, fields.items("bands")))
            raise ShardError(f"{path} has bands {printable(bands[:200])}; this program reads {', '.join(BANDS)}")
        if fields.items("classes") != list(CLASSES):
            raise ShardError(f"{path} has other classes, or another order of them, than the 19 of this program")
        if "classes43" in fields and fields.items("classes43") != list(FORTY_THREE.names):
            raise ShardError(f"{path} has other classes43, or another order of them, than the 43 of this program")
        codec, store_format = fields.value("codec"), fields.choice("format", FORMATS)
        known = CODECS if store_format == "webdataset" else ZARR_CODECS
        if not isinstance(codec, str) or codec not in known:
            raise ShardError(f"{path} names no codec {shown(codec)}; of {store_format} there are {', '.join(known)}")
        splits, left_out = fields.fields("splits"), fields.fields("left_out")
        if unknown := [name for name in splits if name not in SPLITS]:
            raise CorruptShard(f"splits names {shown(unknown[0])}, expected some of {', '.join(SPLITS)}")
        if unprintable := [name for name in left_out if printable(name) != name]:
            raise CorruptShard(f"left_out names {shown(unprintable[0])}, expected printable text")
        shards, files = enumerate(fields.items("shards")), enumerate(fields.items("files"))
        manifest = cls(
            format=cast(StoreFormat, store_format),
            codec=codec,
            source_version=fields.choice("source_version", VERSIONS),
            count=fields.integer("count", 1, MAX_PATCHES),
            splits=BySplit({name: SplitInfo.from_json(splits.value(name), splits.where(name)) for name in splits}),
            shards=tuple(ShardInfo.from_json(shard, f"shards[{i}]") for i, shard in shards),
            files=tuple(FileInfo.from_json(file, f"files[{i}]") for i, file in files),
            seed=fields.integer("seed", -(10**63), 10**63),
            patches_per_shard=fields.integer("patches_per_shard", 1, MAX_PATCHES),
            source_bytes=fields.integer("source_bytes", 0, _MAX_SIZE),
            left_out={name: left_out.integer(name, 0, _MAX_SIZE) for name in left_out},
            offset=fields.choice("offset", OFFSETS) if "offset" in fields else "none",
            layout=layout,
            synthetic=_flag(fields, "synthetic"),
            classes43=FORTY_THREE.names if "classes43" in fields else (),
        )
        for problem in manifest._contradictions():
            raise CorruptShard(problem)
        return manifest

    def _contradictions(self) -> Iterator[str]:
        """Yield what contradicts itself, so that nothing is read or allocated by such a number."""
        listed = Counter(file.path for files in (*(shard.files for shard in self.shards), self.files) for file in files)
        listed.update((MANIFEST, BUILD_NOTE))
        for path, times in listed.most_common(1):
            if times > 1:
                yield f"it lists {path} as two files"
        if len({shard.name for shard in self.shards}) < len(self.shards):
            yield "two shards have the same name"
        files, tar_patch = num_files(self.format, self.layout), _TAR_MEMBER * (3 + len(self.layout.extras))
        for shard in self.shards:
            if len(shard.files) != files:
                yield f"shard {shard.name} has {len(shard.files)} files, expected {files}"
            elif shard.count > self.patches_per_shard:
                yield f"shard {shard.name} has {shard.count} patches, expected at most {self.patches_per_shard}"
            elif self.format == "webdataset":
                yield from self._too_small(shard, shard.files[:1], tar_patch * shard.count + _TAR_END)
            else:
                footer = _ZARR_ENTRY * self.patches_per_shard + 4
                yield from self._too_small(shard, shard.files, footer + shard.count)
        # The index is read by this count.
        if (total := sum(shard.count for shard in self.shards)) != self.count:
            yield f"it counts {self.count} patches, but its shards hold {total}"

    def _too_small(self, shard: ShardInfo, files: tuple[FileInfo, ...], least: int) -> Iterator[str]:
        for file in files:
            if file.size_bytes < least:
                yield f"{file.path} has {file.size_bytes} bytes, too few for the {shard.count} patches of {shard.name}"

    @property
    def size_bytes(self) -> int:
        """Bytes of all shard files."""
        return sum(file.size_bytes for shard in self.shards for file in shard.files)
