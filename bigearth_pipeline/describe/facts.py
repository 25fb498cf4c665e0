"""Facts about a store for both kinds of metadata."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from shards import Store
from shards.metadata.dataset import DATA_LICENCE, PAPERS
from shards.metadata.manifest import MANIFEST, Manifest
from shards.storage.remote.address import Address
from shards.text.words import listed, patches

_RECORDS: Final = {"v1": "https://zenodo.org/records/12687186", "v2": "https://zenodo.org/records/10891137"}
_LICENCE_PAGE: Final = f"https://spdx.org/licenses/{DATA_LICENCE}.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A store, and the table of its patches.

    Attributes:
        manifest: of the store.
        manifest_sha256: of its file.
        place: folder or address of the store.
        dates: first and last sensing time, UTC.
        extent: west, south, east, north of the patches, degrees; None if no place is known.
        table: the GeoParquet file.
    """

    manifest: Manifest
    manifest_sha256: str
    place: "Path | Address"
    dates: tuple[datetime, datetime]
    extent: list[float] | None
    table: Path

    @classmethod
    def of(cls, store: Store, extent: list[float] | None, table: Path) -> "Facts":
        """Return the facts of an open store whose table is written."""
        dates = store.index.column("date")
        first, last = (each.astype("datetime64[ms]").item() for each in (dates.min(), dates.max()))
        return cls(
            manifest=store.manifest,
            manifest_sha256=store.manifest_sha256(),
            place=store.folder,
            dates=(first, last),
            extent=extent,
            table=table,
        )

    @property
    def name(self) -> str:
        """Name of the store."""
        return self.place.name or "store"

    @property
    def description(self) -> str:
        """A paragraph for people."""
        manifest = self.manifest
        splits = listed([f"{info.count:,} {split}" for split, info in manifest.splits.items()])
        labels = f"{len(manifest.classes)} classes of land cover"
        if manifest.classes43:
            labels += f" and the {len(manifest.classes43)} of BigEarthNet v1 (labels43 of the table)"
        kind = "WebDataset tars" if manifest.format == "webdataset" else "sharded Zarr v3 arrays"
        return (
            f"{patches(manifest.count)} ({splits}) of {manifest.dataset}, 1.2 km by 1.2 km each: twelve bands of "
            f"Sentinel-2 Level-2A at 10, 20 and 60 m, with {labels}, as {kind} (codec {manifest.codec}) "
            f"of bep; {MANIFEST} holds their checksums and the statistics of the bands."
        )

    @property
    def licence(self) -> str | None:
        """Identifier at SPDX; None for synthetic data, whose licence nobody has said."""
        return None if self.manifest.synthetic else DATA_LICENCE

    @property
    def licence_page(self) -> str | None:
        """Address of its text."""
        return None if self.licence is None else _LICENCE_PAGE

    @property
    def origin(self) -> str | None:
        """Address of the dataset; None for synthetic data."""
        return None if self.manifest.synthetic else _RECORDS[self.manifest.source_version]

    @property
    def citation(self) -> str | None:
        """Reference to cite; None for synthetic data."""
        return None if self.manifest.synthetic else PAPERS[self.manifest.source_version]

    def link(self, name: str) -> str:
        """Return a file of the store relative to the folder of the table, or its address."""
        if isinstance(self.place, Address):
            return str(self.place / name)
        return Path(os.path.relpath(self.place / name, self.table.parent)).as_posix()
