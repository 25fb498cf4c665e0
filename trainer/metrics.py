"""Quality of multi-label predictions over a split: average precision and F1, by class, macro and micro."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from torch import Tensor
from torchmetrics.functional.classification import (
    binary_average_precision,
    binary_f1_score,
)

from shards import CLASSES

THRESHOLD: Final = 0.5
"""Probability from which on a class counts as predicted, for F1."""


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Metrics of one class; None where no patch of the split has the class, since there is nothing to find.

    Attributes:
        positives: patches that have the class.
        ap: average precision, 0 to 1.
        f1: F1 at `THRESHOLD`, 0 to 1.
    """

    positives: int
    ap: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a split. Macro: mean over the classes that occur in it; micro: over all patches and classes at once.

    Attributes:
        count: patches.
        loss: mean binary cross-entropy.
        ap_macro: average precision; None if no class occurs.
        ap_micro: as above.
        f1_macro: F1; None if no class occurs.
        f1_micro: as above.
        label_frequency: mean over the occurring classes of the share of patches that have it, which is the macro
            average precision of guessing; None if no class occurs.
        classes: by class name.
    """

    count: int
    loss: float
    ap_macro: float | None
    ap_micro: float | None
    f1_macro: float | None
    f1_micro: float | None
    label_frequency: float | None
    classes: dict[str, ClassMetrics]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def compute(logits: Tensor, labels: Tensor, loss: float) -> Metrics:
    """Return the metrics of a split.

    Args:
        logits: (N, 19) float32.
        labels: (N, 19) of 0 and 1.
        loss: mean binary cross-entropy.
    """
    # torchmetrics takes numbers outside of 0 to 1 for logits; given probabilities it has nothing to guess.
    scores, targets = logits.sigmoid(), labels.long()
    positives = targets.sum(0).tolist()
    # Class by class, as torchmetrics' multi-label function counts a class without positives as 0 in its macro mean.
    classes = {
        name: ClassMetrics(
            positives=count,
            ap=float(binary_average_precision(scores[:, i], targets[:, i])) if count else None,
            f1=float(binary_f1_score(scores[:, i], targets[:, i], THRESHOLD)) if count else None,
        )
        for i, (name, count) in enumerate(zip(CLASSES, positives, strict=True))
    }
    any_positives = sum(positives) > 0
    frequencies = [count / len(labels) for count in positives if count]
    return Metrics(
        count=len(labels),
        loss=loss,
        ap_macro=_mean([c.ap for c in classes.values()]),
        ap_micro=float(binary_average_precision(scores.flatten(), targets.flatten())) if any_positives else None,
        f1_macro=_mean([c.f1 for c in classes.values()]),
        f1_micro=float(binary_f1_score(scores.flatten(), targets.flatten(), THRESHOLD)) if any_positives else None,
        label_frequency=_mean(frequencies),
        classes=classes,
    )


def _mean(values: list[float | None] | list[float]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
