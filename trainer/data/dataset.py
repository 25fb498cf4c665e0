"""Patches one by one, for loaders of others: a map-style dataset of torch."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from shards import Store
from shards.errors import InvalidValue
from shards.text.kinds import check_kind, row_number
from shards.text.words import patches
from trainer.data.batch import Draws, Layout
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.reference import prepare
from trainer.data.subset.rows import take_rows
from trainer.definition.choices import INTERPOLATIONS, Interpolation

_NOTHING: Final = Draws()


class PatchDataset(Dataset[dict[str, Tensor]]):
    """Patches of a store as prepared images, without augmentation.

    It is for `torch.utils.data.DataLoader` with worker processes, and to look at single patches; `trainer.Loader` gives
    the same images at many times the rate. Item i is

    - `image`, (C, 120, 120) float32, or `b10`, `b20`, `b60` at their own resolution for the layout `native`;
    - `label`, (19,) float32 of 0 and 1;
    - `row`, () int64: row of the index.
    """

    def __init__(
        self,
        store: Store,
        rows: Sequence[int] | NDArray[np.integer],
        normalisation: Normalisation | None = None,
        *,
        layout: Layout = "stacked",
        interpolation: Interpolation = "nearest",
    ) -> None:
        """Choose the patches.

        Args:
            store: where they are; it travels to worker processes by its path.
            rows: of the index, (n,), such as `store.index.rows("train")`.
            normalisation: of the bands that images have; default: of all, by the statistics of the train split.
            layout: `stacked` or `native`.
            interpolation: how bands are enlarged, `nearest` or `bilinear`.

        Raises:
            InvalidValue: there is no such layout or interpolation, a row is none of the store, or an argument is of
                another kind.
        """
        for name, value, known in (
            ("layout", layout, ("stacked", "native")),
            ("interpolation", interpolation, INTERPOLATIONS),
        ):
            if value not in known:
                raise InvalidValue(f"{name} is {value!r:.60}, expected one of {', '.join(known)}")
        check_kind("store", store, Store)
        if normalisation is not None:
            check_kind("normalisation", normalisation, Normalisation)
        self._store, self._rows = store, take_rows(rows, len(store))
        self._normalisation = normalisation or Normalisation.of_train_split(store.manifest)
        self._layout, self._interpolation = layout, interpolation
        self._labels = store.index.labels()[self._rows].astype(np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        images = f"{self._layout} images of {len(self._normalisation.bands)} bands"
        return f"<PatchDataset: {patches(len(self))} of {self._store.folder}, {images}>"

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """Return item i.

        Raises:
            InvalidValue: it is no integer.
            IndexError: there is none.
            CorruptShard: the record is damaged.
        """
        row = int(self._rows[row_number(i, len(self))])
        record = torch.from_numpy(self._store.read(row, groups=()).s2.copy())[None]
        images = prepare(record, _NOTHING, self._normalisation, self._layout, self._interpolation)
        found = {name: image[0].contiguous() for name, image in images.items()}
        return found | {"label": torch.from_numpy(self._labels[i]), "row": torch.tensor(row)}
