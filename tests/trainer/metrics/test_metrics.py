"""Metrics of a split against scikit-learn, above all of classes that do not occur."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    fbeta_score,
    hamming_loss,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
)
from torch import Tensor

from shards import CLASSES
from tests.support.examples import examples
from tests.trainer.metrics.predictions import NUM_CLASSES, as_arrays, predictions
from trainer.errors import NonFiniteLoss
from trainer.evaluation.measure import measure
from trainer.metrics.decisions import Decisions, Scores
from trainer.metrics.metrics import Metrics, compute

EITHER = st.one_of(predictions(), predictions(steps=2))


def about(value: float) -> object:
    return pytest.approx(value, abs=1e-6)


def expected_scores(predicted: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """Return scikit-learn's F1, F2, precision, recall and accuracy of all decisions at once."""
    y, z = labels.ravel(), predicted.ravel()
    precision, recall, f1, _ = precision_recall_fscore_support(y, z, average="binary", zero_division=0)
    return f1, fbeta_score(y, z, beta=2, zero_division=0), precision, recall, accuracy_score(y, z)


def check_scores(scores: Scores, expected: Sequence[float]) -> None:
    found = (scores.f1, scores.f2, scores.precision, scores.recall, scores.accuracy)
    assert found == tuple(map(about, expected))


def check_decisions(decisions: Decisions, by_class: list[Scores], predicted: np.ndarray, labels: np.ndarray) -> None:
    """Compare decisions with scikit-learn's scores of them, by class, macro and micro."""
    expected = []
    for i, scores in enumerate(by_class):
        if labels[:, i].any():
            expected.append(expected_scores(predicted[:, i], labels[:, i]))
            check_scores(scores, expected[-1])
        else:
            assert scores == Scores(None, None, None, None, None)
    check_scores(decisions.macro, np.mean(expected, axis=0))
    check_scores(decisions.micro, expected_scores(predicted, labels))
    assert decisions.hamming_loss == about(hamming_loss(labels, predicted))
    assert decisions.subset_accuracy == about(accuracy_score(labels, predicted))
    check_negatives(decisions, by_class, predicted, labels)
    if len(labels):
        assert decisions.f1_samples == about(f1_score(labels, predicted, average="samples", zero_division=0))


def check_negatives(decisions: Decisions, by_class: list[Scores], predicted: np.ndarray, labels: np.ndarray) -> None:
    """Compare the specificity with scikit-learn's recall of what is not there."""
    found = []
    for i, scores in enumerate(by_class):
        absent = 1 - labels[:, i]
        if not absent.any() or absent.all():
            assert scores.specificity is None
            continue
        found.append(recall_score(absent, 1 - predicted[:, i]))
        assert scores.specificity == about(found[-1])
    assert decisions.macro.specificity == (about(np.mean(found)) if found else None)
    if labels.any() and not labels.all():
        assert decisions.micro.specificity == about(recall_score(1 - labels.ravel(), 1 - predicted.ravel()))


@examples(30)
@given(EITHER)
def test_auroc_is_scikit_learns(both: tuple[Tensor, Tensor]) -> None:
    """Ties count as right, or a class that is in no patch or in all of them has an area."""
    metrics = compute(*both, 0.5)
    scores, labels = as_arrays(*both)
    known = []
    for i, found in enumerate(metrics.classes.values()):
        if labels[:, i].all() or not labels[:, i].any():
            assert found.auroc is None
            continue
        known.append(roc_auc_score(labels[:, i], scores[:, i]))
        assert found.auroc == about(known[-1])
    assert metrics.auroc_macro == (about(np.mean(known)) if known else None)
    mixed = labels.any() and not labels.all()
    assert metrics.auroc_micro == (about(roc_auc_score(labels.ravel(), scores.ravel())) if mixed else None)


def test_metrics_of_before_are_read() -> None:
    """Checkpoints of earlier runs cannot be read any more."""
    values = compute(torch.randn(5, 19), torch.eye(19)[:5], 0.5).to_json()
    old = {name: value for name, value in values.items() if not name.startswith("auroc")}
    old["classes"] = {
        name: {key: value for key, value in found.items() if key != "auroc"} for name, found in old["classes"].items()
    }
    for decisions in (old["fixed"], *(found["fixed"] for found in old["classes"].values())):
        decisions.pop("f1_samples", None)
        for scores in (decisions, *(decisions[name] for name in ("macro", "macro_all", "micro") if name in decisions)):
            scores.pop("specificity", None)
    found = Metrics.from_json(old)
    assert (found.auroc_macro, found.fixed.f1_samples, found.fixed.micro.specificity) == (None, None, None)
    assert found.ap_macro == values["ap_macro"]


