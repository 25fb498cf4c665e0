"""The map is the weighted mean of the windows that hold a cell."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bigearth_pipeline.scenes.grid.windows import SIDE, Windows, _starts
from bigearth_pipeline.scenes.write.blend import Blend, quantised, raised_cosine


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(20, 63),
    columns=st.integers(20, 63),
    stride=st.integers(3, 20),
    lost=st.floats(0, 1),
    seed=st.integers(0, 1 << 30),
)
def test_a_cell_is_the_weighted_mean(rows: int, columns: int, stride: int, lost: float, seed: int) -> None:
    """Windows are added to other cells, twice or not at all; or one without a result counts."""
    rng = np.random.default_rng(seed)
    windows = Windows(_starts(rows, stride), _starts(columns, stride), stride)
    values = rng.random((len(windows.tops), len(windows.lefts), 2)).astype(np.float32)
    values[rng.random(values.shape[:2]) < lost] = np.nan
    total, weight = np.zeros((2, rows, columns)), np.zeros((rows, columns))
    square = np.outer(raised_cosine(), raised_cosine())
    for i, top in enumerate(windows.tops):
        for j, left in enumerate(windows.lefts):
            if not np.isnan(values[i, j, 0]):
                at = slice(top, top + SIDE), slice(left, left + SIDE)
                total[:, *at] += square * values[i, j].astype(float)[:, None, None]
                weight[at] += square
    with np.errstate(invalid="ignore"):
        expected = np.where(weight > 0, total / weight, np.nan)
    blend = Blend(windows, columns, 2)
    found = np.concatenate([blend.add(i, row) for i, row in enumerate(values)], 1)
    # In 1/250, up to the rounding of a half.
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found == 255, np.isnan(expected))
    steps = np.abs(found.astype(float) - 250 * expected)[~np.isnan(expected)]
    assert (steps <= 0.5 + 1e-6).all()


def test_weights_and_steps() -> None:
    """The weights are no raised cosine, or a probability becomes the mark of no data."""
    weights = raised_cosine()
    assert weights.min() > 0
    np.testing.assert_allclose(weights + np.roll(weights, 10), 1)
    np.testing.assert_array_equal(quantised(np.array([0, 0.5, 1, np.nan, 0.0021])), [0, 125, 250, 255, 1])
