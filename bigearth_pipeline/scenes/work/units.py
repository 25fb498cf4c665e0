"""Files of finished units, and the plan that they belong to: what makes a prediction resume.

`OUT/.predict/plan.json` says what is predicted, `unit-00000.npz` holds the result of a unit. Each is written whole or
not at all; a unit whose checksum does not fit is predicted again.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import PipelineError
from shards.storage.atomic import atomic_write, remove_temporaries, temporary_of
from shards.storage.safe_open import read_regular
from shards.text.json_text import parse_json

FOLDER: Final = ".predict"
PLAN: Final = "plan.json"
WORK_FILES: Final = ("map-plain.tif", "map.tif")
"""Files that are written here before they are moved."""
_OTHERS: Final = (PLAN, *WORK_FILES)
_UNIT: Final = re.compile(r"unit-\d{5,}\.npz")
_MAX_UNIT_BYTES: Final = 1 << 30
_MAX_PLAN_BYTES: Final = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitResult:
    """The result of a unit of n patches.

    Attributes:
        probabilities: (n, 19) float32; NaN for a patch without a result.
        missing: (n,) float32, share of the area that is missing.
        epsg: (n,) int32, 0 where a place is not known.
        ulx: (n,) float64.
        uly: (n,) float64.
        faults: (n,) text, empty for a patch that could be used.
        picture: (3, rows, columns) uint16 of the true-colour picture; (3, 0, 0) for none.
    """

    probabilities: NDArray[np.float32]
    missing: NDArray[np.float32]
    epsg: NDArray[np.int32]
    ulx: NDArray[np.float64]
    uly: NDArray[np.float64]
    faults: NDArray[np.str_]
    picture: NDArray[np.uint16]

    @property
    def has_result(self) -> NDArray[np.bool_]:
        """(n,) True for a patch with a result."""
        return ~np.isnan(self.probabilities[:, 0])


class Units:
    """The finished units of a prediction."""

    def __init__(self, out: Path, plan: dict[str, Any]) -> None:
        """Open the folder of a prediction, or make it.

        Args:
            out: folder of the results.
            plan: all that the results depend on, as JSON values.

        Raises:
            PipelineError: the folder holds another prediction.
            OSError: it cannot be written to.
        """
        self.folder = out / FOLDER
        path = self.folder / PLAN
        try:
            found = parse_json(read_regular(path, _MAX_PLAN_BYTES))
        except FileNotFoundError:
            found = None
        except ValueError:
            raise PipelineError(f"{path} is damaged; `overwrite=True` begins anew") from None
        if found is not None and found != plan:
            raise PipelineError(
                f"{out} holds an unfinished prediction with other {differences(found, plan)}; name another folder, or "
                "say `overwrite=True`"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_temporaries(self.folder)
        if found is None:
            with atomic_write(path) as file:
                file.write(json.dumps(plan, indent=1).encode())

    def read(self, unit: int, count: int) -> UnitResult | None:
        """Return the result of a unit of `count` patches; None if it is not there, or damaged."""
        try:
            content = read_regular(self._path(unit), _MAX_UNIT_BYTES)
            with np.load(BytesIO(content), allow_pickle=False) as arrays:
                result = UnitResult(**{field.name: arrays[field.name] for field in fields(UnitResult)})
        except MemoryError:  # The file is not to blame.
            raise
        except Exception:  # A damaged directory makes zipfile and its decoders fail in any way.
            return None
        return result if len(result.probabilities) == count else None

    def write(self, unit: int, result: UnitResult) -> None:
        """Keep the result of a unit."""
        buffer = BytesIO()
        np.savez(buffer, **{field.name: getattr(result, field.name) for field in fields(UnitResult)})
        with atomic_write(self._path(unit)) as file:
            file.write(buffer.getbuffer())

    def remove(self) -> None:
        """Remove all units, the plan last, and the folder if nothing else is in it."""
        discard(self.folder.parent)

    def _path(self, unit: int) -> Path:
        return self.folder / f"unit-{unit:05d}.npz"


def discard(out: Path) -> None:
    """Remove the units of any prediction in a folder, and nothing that is not of one."""
    folder = out / FOLDER
    if folder.is_symlink() or not folder.is_dir():
        return
    # The plan last: without it the folder belongs to nobody.
    for path in sorted(folder.iterdir(), key=lambda path: path.name == PLAN):
        if (temporary_of(path.name) or path.name) in _OTHERS or _UNIT.fullmatch(temporary_of(path.name) or path.name):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def differences(found: Any, plan: dict[str, Any]) -> str:
    """Return the names of the parts in which two plans differ."""
    if not isinstance(found, dict):
        return "content"
    return ", ".join(sorted(name for name in found.keys() | plan.keys() if found.get(name) != plan.get(name)))
