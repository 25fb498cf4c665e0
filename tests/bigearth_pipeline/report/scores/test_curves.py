"""Curves of precision and recall, beside scikit-learn."""

import numpy as np
from sklearn.metrics import precision_recall_curve

from bigearth_pipeline.report.scores.curves import precision_recall, thinned
from tests.trainer.metrics.predictions import random_predictions


def test_curves_are_those_of_scikit_learn() -> None:
    """Precision or recall is wrong at a threshold, or thinning moves a point or loses an end."""
    probabilities, labels, _ = random_predictions(3000, 2)
    curve = precision_recall(probabilities[:, 2], labels[:, 2])
    precision, recall, _ = precision_recall_curve(labels[:, 2], probabilities[:, 2].astype(float))
    np.testing.assert_allclose(curve.recall, recall[-2::-1])
    np.testing.assert_allclose(curve.precision, precision[-2::-1])
    few = thinned(curve, 20)
    assert 10 < len(few.recall) <= 20
    assert (few.recall[0], few.recall[-1]) == (curve.recall[0], 1)
    points = set(zip(curve.recall.tolist(), curve.precision.tolist(), strict=True))
    assert set(zip(few.recall.tolist(), few.precision.tolist(), strict=True)) <= points
    for at in np.unique(few.recall):
        fall, shown = curve.precision[curve.recall == at], few.precision[few.recall == at]
        assert (shown.max(), shown.min()) == (fall.max(), fall.min())