@examples(30)
@given(EITHER)
def test_average_precision_is_scikit_learns(both: tuple[Tensor, Tensor]) -> None:
    """Published figures cannot be compared with ours."""
    metrics = compute(*both, 0.5)
    scores, labels = as_arrays(*both)
    by_class = [
        float(average_precision_score(labels[:, i], scores[:, i])) if labels[:, i].any() else None
        for i in range(NUM_CLASSES)
    ]
    for found, expected in zip(metrics.classes.values(), by_class, strict=True):
        assert found.ap == (None if expected is None else about(expected))
    present = [value for value in by_class if value is not None]
    if present:
        assert metrics.ap_macro == about(sum(present) / len(present))
        assert metrics.ap_micro == about(average_precision_score(labels.ravel(), scores.ravel()))
        assert metrics.label_frequency == about(labels[:, labels.any(0)].mean())
        assert metrics.label_frequency_micro == about(labels.mean())


@examples(30)
@given(EITHER, st.lists(st.floats(0, 1), min_size=NUM_CLASSES, max_size=NUM_CLASSES))
def test_decisions_are_scored_as_by_scikit_learn(both: tuple[Tensor, Tensor], values: list[float]) -> None:
    """F1, precision, recall or accuracy is wrong, at 0.5 or at thresholds by class."""
    scores, labels = as_arrays(*both)
    if not labels.any():
        return
    probabilities = 1 / (1 + np.exp(-scores))
    # NumPy's and torch's exponential may differ in the last digit, so no threshold is right at a probability.
    values = [v if not np.isclose(probabilities[:, i], v, atol=1e-12).any() else 0.5 for i, v in enumerate(values)]
    metrics = compute(*both, 0.5, thresholds=dict(zip(CLASSES, values, strict=True)))
    assert metrics.tuned is not None
    classes = metrics.classes.values()
    check_decisions(metrics.fixed, [values.fixed for values in classes], (scores >= 0).astype(int), labels)
    tuned = [values.tuned for values in classes if values.tuned is not None]
    check_decisions(metrics.tuned, tuned, (probabilities >= values).astype(int), labels)
    assert (metrics.f1_macro, metrics.f1_micro) == (metrics.fixed.macro.f1, metrics.fixed.micro.f1)


def test_absent_classes_are_absent() -> None:
    """A class without patches counts as a failure of the model and lowers the macro mean."""
    logits, labels = torch.full((8, 19), -3.0), torch.zeros(8, 19)
    labels[:4, 2], logits[:4, 2] = 1, 3.0
    metrics = compute(logits, labels, 0.0)
    assert metrics.ap_macro == metrics.f1_macro == metrics.fixed.macro.f2 == metrics.fixed.macro.accuracy == 1.0
    assert metrics.label_frequency == 0.5
    for name, values in metrics.classes.items():
        expected = (4, 1.0, 1.0) if name == CLASSES[2] else (0, None, None)
        assert (values.positives, values.ap, values.f1) == expected
        assert (values.calibration_error is None) == (name != CLASSES[2])


@examples(30)
@given(EITHER)
def test_false_positives_of_absent_classes_count_in_scikit_learns_mean(both: tuple[Tensor, Tensor]) -> None:
    """Wrong predictions of classes that a subset lacks leave no trace in any macro mean."""
    logits, labels = both
    labels[:, ::2] = 0
    scores, targets = as_arrays(logits, labels)
    metrics = compute(logits, labels, 0.5, thresholds=dict.fromkeys(CLASSES, 0.5))
    assert metrics.tuned is not None
    for decisions in (metrics.fixed, metrics.tuned):
        assert decisions.macro_all is not None
        predicted, options = (scores >= 0).astype(int), {"average": "macro", "zero_division": 0}
        assert decisions.macro_all.f1 == about(f1_score(targets, predicted, **options))
        assert decisions.macro_all.f2 == about(fbeta_score(targets, predicted, beta=2, **options))
        precision, recall, _, _ = precision_recall_fscore_support(targets, predicted, **options)
        assert (decisions.macro_all.precision, decisions.macro_all.recall) == (about(precision), about(recall))
    assert metrics.to_json()["f1_macro_all"] == metrics.f1_macro_all == metrics.fixed.macro_all.f1


