"""Average precision and F1 in resamples, beside scikit-learn with the weights of the resamples."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve

from bigearth_pipeline.report.scores.average_precision import average_precisions
from bigearth_pipeline.report.scores.bootstrap import draw
from bigearth_pipeline.report.scores.curves import precision_recall, thinned
from bigearth_pipeline.report.scores.f1 import f1_scores
from tests.bigearth_pipeline.report.predicted import random_predictions


@pytest.mark.parametrize("seed", [0, 1])
def test_resampled_scores_are_those_of_weighted_patches(seed: int) -> None:
    """A resample's average precision or F1 is not that of the patches that it holds."""
    probabilities, labels, tiles = random_predictions(200, 7, seed)
    labels[:, 3], labels[:, 4] = 0, 1
    weights = np.hstack([np.ones((7, 1)), draw(7, 110)])
    found = average_precisions(probabilities, labels, tiles, weights)
    predicted = probabilities >= 0.4
    f1 = f1_scores(predicted, labels, tiles, weights)
    for column in (0, 1, 60, 110):
        drawn = weights[tiles, column]
        for i in (0, 4, 18):
            if not (drawn * labels[:, i]).any():
                assert np.isnan(found.classes[i, column])
                continue
            expected = average_precision_score(labels[:, i], probabilities[:, i].astype(float), sample_weight=drawn)
            assert found.classes[i, column] == pytest.approx(expected, abs=1e-12)
            expected = f1_score(labels[:, i], predicted[:, i], sample_weight=drawn)
            assert f1.classes[i, column] == pytest.approx(expected, abs=1e-12)
        every = np.repeat(drawn, labels.shape[1])
        scores = probabilities.astype(float).ravel()
        assert found.micro[column] == pytest.approx(
            average_precision_score(labels.ravel(), scores, sample_weight=every), abs=1e-12
        )
        assert f1.micro[column] == pytest.approx(
            f1_score(labels.ravel(), predicted.ravel(), sample_weight=every), abs=1e-12
        )
    assert np.isnan(found.classes[3]).all()
    assert np.isnan(f1.classes[3]).all()


def test_a_split_without_classes_has_no_scores() -> None:
    """Patches without any class end in an error, or score 0."""
    probabilities, labels, tiles = random_predictions(5, 2)
    found = average_precisions(probabilities, 0 * labels, tiles, np.ones((2, 1)))
    assert np.isnan(found.classes).all()
    assert np.isnan(found.micro).all()


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
