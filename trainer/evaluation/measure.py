"""Evaluation of a model on a split."""

from collections.abc import Collection
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from shards.layout.classes import NINETEEN, Nomenclature
from trainer.data.loader import Loader
from trainer.metrics.metrics import Metrics, compute
from trainer.metrics.thresholds import tune
from trainer.runtime.pace import HostAhead
from trainer.runtime.precision import seek_convolutions
from trainer.runtime.progress import Phase, Progress, Silent, Stopwatch
from trainer.runtime.ranks import Ranks

ALONE: Final = Phase("evaluation")
"""The phase of an evaluation outside of a run."""


def predict(
    model: nn.Module,
    loader: Loader,
    ranks: Ranks | None = None,
    *,
    phase: Phase = ALONE,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the logits of a model, in evaluation mode, and the labels of all patches of a loader.

    Every patch counts once, whatever the number of ranks: what stands in for a patch is left out.

    Args:
        model: takes batches as the loader gives them.
        loader: of a split.
        ranks: this process among those that share the loader's batches; every one gets all results.
        phase: what to report as.
        progress: receives the reports.

    Returns:
        (N, C) float32 logits and (N, C) float32 labels, in the order of the rows.
    """
    model.eval()
    ranks = ranks or Ranks(loader.config.device)
    stopwatch = Stopwatch(phase, loader, progress or Silent())
    host = HostAhead(ranks.device)
    logits, labels, rows, masks = [], [], [], []
    with torch.inference_mode():
        for batch in loader:
            is_full = loader.order.batch_count(stopwatch.step) == loader.config.batch_size
            seek_convolutions(ranks.device, for_these=is_full)
            logits.append(model(batch))
            labels.append(batch["label"])
            rows.append(batch["row"])
            masks.append(batch["mask"])
            host.wait()
            if stopwatch.count():
                host.wait_for_all()
                stopwatch.report()
        # How many patches a mask leaves is known to the device only: asking once for all batches waits once.
        there = torch.cat(masks).nonzero()[:, 0]
        order = ranks.gather(torch.cat(rows)[there]).argsort()
        return ranks.gather(torch.cat(logits)[there])[order], ranks.gather(torch.cat(labels)[there])[order]


def measure(
    logits: Tensor,
    labels: Tensor,
    thresholds: dict[str, float] | None = None,
    *,
    tuned_here: bool | None = False,
    ignored: tuple[str, ...] = (),
    nomenclature: Nomenclature = NINETEEN,
) -> tuple[Metrics, dict[str, float]]:
    """Return the metrics of predictions, and the thresholds that they were measured with beside 0.5.

    Args:
        logits: (N, C) float32.
        labels: (N, C) of 0 and 1.
        thresholds: by class name; None tunes them on these predictions, which is for validation splits only.
        tuned_here: whether the thresholds were tuned on these patches, or on some of them; None if nobody knows.
        ignored: names of classes that are left out.
        nomenclature: the C classes.
    """
    chosen = tune(logits, labels, ignored=ignored, nomenclature=nomenclature) if thresholds is None else thresholds
    here = True if thresholds is None else tuned_here
    found = compute(
        logits,
        labels,
        loss(logits, labels, ignored, nomenclature),
        thresholds=chosen,
        thresholds_tuned_here=here,
        ignored=ignored,
        nomenclature=nomenclature,
    )
    return found, chosen


def loss(logits: Tensor, labels: Tensor, ignored: Collection[str] = (), nomenclature: Nomenclature = NINETEEN) -> float:
    """Return the mean binary cross-entropy, which is what evaluations report whatever a run was trained with.

    Classes that are `ignored` are left out of the mean.
    """
    if ignored:
        names = nomenclature.names
        kept = torch.tensor([i for i, name in enumerate(names) if name not in ignored], device=logits.device)
        logits, labels = logits.index_select(1, kept), labels.index_select(1, kept)
    return float(binary_cross_entropy_with_logits(logits, labels))
