"""Ranking of the classes of a patch, against scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import coverage_error, label_ranking_average_precision_score
from torch import Tensor

from tests.support.examples import examples
from tests.trainer.metrics.predictions import NUM_CLASSES, as_arrays, predictions
from trainer.metrics import ranking
from trainer.metrics.ranking import Ranking, rank


@examples(60)
@given(st.one_of(predictions(), predictions(steps=2)))
def test_ranking_is_scikit_learns(both: tuple[Tensor, Tensor]) -> None:
    """Ranking metrics cannot be compared with published ones, or patches without labels lower them."""
    found = rank(both[0], both[1].long())
    scores, labels = as_arrays(*both)
    labelled = labels.any(1)
    scores, labels = scores[labelled], labels[labelled]
    if not len(scores):
        assert found == Ranking(None, None, None)
        return
    assert found.average_precision == pytest.approx(label_ranking_average_precision_score(labels, scores))
    assert found.coverage == pytest.approx(coverage_error(labels, scores))
    wrong = [1 - y[s == s.max()].mean() for s, y in zip(scores, labels, strict=True)]
    assert found.one_error == pytest.approx(np.mean(wrong))


def test_ranking_is_the_same_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A split of more than one chunk loses patches or weighs them unequally."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, NUM_CLASSES, generator=generator)
    labels = (torch.rand(50, NUM_CLASSES, generator=generator) < 0.2).long()
    whole = rank(logits, labels)
    monkeypatch.setattr(ranking, "CHUNK", 7)
    parts = rank(logits, labels)
    for name in Ranking.__dataclass_fields__:
        assert getattr(parts, name) == pytest.approx(getattr(whole, name))
