"""Maps over pictures."""

import numpy as np

from bigearth_pipeline.report.figure.overlay import limit_of, overlay


def test_signs_have_colours_and_zero_has_none() -> None:
    """A place without effect hides the picture, or for and against look the same."""
    picture = np.full((10, 10, 3), 90, np.uint8)
    values = np.zeros((10, 10))
    values[:3], values[7:] = 2, -2
    found = overlay(picture, values).astype(int)
    assert (found[4:6] == 90).all()
    assert found[0, 0, 0] > found[0, 0, 2] + 60  # Orange: more red than blue.
    assert found[9, 9, 2] > found[9, 9, 0] + 20  # Purple.
    assert limit_of(values) == 2
    np.testing.assert_array_equal(overlay(picture, 5 * values), found)
    np.testing.assert_array_equal(overlay(picture, np.zeros((10, 10))), picture)
    single = np.zeros((40, 40))
    single[0, 0] = -3
    assert limit_of(single) == 3
