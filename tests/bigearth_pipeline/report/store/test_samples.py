"""The choice of patches that are shown."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bigearth_pipeline.report.store.samples import choose
from shards import CLASSES

LABELS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.just(len(CLASSES))), elements=st.integers(0, 1))


@given(LABELS, st.integers(1, 4))
def test_each_class_is_shown_by_its_patches(labels: np.ndarray, per_class: int) -> None:
    """A class is shown by patches that do not have it, by one patch twice, or by fewer than there are."""
    chosen = choose(labels, np.ones(len(labels), np.bool_), per_class)
    assert len(chosen) == len(CLASSES)
    for i, rows in enumerate(chosen):
        assert len(set(rows)) == len(rows) == min(per_class, int(labels[:, i].sum()))
        assert all(labels[row, i] for row in rows)


def test_the_clearest_patch_comes_first() -> None:
    """A class is shown by a patch with many others, with clouds, or by one that another class shows already."""
    labels = np.zeros((4, len(CLASSES)), np.uint8)
    labels[0, [3, 4, 5]] = labels[1, [3, 4]] = labels[2, 3] = labels[3, 3] = 1
    fit = np.array([True, True, False, True])
    chosen = choose(labels, fit, 2)
    # Class 5 is rarest and chooses first; class 3 takes the only fit one with fewest labels.
    assert (chosen[5], chosen[4], chosen[3]) == ([0], [1, 0], [3, 2])
