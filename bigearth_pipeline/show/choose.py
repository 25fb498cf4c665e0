"""Choice of the patches of a store to look at: by key, by row, by chance, by class or by condition."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_pipeline.errors import PipelineError
from shards import Index
from shards.errors import InvalidValue
from shards.layout.class_names import class_index

FEW: Final = 6
"""Patches that are drawn where nothing says how many."""
MOST: Final = 200


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Patches to look at: keys and rows name patches, all else bounds what is drawn at random.

    Attributes:
        keys: names of patches.
        rows: numbers of patches in the index, from 0.
        random: how many are drawn; None for `FEW`, or for none where keys or rows name some.
        label: name of a class that those drawn have, in any case, or the beginning of one.
        split: that they are in.
        seed: of the draw.
    """

    keys: Sequence[str] = ()
    rows: Sequence[int] = ()
    random: int | None = None
    label: str | None = None
    split: str | None = None
    seed: int = 0


def chosen_rows(index: Index, choice: Choice) -> NDArray[np.int64]:
    """Return rows of the index, (patches,) int64: those of keys, then rows, then those drawn, in their order.

    Raises:
        PipelineError: a key or row does not exist, no patch fits, or there are too many.
        InvalidValue: a name is no class, or there is no such split.
    """
    found = [_row_of(index, key) for key in choice.keys]
    for row in choice.rows:
        if not 0 <= row < len(index):
            raise PipelineError(f"`row={row:,}`, expected 0 to {len(index) - 1:,}")
        found.append(row)
    draws = choice.label is not None or choice.split is not None or choice.random is not None
    if draws or not found:
        count = FEW if choice.random is None else choice.random
        rows = _fitting(index, choice)
        number = min(count, len(rows))
        found += np.sort(np.random.default_rng(choice.seed).choice(rows, number, replace=False)).tolist()
    if len(found) > MOST:
        raise PipelineError(f"{len(found):,} patches are chosen, expected at most {MOST}")
    return np.array(found, np.int64)


def _row_of(index: Index, key: str) -> int:
    row = pc.index(index.table["key"], pa.scalar(key, pa.string())).as_py()
    if row < 0:
        raise PipelineError(f"no patch is called {key}, expected a key such as {index.key(0)}")
    return int(row)


def _fitting(index: Index, choice: Choice) -> NDArray[np.int64]:
    rows = np.arange(len(index), dtype=np.int64) if choice.split is None else index.rows(choice.split)
    if not len(rows):
        raise InvalidValue(f"`split={choice.split}` has no patch")
    if choice.label is not None:
        label = class_index(choice.label)
        rows = rows[index.labels()[rows][:, label] == 1]
        if not len(rows):
            where = "" if choice.split is None else f" of {choice.split}"
            raise PipelineError(f"no patch{where} has the class {choice.label!r}")
    return rows
