"""Average precision and F1 in resamples, beside scikit-learn with the weights of the resamples."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from tests.trainer.metrics.predictions import random_predictions
from trainer.metrics.intervals.average_precision import average_precisions
from trainer.metrics.intervals.bootstrap import draw
from trainer.metrics.intervals.f1 import f1_scores


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
