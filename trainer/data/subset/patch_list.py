"""Lists of patches in text files."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards import Index
from shards.runtime.arrow import numpy_values, text_array
from shards.text.name_list import BadNameList, first_names, no_match, read_names
from trainer.errors import BadPatchList


def read_keys(path: Path) -> list[str]:
    """Return the keys that a file names, each once, in order, as `shards.text.name_list` reads it.

    Raises:
        BadPatchList: the file cannot be read, or names no patch.
    """
    try:
        return read_names(path)
    except BadNameList as err:
        raise BadPatchList(f"patch list {path} {err}") from err


def listed_rows(path: Path, index: Index) -> NDArray[np.int64]:
    """Return the rows of an index that a file names, ascending.

    Raises:
        BadPatchList: the file cannot be read, names no patch, or some that the index lacks.
    """
    keys = read_keys(path)
    rows = numpy_values(pc.index_in(text_array(keys), index.table["key"]), null=-1)
    missing = np.flatnonzero(rows < 0).tolist()
    if len(missing) == len(keys):
        raise BadPatchList(f"patch list {path}: {no_match(keys, index.table['key'].to_pylist(), 'the store')}")
    if missing:
        some = first_names([keys[i] for i in missing])
        raise BadPatchList(f"patch list {path}: the store lacks {len(missing):,} of its {len(keys):,} patches: {some}")
    return np.sort(rows).astype(np.int64)
