"""Reliability and temperatures, beside scikit-learn and SciPy."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from bigearth_pipeline.report.scores.calibration import cross_fitted, fit_temperature, reliability, scaled
from bigearth_pipeline.report.scores.mistakes import count_mistakes
from tests.trainer.metrics.predictions import random_predictions


def test_reliability_is_that_of_scikit_learn() -> None:
    """A bin has another mean or share, or the error is not their mean distance."""
    probabilities, labels, _ = random_predictions(500, 5)
    found = reliability(probabilities, labels)
    share, mean = calibration_curve(labels.ravel(), probabilities.astype(float).ravel(), n_bins=15)
    known = found.counts > 0
    np.testing.assert_allclose(found.share[known], share)
    np.testing.assert_allclose(found.mean[known], mean)
    expected = (np.abs(share - mean) * found.counts[known]).sum() / labels.size
    assert found.error == pytest.approx(expected)
    assert found.counts.sum() == labels.size


def test_the_temperature_has_the_lowest_cross_entropy() -> None:
    """Scaling is by a temperature that fits worse than another."""
    probabilities, labels, _ = random_predictions(400, 5)
    probabilities[0, :2] = 0, 1

    def loss(logarithm: float) -> float:
        return float(log_loss(labels.ravel(), scaled(probabilities, np.exp(logarithm)).ravel()))

    best = minimize_scalar(loss, bounds=(-3, 3), options={"xatol": 1e-9})
    assert np.log(fit_temperature(probabilities, labels)) == pytest.approx(best.x, abs=1e-4)
    np.testing.assert_allclose(scaled(probabilities[1:], 1.0), probabilities[1:].astype(float), atol=1e-12)
    logits = np.log(0.8 / 0.2)
    assert scaled(np.full((1, 1), 0.8, np.float16), 2.0)[0, 0] == pytest.approx(1 / (1 + np.exp(-logits / 2)), abs=1e-3)


def test_no_patch_is_scaled_by_a_temperature_of_its_own_tile() -> None:
    """The labels of a tile take part in the temperature that its own patches are scaled by."""
    probabilities, labels, tiles = random_predictions(300, 8)
    values, temperatures = cross_fitted(probabilities, labels, tiles, 8)
    assert len(temperatures) == 5
    other = labels.copy()
    other[tiles == 3] ^= 1
    changed, _ = cross_fitted(probabilities, other, tiles, 8)
    np.testing.assert_array_equal(changed[tiles == 3], values[tiles == 3])
    assert (changed[tiles != 3] != values[tiles != 3]).any()


def test_perfect_predictions_have_a_temperature() -> None:
    """Predictions without an error, whose best temperature is 0, end in an error or in infinity."""
    labels = np.eye(19, dtype=np.uint8)
    temperature = fit_temperature(np.where(labels, 0.9, 0.1).astype(np.float16), labels)
    assert 0 < temperature < 0.05
    assert np.isfinite(scaled(labels.astype(np.float16), temperature)).all()


def test_mistakes_are_counted_by_pairs() -> None:
    """A class that is rightly predicted counts as predicted in place of a missed one."""
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 2, (50, 4), np.uint8), rng.integers(0, 2, (50, 4)).astype(bool)
    found = count_mistakes(predicted, labels)
    for i in range(4):
        missed = [row for row in range(50) if labels[row, i] and not predicted[row, i]]
        assert found.missed[i] == len(missed)
        assert found.missed[i] + found.found[i] == labels[:, i].sum()
        for j in range(4):
            assert found.instead[i, j] == sum(bool(predicted[row, j]) and not labels[row, j] for row in missed)
