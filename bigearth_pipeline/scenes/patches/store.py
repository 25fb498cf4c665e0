"""A split of a store as an input."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import shards
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.scenes.grid.missing import missing_shares
from bigearth_pipeline.scenes.work.source import Part
from bigearth_pipeline.scenes.work.unit_sizes import UNIT, cut
from shards.layout.bands import RECORD_VALUES
from trainer.evaluation.radiometry import offset_note


class StoreSource:
    """The patches of a split, in the order of the index; pixels are those of the store.

    Attributes:
        name: of the result: that of the store's folder and the split.
        num_units: units of up to `UNIT` patches.
    """

    def __init__(
        self, folder: Path, split: str, *, bands: tuple[str, ...], batch_size: int, threads: int | None
    ) -> None:
        """Open a store.

        Args:
            folder: of the store.
            split: name of the split.
            bands: names of the bands that a network sees.
            batch_size: patches of a part at most.
            threads: decode threads; None for the cores.

        Raises:
            PipelineError: the store has no such split.
            ShardError: it is damaged, or is no store.
        """
        self.name, self._split, self._bands, self._batch_size = (
            f"{folder.resolve().name}-{split}",
            split,
            bands,
            batch_size,
        )
        self._store = shards.open(folder, num_threads=threads)
        self._rows = self._store.index.rows(split)
        if not len(self._rows):
            self._store.close()
            raise PipelineError(
                f"{folder} has no split {split}, expected {', '.join(self._store.manifest.splits)}; say `split=`"
            )
        self.num_units = -(-len(self._rows) // UNIT)
        self._manifest_sha256 = self._store.manifest_sha256()
        self._table = self._store.index.table.select(["key", "date", "epsg", "ulx", "uly"])

    @property
    def offset_note(self) -> str | None:
        """A line for people if the offset of newer products was not subtracted from patches; None if there are none."""
        return offset_note(self._store, self._rows)

    @property
    def dates(self) -> list[datetime]:
        """Sensing times."""
        dates: list[datetime] = self._table["date"].take(self._rows).to_pylist()
        return dates

    def identity(self) -> dict[str, Any]:
        """Return what the result depends on: the manifest, which has the checksums of all files, and the split."""
        return {"manifest_sha256": self._manifest_sha256, "split": self._split}

    def _of_unit(self, unit: int) -> NDArray[np.int64]:
        return self._rows[unit * UNIT : (unit + 1) * UNIT]

    def count(self, unit: int) -> int:
        """Return the number of patches of a unit."""
        return len(self._of_unit(unit))

    def names(self, unit: int) -> list[str]:
        """Return the names of the patches of a unit."""
        names: list[str] = self._table["key"].take(self._of_unit(unit)).to_pylist()
        return names

    def parts(self, unit: int) -> Iterator[Part]:
        """Read the patches of a unit."""
        for rows in cut(self._of_unit(unit).tolist(), self._batch_size):
            records = np.empty((len(rows), RECORD_VALUES), np.uint16)
            self._store.read_into(rows, records)
            places = self._table.take(rows)
            yield Part(
                records=records,
                missing=missing_shares(records, self._bands),
                epsg=places["epsg"].to_numpy(),
                ulx=places["ulx"].to_numpy(),
                uly=places["uly"].to_numpy(),
            )

    def picture(self, unit: int) -> NDArray[np.uint16] | None:
        """Return nothing: pictures of patches are made of the patches themselves."""
        return None

    def first_records(self, count: int) -> NDArray[np.uint16]:
        """Return the records of the first patches."""
        rows = self._rows[:count]
        records = np.empty((len(rows), RECORD_VALUES), np.uint16)
        self._store.read_into(rows, records)
        return records

    def close(self) -> None:
        """Close the store."""
        self._store.close()
