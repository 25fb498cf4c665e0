"""Lists of patches in text files."""

import bz2
import gzip
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards import Index
from shards.arrow import numpy_values, text_array
from trainer.errors import BadPatchList

_OPENERS: Final[dict[str, Any]] = {".bz2": bz2.open, ".gz": gzip.open}
_HEADERS: Final = ("patch_id", "name", "key")
_SHOWN: Final = 3


def read_keys(path: Path) -> list[str]:
    """Return the keys that a file names: its lines up to the first comma, each key once, in order.

    Blank lines, lines that begin with `#` and a heading (`patch_id`, `name` or `key`) are passed over, so the official
    lists are read as they are. `.bz2` and `.gz` files are decompressed.

    Raises:
        BadPatchList: the file cannot be read, or names no patch.
    """
    opener = _OPENERS.get(path.suffix, open)
    try:
        with opener(path, "rb") as file:
            lines = file.read().decode("utf-8-sig").splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as err:
        raise BadPatchList(f"patch list {path} cannot be read: {getattr(err, 'strerror', None) or err}") from err
    cells = dict.fromkeys(line.partition(",")[0].strip().strip('"') for line in lines)
    keys = [cell for cell in cells if cell and not cell.startswith("#") and cell not in _HEADERS]
    if not keys:
        raise BadPatchList(f"patch list {path} names no patch, expected one a line")
    return keys


def listed_rows(path: Path, index: Index) -> NDArray[np.int64]:
    """Return the rows of an index that a file names, ascending.

    Raises:
        BadPatchList: the file cannot be read, names no patch, or some that the index lacks.
    """
    keys = read_keys(path)
    rows = numpy_values(pc.index_in(text_array(keys), index.table["key"]), null=-1)
    missing = np.flatnonzero(rows < 0).tolist()
    if missing:
        some = ", ".join(keys[i] for i in missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise BadPatchList(f"patch list {path}: the store lacks {len(missing):,} of its {len(keys):,} patches: {some}")
    return np.sort(rows).astype(np.int64)
