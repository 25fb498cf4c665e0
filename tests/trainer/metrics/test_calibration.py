"""Calibration, against NumPy and torchmetrics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error

from tests.support.examples import examples
from tests.trainer.metrics.predictions import NUM_CLASSES, predictions
from trainer.metrics.calibration import NUM_BINS, calibration_error
from trainer.metrics.thresholds import probabilities


def expected_calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the error by its definition, bin by bin."""
    total = 0.0
    for i in range(NUM_BINS):
        inside = (scores >= i / NUM_BINS) & ((scores < (i + 1) / NUM_BINS) | (i == NUM_BINS - 1))
        if inside.any():
            total += inside.sum() * abs(scores[inside].mean() - labels[inside].mean())
    return total / scores.size


@examples(50)
@given(st.one_of(predictions(), predictions(steps=2)), st.integers(1, 5))
def test_calibration_error_follows_its_definition(both: tuple[Tensor, Tensor], factor: int) -> None:
    """The calibration error is wrong, for instance where a probability is exactly 1."""
    scores, targets = probabilities(factor * both[0]), both[1].long()
    micro, by_class = calibration_error(scores, targets)
    p, y = scores.numpy(), targets.numpy()
    assert micro == pytest.approx(expected_calibration_error(p, y), abs=1e-12)
    expected = [expected_calibration_error(p[:, i], y[:, i]) for i in range(NUM_CLASSES)]
    assert by_class == pytest.approx(expected, abs=1e-12)
    if float(scores.max()) < 1:
        theirs = binary_calibration_error(scores.flatten(), targets.flatten(), n_bins=NUM_BINS)
        assert micro == pytest.approx(float(theirs), abs=1e-6)
