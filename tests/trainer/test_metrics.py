"""Metrics, above all of classes that do not occur."""

import pytest
import torch

from shards import CLASSES
from trainer.metrics import compute


def average_precision(scores: list[float], labels: list[int]) -> float:
    """Average precision by its definition, for scores without ties: mean precision at the ranks of the positives."""
    ranked = [label for _, label in sorted(zip(scores, labels, strict=True), reverse=True)]
    hits = [sum(ranked[: i + 1]) / (i + 1) for i, label in enumerate(ranked) if label]
    return sum(hits) / len(hits)


def test_metrics_follow_their_definitions() -> None:
    """Published figures cannot be compared with ours."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(60, 19, generator=generator)
    labels = (torch.rand(60, 19, generator=generator) < 0.3).float()
    metrics = compute(logits, labels, 0.5)
    by_class = [average_precision(logits[:, i].tolist(), labels[:, i].int().tolist()) for i in range(19)]
    assert [values.ap for values in metrics.classes.values()] == pytest.approx(by_class, abs=1e-6)
    assert metrics.ap_macro == pytest.approx(sum(by_class) / 19, abs=1e-6)
    micro = average_precision(logits.flatten().tolist(), labels.flatten().int().tolist())
    assert metrics.ap_micro == pytest.approx(micro, abs=1e-6)
    predicted = logits > 0
    both = (predicted & labels.bool()).sum(0)
    f1 = 2 * both / (predicted.sum(0) + labels.sum(0))
    assert metrics.f1_macro == pytest.approx(float(f1.mean()), abs=1e-6)
    assert metrics.f1_micro == pytest.approx(float(2 * both.sum() / (predicted.sum() + labels.sum())), abs=1e-6)
    assert metrics.label_frequency == pytest.approx(float(labels.mean()), abs=1e-6)


def test_absent_classes_are_absent() -> None:
    """A class without patches counts as a failure of the model and lowers the macro mean."""
    logits, labels = torch.full((8, 19), -3.0), torch.zeros(8, 19)
    labels[:4, 2], logits[:4, 2] = 1, 3.0
    metrics = compute(logits, labels, 0.0)
    assert metrics.ap_macro == metrics.f1_macro == 1.0
    assert metrics.label_frequency == 0.5
    for name, values in metrics.classes.items():
        present = name == CLASSES[2]
        assert (values.positives, values.ap, values.f1) == ((4, 1.0, 1.0) if present else (0, None, None))


def test_a_split_without_labels_has_no_metrics() -> None:
    """A split in which no class occurs ends in a division by zero, or in NaN in a JSON file."""
    metrics = compute(torch.zeros(3, 19), torch.zeros(3, 19), 0.0)
    assert metrics.ap_macro is metrics.ap_micro is metrics.f1_macro is metrics.f1_micro is None
    assert metrics.label_frequency is None
