"""The part of the map that is enlarged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigearth_pipeline.report.figure.map import View
from bigearth_pipeline.report.store.places import Places, busiest, in_cells


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    size=st.sampled_from([1e3, 1e5, 4e6]),
    groups=st.integers(1, 5),
)
def test_the_frame_encloses_the_cells_of_the_enlarged_part_and_no_other(
    seed: int, count: int, size: float, groups: int
) -> None:
    """The map has a patch in its frame that the enlarged part lacks, for the frame is drawn larger than the part."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform(2e6, 2e6 + size, (groups, 2))
    points = middles[rng.integers(0, groups, count)] + rng.normal(0, 20_000, (count, 2))
    places = Places(points, np.arange(count), rng.integers(0, 3, count), {}, 0)
    view = View.around(points, 600_000)
    cells = in_cells(places, view, 3)
    part, inside = busiest(places, cells)
    # As `draw_map` has it: a frame that is smaller cannot be seen.
    assert part.width == pytest.approx(part.height)
    assert part.width >= max(60_000, view.width / 25)
    corners = np.array([(part.left, part.bottom), (part.right, part.top)])
    np.testing.assert_array_equal(inside, ((points >= corners[0]) & (points < corners[1])).all(axis=1))
    middle = cells.corners + cells.side / 2
    enclosed = ((middle > corners[0]) & (middle < corners[1])).all(axis=1)
    assert cells.counts[enclosed].sum() == inside.sum() >= 1
