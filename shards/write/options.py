"""The choices that all shards of a store share, small enough to travel to every worker."""

from dataclasses import dataclass
from pathlib import Path

from shards.codec.registry import CODECS, ZARR_CODECS
from shards.errors import InvalidValue
from shards.layout.bands import LAYOUT
from shards.layout.classes import FORTY_THREE
from shards.layout.record import RecordLayout
from shards.metadata.layout import resolved
from shards.metadata.manifest import FORMATS, StoreFormat
from shards.storage.remote.address import Address, check_scheme
from shards.write.contents import WORK


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Options for writing a store.

    Attributes:
        folder: the store.
        format: `webdataset` or `zarr`.
        codec: name of the record codec.
        patches_per_shard: patches of a full shard.
        layout: groups of each patch, whose codecs are filled in where they are None.
        labels43: the index has the column `labels43`, which each patch then needs.
        address: where the store is sent, shard by shard; the folder then holds what is not sent yet.

    Raises:
        InvalidValue: the format does not hold records of that codec, a shard would hold no patch, or a group of the
            layout has no such codec; or the folder is an address of a scheme that no store has.
    """

    folder: Path
    format: StoreFormat
    codec: str
    patches_per_shard: int
    layout: RecordLayout = LAYOUT
    address: Address | None = None
    labels43: bool = False

    def __post_init__(self) -> None:
        check_scheme(self.folder)
        if self.format not in FORMATS:
            raise InvalidValue(f"format is {self.format!r:.60}, expected one of {', '.join(FORMATS)}")
        known = CODECS if self.format == "webdataset" else ZARR_CODECS
        if self.codec not in known:
            raise InvalidValue(f"a {self.format} store has no codec {self.codec!r}; expected one of {', '.join(known)}")
        if self.patches_per_shard < 1:
            raise InvalidValue(f"patches_per_shard is {self.patches_per_shard}, expected 1 or more")
        object.__setattr__(self, "layout", resolved(self.layout, self.codec))

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """Names of the optional columns of the index."""
        return (FORTY_THREE.column,) if self.labels43 else ()

    @property
    def work(self) -> Path:
        """Folder of what the final step needs of each shard."""
        return self.folder / WORK
