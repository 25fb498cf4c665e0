"""Patches that a run uses: rows of the index, so that no store is built anew."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shards import SPLITS, Index
from shards.errors import InvalidValue
from shards.layout.classes import NINETEEN, Nomenclature
from shards.metadata.entries import check_split
from shards.text.kinds import row_numbers
from trainer.data.subset.patch_list import listed_rows
from trainer.data.subset.stratification import stratified
from trainer.definition.check import take_texts
from trainer.definition.data import DataConfig
from trainer.errors import EmptySubset


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """Conditions that a patch must fulfil; None for no condition.

    Attributes:
        where: SQL expression over `where.COLUMNS` that must be true, in all splits.
        fraction: of what the other two leave of the train split, above 0 and at most 1, stratified by label; validation
            and test split stay whole, so that results can be compared.
        train_splits: splits that the patches to train on are from; `fraction` is of all of them.
        patches: file with the keys of the patches, a line each, in all splits; see `patch_list.read_keys`.
        nomenclature: of the labels by which `fraction` is stratified.
    """

    where: str | None = None
    fraction: float | None = None
    patches: Path | None = None
    train_splits: tuple[str, ...] = ("train",)
    nomenclature: Nomenclature = NINETEEN

    @classmethod
    def of(cls, data: DataConfig) -> "Subset":
        """Return what the options of a run say."""
        return cls(
            where=data.where,
            fraction=data.fraction,
            patches=data.patches,
            train_splits=data.train_splits,
            nomenclature=data.nomenclature,
        )

    def __post_init__(self) -> None:
        if self.where is not None:
            # DuckDB is loaded where there is a condition, and nowhere else.
            from trainer.data.subset.where import check_condition

            check_condition(self.where)
        for split in self.train_splits:
            check_split(split)
        take_texts(self)
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise InvalidValue(f"fraction is {self.fraction}, expected above 0 and at most 1")


def take_rows(rows: ArrayLike, count: int) -> NDArray[np.int64]:
    """Return rows of an index that a caller gave, (n,) int64.

    Raises:
        InvalidValue: they are no integers, or one is none of the index.
    """
    try:
        return row_numbers(rows, count)
    except IndexError as err:
        found = np.asarray(rows)
        raise InvalidValue(
            f"rows are from {found.min()} to {found.max()}, expected 0 to {count - 1}, those of the store"
        ) from err


def select(
    subset: Subset, index: Index, seed: int, *, needed: Collection[str] = ("train", "validation")
) -> dict[str, NDArray[np.int64]]:
    """Return the rows of a subset by split (train, validation, test), ascending; `train` is all that is trained on.

    Args:
        subset: what the patches must fulfil.
        index: of the store.
        seed: of the draw of `fraction`.
        needed: splits that must have a patch.

    Raises:
        InvalidValue: there is no such split.
        EmptySubset: one of them has none; the message says which condition left them out.
        BadPatchList: the list cannot be read, or names patches that the store lacks.
        ValueError: a value cannot be converted as `where` says, or the store has no labels of the nomenclature.
    """
    for split in needed:
        check_split(split)
    conditions = {}
    if subset.patches is not None:
        conditions[f"the list {subset.patches}"] = listed_rows(subset.patches, index)
    if subset.where is not None:
        from trainer.data.subset.where import named, rows_where

        conditions[f"the {named(subset.where)}"] = rows_where(subset.where, index)
    rows = {}
    for split in SPLITS:
        left = index.rows(split)
        taken = []
        for name, met in conditions.items():
            before, left = left, np.intersect1d(left, met, assume_unique=True)
            if len(left) < len(before):
                taken.append(f"{name} leaves out {len(before) - len(left):,}")
        if split in needed and not len(left):
            reason = _reason(subset, index, split, taken)
            if not taken and split == "validation" and "train" in needed:
                reason += "; `data.validation=false` trains without"
            raise EmptySubset(reason)
        rows[split] = left
    # Ascending, as the rows of a split are: the order of training follows from the rows alone.
    rows["train"] = np.sort(np.concatenate([rows[split] for split in subset.train_splits]))
    if subset.fraction is not None:
        train = rows["train"]
        rows["train"] = stratified(train, index.labels(subset.nomenclature)[train], subset.fraction, seed)
    return rows


def _reason(subset: Subset, index: Index, split: str, taken: list[str]) -> str:
    """Return why a split has no patch."""
    if not taken:
        found = [f"{len(index.rows(other)):,} of {other}" for other in SPLITS if len(index.rows(other))]
        return f"the store has no patch in its {split} split, only {', '.join(found)}"
    reason = f"the subset has no patch of the {split} split: of {len(index.rows(split)):,}, {' and '.join(taken)}"
    used: frozenset[str] = frozenset()
    if subset.where is not None:
        from trainer.data.subset.where import check_condition

        used = check_condition(subset.where)
    empty = [name for name in index.table.column_names if name in used and index.table[name].null_count == len(index)]
    if empty:
        reason += f"; in this store the column {' and '.join(empty)} is empty"
    return reason
