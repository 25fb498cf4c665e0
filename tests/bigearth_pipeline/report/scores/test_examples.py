"""Choice of the patches to show."""

import numpy as np
import pytest

from bigearth_pipeline.report.scores.examples import doubts, first_of_each, losses


def test_patches_of_the_same_labels_are_shown_once() -> None:
    """The best patches are all of one kind, or come in another order than that of their losses."""
    labels = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [0, 1]], np.uint8)
    order = np.array([1, 0, 4, 2, 3])
    assert first_of_each(order, labels, 5) == [1, 4, 3]
    assert first_of_each(order, labels, 2) == [1, 4]
    assert first_of_each(order, labels, 0) == []


def test_losses_and_doubts() -> None:
    """A loss or an entropy is not that of its definition, or that of a probability of 0 or 1 is infinite."""
    probabilities = np.array([[0.5, 0.5], [0.25, 1.0], [0.0, 1.0]], np.float16)
    labels = np.array([[1, 0], [1, 1], [1, 0]], np.uint8)
    found = losses(probabilities, labels)
    assert found[:2] == pytest.approx([np.log(2), np.log(4) / 2], abs=2e-4)
    assert 10 < found[2] < 20
    entropy = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75)) / 2
    assert doubts(probabilities) == pytest.approx([1, entropy, 0], abs=3e-3)
