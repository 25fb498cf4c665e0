"""Losses of multi-label classification, each as one number for every patch.

A label between 0 and 1, as MixUp and smoothing make them, counts in part: the loss is y times that of a class that is
there plus 1 − y times that of one that is not. All are computed in float32 and finite for all finite logits.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from shards.errors import InvalidValue
from trainer.definition.optimisation import LossConfig

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From logits (n, C) of any float type and labels (n, C) float of 0 to 1 to losses (n,) float32: means over classes."""

ASYMMETRIC_GAMMA_NEGATIVE: Final = 4.0
ASYMMETRIC_GAMMA_POSITIVE: Final = 1.0
ASYMMETRIC_MARGIN: Final = 0.05
"""Defaults of the authors' code (Alibaba-MIIL/ASL). The paper's own runs on MS-COCO have a positive gamma of 0; with 1,
classes that are there and found still count less than those that are missed, as in the focal loss."""

FOCAL_GAMMA: Final = 2.0
FOCAL_ALPHA: Final = 0.25
"""The best values of the paper's table 1b, and the defaults of torchvision."""


def create(
    config: LossConfig,
    class_counts: Mapping[str, int],
    count: int,
    device: torch.device | str = "cpu",
    *,
    ignored: Collection[str] = (),
) -> Loss:
    """Return a loss.

    Args:
        config: which one.
        class_counts: patches of the train split by class name, in the order of the logits.
        count: patches of the train split.
        device: where the logits will be.
        ignored: names of classes that are left out: the loss is the mean over the others.

    Raises:
        ValueError: the counts do not fit together.
    """
    weights: Tensor | None = None
    if config.positive_weights:
        # On the device from the start: a copy in every step would make the host wait.
        weights = positive_weights(class_counts, count, config.max_positive_weight).to(device)

    kept: Tensor | None = None
    if ignored:
        kept = torch.tensor([i for i, name in enumerate(class_counts) if name not in ignored], device=device)
        weights = None if weights is None else weights[kept]

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if kept is not None:
            logits, labels = logits.index_select(1, kept), labels.index_select(1, kept)
        smooth = labels * (1 - config.label_smoothing) + config.label_smoothing / 2
        if config.loss == "asymmetric":
            return asymmetric(logits, smooth)
        if config.loss == "focal":
            return focal(logits, smooth)
        return bce(logits, smooth, weights)

    return loss


def positive_weights(class_counts: Mapping[str, int], count: int, cap: float) -> Tensor:
    """Return how much each class counts where it is there, (C,) float32: negatives / positives, 1 to `cap`.

    Where neither end cuts it off, both sides of a class weigh the same. A class without positives gets 1.

    Raises:
        ValueError: a class has more patches than there are, or fewer than none.
    """
    weights = []
    for name, positives in class_counts.items():
        if not 0 <= positives <= count:
            raise InvalidValue(f"{name} is in {positives} patches, expected 0 to {count}, which is all of them")
        ratio = (count - positives) / positives if positives else 1.0
        # A class that most patches have needs no help, and must not lose its positives if all have it.
        weights.append(min(max(ratio, 1.0), cap))
    return torch.tensor(weights, dtype=torch.float32)


def bce(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the binary cross-entropy, (n,) float32.

    Args:
        logits: (n, C).
        labels: (n, C) of 0 to 1.
        weights: (C,), factors of the loss of positives.
    """
    return binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none", pos_weight=weights).mean(
        1
    )


def asymmetric(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the asymmetric loss, (n,) float32, of logits (n, C) and labels (n, C) of 0 to 1.

    Source: Ridnik et al., "Asymmetric loss for multi-label classification" (ICCV 2021). The gradient goes through the
    focusing factor too, as in the paper's analysis of it and by default in the authors' code.
    """
    logits, labels = logits.float(), labels.float()
    probabilities = logits.sigmoid()
    # `logsigmoid` where the authors take the logarithm of at least 1e-8, which leaves a class that is missed by more
    # than a logit of 18 without any gradient.
    positive = -logsigmoid(logits) * (1 - probabilities) ** ASYMMETRIC_GAMMA_POSITIVE
    # The margin keeps the logarithm away from 0 by itself.
    shifted = (probabilities - ASYMMETRIC_MARGIN).clamp(min=0)
    negative = -torch.log(1 - shifted) * shifted**ASYMMETRIC_GAMMA_NEGATIVE
    return (labels * positive + (1 - labels) * negative).mean(1)


def focal(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the focal loss, (n,) float32, of logits (n, C) and labels (n, C) of 0 to 1.

    Source: Lin et al., "Focal loss for dense object detection" (ICCV 2017), equation 5.
    """
    logits, labels = logits.float(), labels.float()
    probabilities = logits.sigmoid()
    positive = -FOCAL_ALPHA * (1 - probabilities) ** FOCAL_GAMMA * logsigmoid(logits)
    negative = -(1 - FOCAL_ALPHA) * probabilities**FOCAL_GAMMA * logsigmoid(-logits)
    return (labels * positive + (1 - labels) * negative).mean(1)
