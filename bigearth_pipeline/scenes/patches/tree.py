"""Patch folders of BigEarthNet as an input: v1 or v2, `.tif` or `.tiff`."""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.build.select import unique_folders
from bigearth_pipeline.errors import BadPatch, PipelineError
from bigearth_pipeline.scenes.grid.missing import missing_shares
from bigearth_pipeline.scenes.inputs.description import in_names
from bigearth_pipeline.scenes.inputs.find import hint
from bigearth_pipeline.scenes.work.source import Part
from bigearth_pipeline.scenes.work.unit_sizes import UNIT, cut
from bigearth_pipeline.source.annotations import baseline_of_key
from bigearth_pipeline.source.offset import OffsetMode, subtract_offset
from bigearth_pipeline.source.tiff.reader import TiffReader
from bigearth_pipeline.source.tree import find_source
from shards.layout.bands import RECORD_VALUES


def patch_folders(path: Path, *, single: bool) -> list[tuple[str, str]]:
    """Return (patch name, folder) of a patch folder, or of all patches of a tree.

    Raises:
        PipelineError: there is no tree, or a folder of it cannot be read.
    """
    if single:
        return [(path.resolve().name, str(path))]
    try:
        found = find_source(path).scan()
    except PipelineError as err:
        raise PipelineError(f"{err}{hint(path)}") from None
    if found.unreadable:
        raise PipelineError(found.unreadable[0][2])
    return found.patches


class TreeSource:
    """Patch folders, in the order of their names.

    Attributes:
        name: of the result.
        num_units: units of up to `UNIT` patches.
        dates: sensing times that the names of patches say.
    """

    def __init__(
        self, name: str, found: list[tuple[str, str]], *, offset: OffsetMode, bands: tuple[str, ...], batch_size: int
    ) -> None:
        """Take patches.

        Args:
            name: of the result.
            found: (patch name, folder).
            offset: `auto` subtracts the offset of patches of newer baselines.
            bands: names of the bands that a network sees.
            batch_size: patches of a part at most.

        Raises:
            PipelineError: two patches have one name, or a name is unsafe.
        """
        folders, bad = unique_folders(found)
        if bad:
            raise PipelineError(f"{bad[0].folder}: {bad[0].reason}")
        self.name, self._folders = name, list(folders.items())
        self.num_units = -(-len(self._folders) // UNIT)
        self._offset, self._bands, self._batch_size = offset, bands, batch_size
        self._reader = TiffReader()

    @property
    def dates(self) -> list[datetime]:
        """Sensing times, where names say them."""
        return [date for key, _ in self._folders if (date := in_names([key])[1]) is not None]

    @property
    def num_with_offset(self) -> int:
        """Number of patches from whose digital numbers an offset is subtracted."""
        from bigearth_pipeline.source.offset import has_offset

        return sum(self._offset == "auto" and has_offset(baseline_of_key(key)) for key, _ in self._folders)

    def identity(self) -> dict[str, Any]:
        """Return what the result depends on: names, folders, and times of the folders."""
        facts = [(key, folder, Path(folder).stat().st_mtime_ns) for key, folder in self._folders]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return {"patches": len(facts), "sha256": digest, "offset": self._offset}

    def _of_unit(self, unit: int) -> list[tuple[str, str]]:
        return self._folders[unit * UNIT : (unit + 1) * UNIT]

    def count(self, unit: int) -> int:
        """Return the number of patches of a unit."""
        return len(self._of_unit(unit))

    def names(self, unit: int) -> list[str]:
        """Return the names of the patches of a unit."""
        return [key for key, _ in self._of_unit(unit)]

    def parts(self, unit: int) -> Iterator[Part]:
        """Read the patches of a unit; one that cannot be used has a fault."""
        for patches in cut(self._of_unit(unit), self._batch_size):
            yield self._read(patches)

    def _read(self, patches: list[tuple[str, str]]) -> Part:
        n = len(patches)
        records = np.zeros((n, RECORD_VALUES), np.uint16)
        epsg, place, faults = np.zeros(n, np.int32), np.full((2, n), np.nan), {}
        for i, (key, folder) in enumerate(patches):
            try:
                found = self._reader.read_patch(folder, key, records[i])
                epsg[i], place[0, i], place[1, i] = found.epsg, found.ulx, found.uly
            except BadPatch as err:
                faults[i] = str(err)
                records[i] = 0
        missing = missing_shares(records, self._bands)
        if self._offset == "auto":
            for record, (key, _) in zip(records, patches, strict=True):
                subtract_offset(record, baseline_of_key(key))
        return Part(records=records, missing=missing, epsg=epsg, ulx=place[0], uly=place[1], faults=faults)

    def picture(self, unit: int) -> NDArray[np.uint16] | None:
        """Return nothing: pictures of patches are made of the patches themselves."""
        return None

    def first_records(self, count: int) -> NDArray[np.uint16]:
        """Return the records of the first patches, as a network sees them."""
        return self._read(self._folders[:count]).records

    def close(self) -> None:
        """Give up GDAL."""
        self._reader.__exit__()
