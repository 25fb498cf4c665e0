"""Thresholds that are tuned for F1."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from shards import CLASSES
from tests.support.examples import examples
from tests.trainer.metrics.predictions import NUM_CLASSES, predictions
from trainer.metrics.thresholds import THRESHOLD, predict, probabilities, tune


@st.composite
def extreme_predictions(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Return predictions with logits of any size, neighbouring floats among them."""
    number = draw(st.integers(1, 8))
    value = draw(st.floats(-50, 50, width=32))
    near = [float(torch.nextafter(torch.tensor(value), torch.tensor(end))) for end in (-1e9, 1e9)]
    pool = [value, *near, 36.0, 36.5, 40.0, -800.0, -1e30]
    logits = [[draw(st.sampled_from(pool)) for _ in range(number)] for _ in range(2)]
    labels = [[draw(st.integers(0, 1)) for _ in range(number)] for _ in range(2)]
    columns = torch.arange(NUM_CLASSES) % 2
    return torch.tensor(logits).T[:, columns], torch.tensor(labels).T[:, columns].float()


def f1(predicted: list[bool], labels: list[float]) -> Fraction:
    both = sum(p and y == 1 for p, y in zip(predicted, labels, strict=True))
    return Fraction(2 * both, max(1, sum(predicted) + int(sum(labels))))


@examples(60)
@given(st.one_of(predictions(), predictions(steps=3), extreme_predictions()))
def test_no_threshold_does_better(both: tuple[Tensor, Tensor]) -> None:
    """Tuned thresholds are not the best ones, or do not decide as they did when they were chosen."""
    logits, labels = both
    thresholds = tune(logits, labels)
    predicted, scores = predict(logits, thresholds), probabilities(logits)
    for i, name in enumerate(CLASSES):
        truth, column = labels[:, i].tolist(), scores[:, i].tolist()
        # Thresholds between the same two scores decide alike, so one for each score is all there are.
        best = max(f1([score >= cut for score in column], truth) for cut in column)
        assert f1(predicted[:, i].tolist(), truth) == best
        if not any(truth):
            assert thresholds[name] == THRESHOLD


@examples(30)
@given(predictions(min_patches=2))
def test_threshold_is_midway(both: tuple[Tensor, Tensor]) -> None:
    """A threshold sits on a score, where the slightest rounding changes the decision."""
    logits, labels = both
    scores = probabilities(logits)
    for i, threshold in enumerate(tune(logits, labels).values()):
        if labels[:, i].any():
            above = scores[:, i][scores[:, i] >= threshold].min()
            below = torch.cat([scores[:, i][scores[:, i] < threshold], torch.zeros(1)]).max()
            assert threshold == pytest.approx(float(above + below) / 2, rel=1e-12)


def test_neighbouring_probabilities_are_told_apart() -> None:
    """A threshold decides otherwise than it was chosen to where no number lies between two scores."""
    logits, labels = torch.zeros(2, NUM_CLASSES), torch.zeros(2, NUM_CLASSES)
    logits[1], labels[1] = 2e-16, 1
    below, above = probabilities(logits)
    assert (torch.nextafter(below, above) == above).all()
    assert (predict(logits, tune(logits, labels)) == labels.bool()).all()


def test_of_equal_thresholds_the_highest_is_taken() -> None:
    """The choice among several best thresholds depends on the device."""
    logits, labels = torch.zeros(3, NUM_CLASSES), torch.zeros(3, NUM_CLASSES)
    logits[0], logits[2], labels[0], labels[2] = 1.0, -1.0, 1.0, 1.0
    # Cut behind the first: 1 of 2 found, F1 2/3. Behind the second: precision and recall 1/2. Behind all: F1 4/5.
    assert all(
        value == pytest.approx(float(torch.tensor(-1.0).sigmoid()) / 2) for value in tune(logits, labels).values()
    )
    labels[2] = 0
    labels = torch.cat([labels, torch.ones(1, NUM_CLASSES)])
    logits = torch.cat([logits, torch.full((1, NUM_CLASSES), -2.0)])
    # Behind the first: 2/3. Behind all four: 4/6, the same.
    middle = (torch.tensor(1.0).sigmoid() + 0.5) / 2
    assert all(value == pytest.approx(float(middle)) for value in tune(logits, labels).values())


def test_thresholds_are_checked() -> None:
    """Thresholds of other classes, or of logits, are applied to probabilities."""
    logits = torch.zeros(1, NUM_CLASSES)
    with pytest.raises(ValueError, match="Pastures"):
        predict(logits, {name: 0.5 for name in CLASSES if name != "Pastures"})
    with pytest.raises(ValueError, match="unknown: Desert"):
        predict(logits, dict.fromkeys((*CLASSES, "Desert"), 0.5))
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="expected 0 to 1"):
            predict(logits, dict.fromkeys(CLASSES, value))
    assert predict(logits).all()


@given(st.floats(-40, 40, width=32), st.integers(1, 70))
def test_equal_logits_have_equal_probabilities(logit: float, length: int) -> None:
    """The last patches of a split rank before or after others with the same score, which changes average precision."""
    found = probabilities(torch.full((length, 19), logit))
    assert (found == found[0, 0]).all()
