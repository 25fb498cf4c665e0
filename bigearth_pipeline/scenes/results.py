"""Files of a result: which there are, when they are finished, and how they are made from the units."""

import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.geo.stac import sha256_of
from bigearth_pipeline.scenes.grid.source import SceneSource
from bigearth_pipeline.scenes.work.source import Source
from bigearth_pipeline.scenes.work.units import FOLDER, PLAN, UnitResult, Units, differences
from bigearth_pipeline.scenes.write.blend import NODATA, Blend
from bigearth_pipeline.scenes.write.cog import write_cog
from bigearth_pipeline.scenes.write.picture import write_map_picture
from bigearth_pipeline.scenes.write.table import MISSING, OK, write_csv, write_geoparquet
from shards.errors import CorruptShard
from shards.storage.atomic import TEMPORARY_SUFFIX, atomic_write, temporary_of
from shards.storage.lock import is_of_lock
from shards.storage.safe_open import read_regular
from shards.text.json_fields import Fields, shown
from shards.text.json_text import parse_json

LOCK: Final = ".predict.lock"
MARK: Final = "prediction.json"
"""Written last: what was predicted, and the checksums of all other files."""
MAP: Final = "map.tif"
TABLE: Final = "patches.parquet"
CSV: Final = "patches.csv"
ITEM: Final = "item.json"
PICTURE: Final = "preview.png"
FILES: Final = (MARK, MAP, TABLE, CSV, ITEM, PICTURE)
_MAX_BYTES: Final = 1 << 24
_MOST: Final = 1 << 60
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Counts:
    """Outcome of a result.

    Attributes:
        patches: of the input.
        predicted: that have a result.
        missing: without one, for too much of them is missing.
        faults: that cannot be used.
        labels: patches by class that are at or above its threshold, by name.
    """

    patches: int
    predicted: int
    missing: int
    faults: int
    labels: dict[str, int]


def check_out(out: Path, own: Collection[str] = ()) -> None:
    """Check that results may be written to a folder: it is absent, holds nothing, or results of a prediction.

    Args:
        out: the folder.
        own: names of folders in it that are checked by themselves.

    Raises:
        PipelineError: it is no folder, or holds files and none of a prediction.
        OSError: it cannot be read.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise PipelineError(f"{out} is no folder, expected one, or a new name, for `out=`")
    held = sorted(path.name for path in out.iterdir())
    if any(name in FILES or name == FOLDER or name in own for name in held):
        return
    # One of several results, each of which has a folder.
    if any((out / name / each).exists() for name in held for each in (MARK, FOLDER)):
        return
    foreign = [name for name in held if not is_of_lock(name, LOCK) and temporary_of(name) not in FILES]
    if foreign:
        raise PipelineError(f"{out} holds {foreign[0]}, which is of no prediction; name another folder by `out=`")


def finished(out: Path, plan: dict[str, Any]) -> Counts | None:
    """Return the outcome if the folder holds this result, finished; None if it holds none.

    Raises:
        PipelineError: it holds another one, one of whose files was changed, or files of that name of no prediction.
    """
    refuse_foreign(out)
    if (mark := _read_mark(out)) is None:
        return None
    if mark.plan != plan:
        found = differences(mark.plan, plan)
        raise PipelineError(
            f"{out} holds a prediction with other {found}; name another folder, or say `overwrite=True`"
        )
    for name, facts in mark.files.items():
        path = out / name
        if not path.is_file() or path.stat().st_size != facts.size or sha256_of(path) != facts.sha256:
            raise PipelineError(
                f"{path} is missing or was changed since it was written; say `overwrite=True` to predict anew"
            )
    return mark.counts


def refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds a file of a name of results which no prediction has written there.

    Those of a finished prediction are the files that its mark lists; those beside the plan of one that is not finished
    are its own, for it would not have begun beside others.

    Raises:
        PipelineError: there is one; the mark is damaged.
        OSError: the mark cannot be read.
    """
    there = [name for name in FILES if os.path.lexists(out / name)]
    if not there or (out / FOLDER / PLAN).is_file():
        return
    mark = _read_mark(out)
    own = () if mark is None else (MARK, *mark.files)
    if foreign := [name for name in there if name not in own]:
        raise PipelineError(
            f"{out / foreign[0]} exists and is of no prediction; move it elsewhere, or name another folder by `out=`"
        )


@dataclass(frozen=True, slots=True)
class _FileFacts:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Mark:
    plan: Any
    counts: Counts
    files: dict[str, _FileFacts]


