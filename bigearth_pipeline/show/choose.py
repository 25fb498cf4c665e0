"""Choice of the patches of a store to look at: by key, by row, by chance, by class or by condition."""

from collections.abc import Sequence
from contextlib import suppress
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
from shards.layout.classes import FORTY_THREE, NINETEEN, Nomenclature

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
        label: name of a class that those drawn have, in any case, or a part of one: of the 19, or of v1's 43 where the
            index has them.
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
        InvalidValue: a name is no class, there is no such split, or a seed is given and nothing is drawn.
    """
    found = [_row_of(index, key) for key in choice.keys]
    for row in choice.rows:
        if not 0 <= row < len(index):
            raise PipelineError(f"`row={row:,}`, expected 0 to {len(index) - 1:,}")
        found.append(row)
    draws = choice.label is not None or choice.split is not None or choice.random is not None
    if not draws and found and choice.seed != Choice.seed:
        raise InvalidValue(f"`seed={choice.seed}` has no effect: nothing is drawn; leave it out")
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
        rows = rows[_has_class(index, choice.label)[rows]]
        if not len(rows):
            where = "" if choice.split is None else f" of {choice.split}"
            raise PipelineError(f"no patch{where} has the class {choice.label!r}")
    return rows


def _has_class(index: Index, name: str) -> NDArray[np.bool_]:
    """Return which patches have a class, one of the 19 or, where the index has these, of the 43: (patches,) bool.

    Raises:
        InvalidValue: no class has the name, or more than one.
    """
    with suppress(InvalidValue):
        return np.asarray(index.labels()[:, class_index(name)] == 1)
    further = FORTY_THREE.names if index.has(FORTY_THREE) else ()
    both = Nomenclature(tuple(dict.fromkeys((*NINETEEN.names, *further))), "")
    found = both.names[class_index(name, both)]
    return np.asarray(index.labels(FORTY_THREE)[:, FORTY_THREE.names.index(found)] == 1)
