"""Marks of the axes of charts."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from bigearth_pipeline.report.figure.intervals import add_intervals
from bigearth_pipeline.report.figure.lines import Axis, Marks, distinct_names, set_axis
from bigearth_pipeline.report.figure.look import look


@pytest.mark.parametrize(
    "ends",
    [
        (2.662691, 2.666723),
        (0.0, 100.0),
        (-0.00012, -0.00010),
        (1e-5, 9e-4),
        (1234.1, 1234.9),
        (0.0, 1.08e-3),
        (55.448, 55.556),
        (1e6, 1e6 + 3),
    ],
)
def test_each_mark_of_an_axis_reads_as_its_value(ends: tuple[float, float]) -> None:
    """Marks at 2.5e-4 and 7.5e-4 read 3e-4 and 8e-4, or those of values that lie close together read the same."""
    axes = Figure().add_subplot()
    axes.plot(ends, ends)
    set_axis(axes, "x", Axis(words="million parameters"))
    marks = axes.xaxis.get_major_formatter().format_ticks(list(axes.get_xticks()))
    assert len(set(marks)) == len(marks) >= 3
    read = [float(mark.replace("−", "-").replace(",", "")) for mark in marks]
    np.testing.assert_allclose(read, axes.get_xticks(), rtol=1e-9)


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ([0.32, 0.4, 0.48], ["0.32", "0.40", "0.48"]),
        ([-0.5, 0.0, 0.5, 1.0], ["−0.5", "0.0", "0.5", "1.0"]),
        ([0.0, 2e-4, 1e-3], ["0.0000", "0.0002", "0.0010"]),
        ([0.0, 5e-5, 1e-4], ["0", "0.5e−4", "1.0e−4"]),
        ([0.0, 600.0, 1200.0], ["0", "600", "1,200"]),
        ([0.0, 5e29, 1e30], ["0", "0.5e30", "1.0e30"]),
        ([-1e-17, 0.5], ["0.0", "0.5"]),
        ([], []),
        ([0.0], ["0"]),
        ([72.5], ["72.5"]),
    ],
)
def test_marks_of_an_axis_have_the_same_decimals(values: list[float], marks: list[str]) -> None:
    """A mark at 0.4 stands between those at 0.48 and 0.32, or 8e−4 below 0.001."""
    assert Marks().format_ticks(values) == marks


def test_marks_of_intervals_and_of_a_logarithmic_axis_read_as_their_values() -> None:
    """Average precisions at 55.45 and 55.475 stand at marks of 55.5, or a power of ten loses its exponent."""
    axes = Figure().add_subplot()
    with look():
        add_intervals(axes, ["Pastures"], {"test": [(55.5, 55.448, 55.556)]}, "AP, %")
    marks = axes.xaxis.get_major_formatter().format_ticks([55.45, 55.475, 55.5])
    assert marks == ["55.450", "55.475", "55.500"]
    axes.plot([1e-5, 1e5], [1, 2])
    set_axis(axes, "x", Axis(words="seconds", log=True))
    marks = axes.xaxis.get_major_formatter().format_ticks([1e-5, 1e-3, 1.0, 1e5])
    assert marks == ["1e−5", "0.001", "1", "100,000"]


def test_shortened_names_stay_different() -> None:
    """Two series have one name, of which a chart shows the second alone."""
    assert distinct_names(["a", "b" * 26]) == ["a", "b" * 26]
    assert distinct_names(["a", "b" * 30 + "c"]) == ["a", "…" + "b" * 24 + "c"]
    assert distinct_names(["first" + "x" * 30, "second" + "x" * 30]) == [
        "firstxxxxx…" + "x" * 15,
        "secondxxxx…" + "x" * 15,
    ]
    alike = [f"{'x' * 15}{letter}{'x' * 30}" for letter in "abc"]
    found = distinct_names(alike)
    assert len(set(found)) == 3
    assert max(map(len, found)) <= 26
