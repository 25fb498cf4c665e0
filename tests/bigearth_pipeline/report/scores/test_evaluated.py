"""Scores of an evaluation in place of those of its rounded predictions."""

from dataclasses import asdict
from typing import Any

import pytest
import torch

from bigearth_pipeline.report.scores.evaluated import metrics_of, with_values
from shards.layout.classes import FORTY_THREE, NINETEEN
from trainer.metrics.intervals.table import score
from trainer.metrics.metrics import Metrics, compute
from trainer.runs.predictions import Predictions

ABOUT: dict[str, Any] = {"rows_sha256": "a", "manifest_sha256": "b", "epoch": 2, "checkpoint": None, "averaged": None}


@pytest.fixture(scope="module")
def evaluated() -> tuple[Metrics, Predictions]:
    """Logits so near to each other that their probabilities are one number in float16."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(60, 19, generator=generator) < 0.3).to(torch.uint8)
    logits = 1 + 1e-4 * (labels + torch.randn(60, 19, generator=generator))
    predictions = Predictions.of([f"p{i}" for i in range(60)], logits, labels)
    return compute(logits, labels, 0.5), predictions


def test_a_page_has_the_scores_of_the_evaluation(evaluated: tuple[Metrics, Predictions]) -> None:
    """A page has another average precision than the table of runs, since probabilities in files are rounded."""
    metrics, predictions = evaluated
    rounded = score(predictions.probabilities, predictions.labels, None, None)
    found = with_values(rounded, metrics)
    assert rounded.ap[19].value != pytest.approx(metrics.ap_macro, abs=0.01)
    assert found.ap[19].value == metrics.ap_macro
    assert found.ap[20].value == metrics.ap_micro
    assert [each.value for each in found.ap[:19]] == [each.ap for each in metrics.classes.values()]
    assert found.f1[19].value == metrics.f1_macro
    assert with_values(rounded, None) is rounded


@pytest.mark.parametrize("change", ["rows_sha256", "manifest_sha256", "epoch", "checkpoint", "averaged", "thresholds"])
def test_results_of_other_predictions_are_not_taken(evaluated: tuple[Metrics, Predictions], change: str) -> None:
    """Scores of an evaluation of before, or of other patches, stand on a page about these."""
    results = ABOUT | asdict(evaluated[0])
    about = ABOUT | {"thresholds": results["thresholds"]}
    found = metrics_of(results, about, NINETEEN)
    assert found is not None
    assert found.ap_macro == evaluated[0].ap_macro
    assert metrics_of(results, about | {change: "other"}, NINETEEN) is None
    assert metrics_of(results, about, FORTY_THREE) is None
    assert metrics_of(None, about, NINETEEN) is None
    assert metrics_of(results | {"ranking": 1}, about, NINETEEN) is None