def _read_mark(out: Path) -> _Mark | None:
    """Return the content of the mark of a finished result; None if the file is absent.

    Raises:
        PipelineError: it is damaged, or of something else.
        OSError: it cannot be read.
    """
    try:
        mark = Fields(parse_json(read_regular(out / MARK, _MAX_BYTES)), "")
        counts, files = mark.fields("counts"), mark.fields("files")
        labels = counts.fields("labels")
        found = Counts(
            patches=counts.integer("patches", 0, _MOST),
            predicted=counts.integer("predicted", 0, _MOST),
            missing=counts.integer("missing", 0, _MOST),
            faults=counts.integer("faults", 0, _MOST),
            labels={name: labels.integer(name, 0, _MOST) for name in labels},
        )
        sizes = {}
        for name in files:
            facts = files.fields(name)
            if name not in FILES:
                raise CorruptShard(f"files has {shown(name)}, which no prediction writes")
            sizes[name] = _FileFacts(
                facts.integer("size", 0, _MOST), facts.text("sha256", _SHA256, "a SHA-256 of 64 hexadecimal digits")
            )
        return _Mark(mark.value("plan"), found, sizes)
    except FileNotFoundError:
        return None
    except (ValueError, CorruptShard) as err:
        raise PipelineError(
            f"{out / MARK} is damaged or of no prediction: {err}; move it elsewhere, or name another folder by `out=`"
        ) from None


def left_out(out: Path) -> dict[str, str]:
    """Return why patches of a finished result cannot be used, by name: the column `status` of its table."""
    table = pq.read_table(out / TABLE, columns=["name", "status"])
    pairs = zip(table["name"].to_pylist(), table["status"].to_pylist(), strict=True)
    return {name: status for name, status in pairs if status not in (OK, MISSING)}


def remove_temporaries(out: Path) -> None:
    """Remove what a killed prediction left of files of a result; call it where the folder is locked."""
    for path in out.glob(f".*{TEMPORARY_SUFFIX}"):
        if temporary_of(path.name) in FILES and path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


def remove(out: Path) -> None:
    """Remove the files of a prediction, and nothing else.

    Raises:
        PipelineError: one of these names is of something else.
        OSError: one cannot be removed.
    """
    refuse_foreign(out)
    for name in FILES:
        (out / name).unlink(missing_ok=True)


def mark_finished(out: Path, plan: dict[str, Any], counts: Counts) -> None:
    """Write the mark of a finished result."""
    files = {
        name: {"size": (out / name).stat().st_size, "sha256": sha256_of(out / name)}
        for name in FILES
        if name != MARK and (out / name).exists()
    }
    values = {"plan": plan, "counts": {name: getattr(counts, name) for name in Counts.__slots__}, "files": files}
    with atomic_write(out / MARK) as file:
        file.write(json.dumps(values, indent=1, ensure_ascii=False).encode() + b"\n")


class Results:
    """The finished units of a source, in their order, and the files that are made of them."""

    def __init__(self, out: Path, source: Source, units: Units, thresholds: dict[str, float]) -> None:
        """Take units, all of which are finished."""
        self._out, self._source, self._units, self._thresholds = out, source, units, thresholds

    def rows(self) -> Iterator[tuple[list[str], UnitResult]]:
        """Yield names and results of the patches of each unit.

        Raises:
            PipelineError: a unit was damaged since it was written.
        """
        for number in range(self._source.num_units):
            result = self._units.read(number, self._source.count(number))
            if result is None:
                raise PipelineError(f"unit {number} of {self._out} was damaged meanwhile; run the same command again")
            yield self._source.names(number), result

    def write_table(self, about: dict[str, Any], *, csv: bool) -> None:
        """Write the table of patches."""
        write_geoparquet(self._out / TABLE, self.rows, self._thresholds, about)
        if csv:
            write_csv(self._out / CSV, self.rows(), self._thresholds)

    def write_map(self, source: SceneSource, title: str, tags: dict[str, str], *, picture: bool) -> None:
        """Write the map of a scene, and its picture if it is wanted."""
        classes = list(self._thresholds)
        blend = Blend(source.windows, source.scene.columns, len(classes))
        best: list[NDArray[np.uint8]] = []
        pictures: list[NDArray[np.uint16]] = []

        def strips() -> Iterator[NDArray[np.uint8]]:
            for number, (_, unit) in enumerate(self.rows()):
                strip = blend.add(number, unit.probabilities)
                best.append(np.where(strip[0] == NODATA, NODATA, strip.argmax(0)).astype(np.uint8))
                pictures.append(unit.picture)
                yield strip

        write_cog(self._out / MAP, self._units.folder, source.scene, classes, strips(), tags)
        if not picture:
            return
        true_colour = np.concatenate(pictures, 1)
        write_map_picture(
            self._out / PICTURE, title, true_colour if true_colour.size else None, np.concatenate(best), classes
        )

    def counts(self) -> Counts:
        """Count patches and labels."""
        labels = np.zeros(len(self._thresholds), np.int64)
        patches = predicted = faults = 0
        thresholds = np.array(list(self._thresholds.values()), np.float32)
        for _, unit in self.rows():
            patches += len(unit.missing)
            predicted += int(unit.has_result.sum())
            faults += int((unit.faults != "").sum())
            labels += (np.nan_to_num(unit.probabilities, nan=-1) >= thresholds).sum(0)
        return Counts(
            patches=patches,
            predicted=predicted,
            missing=patches - predicted - faults,
            faults=faults,
            labels=dict(zip(self._thresholds, labels.tolist(), strict=True)),
        )