def test_a_false_positive_of_an_absent_class_shows() -> None:
    """The two macro means of F1 are the same, or mixed up."""
    logits, labels = torch.full((4, 19), -3.0), torch.zeros(4, 19)
    labels[:, 0], logits[:, 0] = 1, 3.0
    assert compute(logits, labels, 0.0).f1_macro == 1.0
    logits[:, 1] = 3.0
    metrics = compute(logits, labels, 0.0)
    assert metrics.f1_macro == 1.0
    assert metrics.f1_macro_all == about(1 / 19)
    assert metrics.fixed.macro_all is not None
    assert metrics.fixed.macro_all.accuracy == about(18 / 19)


def test_where_thresholds_were_tuned_is_said() -> None:
    """Scores at thresholds tuned on the same patches look like those on others."""
    logits, labels = torch.randn(4, 19), torch.ones(4, 19)
    thresholds = dict.fromkeys(CLASSES, 0.5)
    assert compute(logits, labels, 0.0).to_json()["thresholds_tuned_here"] is None
    for here in (False, True):
        metrics = compute(logits, labels, 0.0, thresholds=thresholds, thresholds_tuned_here=here)
        assert metrics.to_json()["thresholds_tuned_here"] is here
        assert Metrics.from_json(json.loads(json.dumps(metrics.to_json()))) == metrics
    found, chosen = measure(logits, labels)
    assert found.thresholds_tuned_here is True
    assert measure(logits, labels, chosen)[0].thresholds_tuned_here is False


def test_metrics_of_the_first_version_are_read() -> None:
    """The checkpoint of a run of the first version can no longer be shown or resumed."""
    values = compute(torch.randn(4, 19), torch.ones(4, 19), 0.0, thresholds=dict.fromkeys(CLASSES, 0.5)).to_json()
    del values["thresholds_tuned_here"], values["f1_macro_all"]
    for decisions in (values["fixed"], values["tuned"]):
        del decisions["macro_all"]
    metrics = Metrics.from_json(json.loads(json.dumps(values)))
    assert (metrics.f1_macro_all, metrics.thresholds_tuned_here) == (None, True)
    assert metrics.to_json()["tuned"]["macro"] == values["tuned"]["macro"]


def test_scores_that_float32_cannot_tell_apart_are_ranked() -> None:
    """A model that is sure of itself gets ties for its highest scores, and a wrong average precision."""
    logits, labels = torch.zeros(2, 19), torch.zeros(2, 19)
    logits[0], logits[1], labels[1] = 18.0, 19.0, 1.0
    assert compute(logits, labels, 0.0).ap_macro == 1.0


@examples(30)
@given(EITHER, st.booleans())
def test_json_holds_all_and_no_nan(both: tuple[Tensor, Tensor], unlabelled: bool) -> None:
    """A split with patches or classes without labels crashes, or leaves a file that is no JSON."""
    logits, labels = both
    if unlabelled:
        labels = torch.zeros_like(labels)
    metrics = compute(logits, labels, 0.25, thresholds=dict.fromkeys(CLASSES, 0.3))
    values = json.loads(json.dumps(metrics.to_json(), allow_nan=False))
    assert tuple(values["classes"]) == CLASSES
    assert (values["count"], values["loss"], values["thresholds"]["Pastures"]) == (len(logits), 0.25, 0.3)
    for name in ("ap_macro", "ap_micro", "f1_macro", "f1_micro", "label_frequency", "calibration_error"):
        assert values[name] == getattr(metrics, name)
        assert (values[name] is None) == (not labels.any())
    assert values["tuned"]["macro"]["recall"] == (metrics.tuned and metrics.tuned.macro.recall)
    assert compute(logits, labels, 0.25).to_json()["tuned"] is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_predictions_are_refused(value: float) -> None:
    """A model that has diverged gets metrics, and may even be the best of its run."""
    logits = torch.zeros(4, 19)
    with pytest.raises(NonFiniteLoss, match="4 patches"):
        compute(logits, torch.zeros(4, 19), value)
    logits[1] = value
    with pytest.raises(NonFiniteLoss, match="1 of them"):
        compute(logits, torch.zeros(4, 19), 0.1)


def test_wrong_arguments_are_refused() -> None:
    """Metrics of something else than the predictions of a split come out without a word."""
    with pytest.raises(ValueError, match=r"\(4, 19\).*\(3, 19\)"):
        compute(torch.zeros(4, 19), torch.zeros(3, 19), 0.0)
    with pytest.raises(ValueError, match=r"expected \(N, 19\)"):
        compute(torch.zeros(4, 5), torch.zeros(4, 5), 0.0)
    with pytest.raises(ValueError, match="N at least 1"):
        compute(torch.zeros(0, 19), torch.zeros(0, 19), 0.0)
    with pytest.raises(ValueError, match="0 and 1"):
        compute(torch.zeros(4, 19), torch.full((4, 19), 0.5), 0.0)
