"""Axes of whole numbers."""

from matplotlib.figure import Figure

from bigearth_pipeline.report.figure.lines import Axis, set_axis


def test_one_epoch_has_no_fractions() -> None:
    """The axis of a run of one epoch counts 0.95, 0.975, 1."""
    axes = Figure().subplots()
    axes.plot([1], [0.5])
    set_axis(axes, "x", Axis(words="epoch", whole=True))
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
