"""The patches that all systems load, and the reading of one from its band files."""

import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shards.layout.bands import BAND_SLICES, GROUP_OF, RECORD_VALUES

# Without it GDAL lists the folder of every file that it opens.
os.environ.setdefault("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR")


@dataclass(frozen=True)
class Patches:
    """Patches of a BigEarthNet v2 tree; the number of a patch is its place here.

    Attributes:
        tree: folder of the product folders.
        metadata: table of these patches, and of no others.
        keys: names of the patches, ascending.
    """

    tree: str
    metadata: str
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def choose(cls, source: Path, count: int, metadata: Path) -> "Patches":
        """Choose the first patches without snow, clouds and shadows, and write their table.

        Args:
            source: folder that `bep synth --layout v2` has written.
            count: how many.
            metadata: where their table goes.

        Raises:
            ValueError: the source has fewer.
        """
        table = pq.read_table(source / "metadata.parquet")
        clear = pc.invert(pc.or_(table["contains_seasonal_snow"], table["contains_cloud_or_shadow"]))
        labelled = pc.greater(pc.list_value_length(table["labels"]), 0)
        table = table.filter(pc.and_(clear, labelled)).sort_by("patch_id")[:count]
        if len(table) < count:
            raise ValueError(f"{source} has {len(table)} patches without snow and clouds, expected {count}")
        pq.write_table(table, metadata)
        return cls(str(source / "BigEarthNet-S2"), str(metadata), tuple(table["patch_id"].to_pylist()))

    @classmethod
    def load(cls, path: Path) -> "Patches":
        """Read what `save` has written."""
        values = json.loads(path.read_text())
        return cls(values["tree"], values["metadata"], tuple(values["keys"]))

    def save(self, path: Path) -> None:
        """Write which patches these are."""
        path.write_text(json.dumps(asdict(self)))

    def prefix(self, number: int) -> str:
        """Return the path of a patch's band files up to the name of the band."""
        key = self.keys[number]
        return f"{self.tree}/{key.rsplit('_', 2)[0]}/{key}/{key}_"

    def read(self, number: int) -> NDArray[np.uint16]:
        """Read a patch with rasterio: (80000,) uint16 in record order."""
        return read_patch(self.prefix(number))

    def read_all(self, workers: int) -> Iterator[tuple[int, NDArray[np.uint16]]]:
        """Read all patches in `workers` processes, in an order shuffled once, as formats for streaming want it.

        Yields:
            The number and the record of a patch.
        """
        order = np.random.default_rng(0).permutation(len(self)).tolist()
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            records = pool.imap(read_patch, [self.prefix(number) for number in order], chunksize=8)
            yield from zip(order, records, strict=True)

    def size_bytes(self) -> int:
        """Return the bytes of all band files."""
        return sum(os.path.getsize(f"{self.prefix(i)}{band}.tif") for i in range(len(self)) for band in BAND_SLICES)


def read_patch(prefix: str) -> NDArray[np.uint16]:
    """Read the band files `<prefix><band>.tif` with rasterio: (80000,) uint16 in record order."""
    import rasterio

    record = np.empty(RECORD_VALUES, np.uint16)
    for band, place in BAND_SLICES.items():
        size = GROUP_OF[band].size
        with rasterio.open(f"{prefix}{band}.tif", driver="GTiff") as source:
            source.read(1, out=record[place].reshape(size, size))
    return record
