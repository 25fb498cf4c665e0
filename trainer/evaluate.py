"""Evaluation of a model on a split."""

from typing import Final

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from trainer.loader import Loader
from trainer.metrics import Metrics, compute
from trainer.models import logits
from trainer.progress import Phase, Progress, Silent, Stopwatch

ALONE: Final = Phase("evaluation")
"""The phase of an evaluation outside of a run."""


@torch.inference_mode()
def evaluate(model: nn.Module, loader: Loader, phase: Phase = ALONE, progress: Progress | None = None) -> Metrics:
    """Return the metrics of a model, in evaluation mode, on all patches of a loader."""
    model.eval()
    stopwatch = Stopwatch(phase, loader, progress or Silent())
    all_logits, all_labels = [], []
    for batch in loader.epoch():
        all_logits.append(logits(model, batch.images))
        all_labels.append(batch.labels)
        if stopwatch.count(len(batch)):
            stopwatch.report()
    predicted, labels = torch.cat(all_logits), torch.cat(all_labels)
    return compute(predicted, labels, float(binary_cross_entropy_with_logits(predicted, labels)))
