"""Marks of the axes of charts."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from bigearth_pipeline.report.figure.lines import Axis, set_axis


@pytest.mark.parametrize(
    "ends", [(2.662691, 2.666723), (0.0, 100.0), (-0.00012, -0.00010), (1e-5, 9e-4), (1234.1, 1234.9)]
)
def test_no_two_marks_of_an_axis_read_the_same(ends: tuple[float, float]) -> None:
    """Values that lie close together (parameters of similar runs) stand at marks that all read 2.66 and 2.67."""
    axes = Figure().add_subplot()
    axes.plot(ends, ends)
    set_axis(axes, "x", Axis(words="million parameters"))
    marks = axes.xaxis.get_major_formatter().format_ticks(list(axes.get_xticks()))
    assert len(set(marks)) == len(marks) >= 3
    read = [float(mark.replace("−", "-").replace(",", "")) for mark in marks]
    np.testing.assert_allclose(read, axes.get_xticks(), rtol=1e-3 if ends[1] > 1 else 0.1)
