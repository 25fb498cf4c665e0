"""Filters of the map: which patches of a store pass, as an array of the index."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.serve.contents.stores import OpenStore

Outcome = Literal["right", "wrong"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that a patch must meet; None for any.

    Attributes:
        split: name of its split.
        country: its country.
        month: in which it was taken, 1 to 12.
        label: number of a class that it has.
    """

    split: str | None = None
    country: str | None = None
    month: int | None = None
    label: int | None = None

    def of(self, store: OpenStore) -> NDArray[np.bool_]:
        """Return which patches of a store pass, (patches,) bool."""
        passes = np.ones(len(store.store), np.bool_)
        for (codes, names), wanted in ((store.split, self.split), (store.country, self.country)):
            if wanted is not None:
                passes &= codes == names.index(wanted) if wanted in names else False
        if self.month is not None:
            passes &= store.month == self.month
        if self.label is not None:
            passes &= (store.masks >> np.uint32(self.label) & 1).astype(np.bool_)
        return passes
