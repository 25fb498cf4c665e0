"""From which probability on a class counts as predicted: 0.5, or what does best on the validation split."""

from collections.abc import Collection, Mapping
from typing import Final

import torch
from torch import Tensor

from shards.errors import InvalidValue
from shards.layout.classes import NINETEEN, Nomenclature

THRESHOLD: Final = 0.5
"""The threshold of a class for which none is tuned."""


def probabilities(logits: Tensor) -> Tensor:
    """Return the probabilities of logits, float64.

    float32 would put every logit above 17 at exactly 1, and so make ties where there are none; float64 does that only
    from 37 on. Equal logits have equal probabilities: in a contiguous tensor on a CPU torch computes most values by
    vectors and the last ones without, which may differ in the last bit; with a stride it computes all in one way.
    """
    values = torch.empty((*logits.shape, 2), dtype=torch.float64, device=logits.device)[..., 0]
    return values.copy_(logits).sigmoid_().contiguous()


def predict(
    logits: Tensor, thresholds: Mapping[str, float] | None = None, nomenclature: Nomenclature = NINETEEN
) -> Tensor:
    """Return the predicted classes, (N, C) bool: those whose probability is at least the threshold.

    Args:
        logits: (N, C) float32.
        thresholds: probability by class name; default: `THRESHOLD` for every class.
        nomenclature: the C classes.

    Raises:
        ValueError: a class has no threshold, or one that is no probability.
    """
    names = nomenclature.names
    by_name = dict.fromkeys(names, THRESHOLD) if thresholds is None else thresholds
    if set(by_name) != set(names):
        wrong = "; ".join(sorted(set(by_name) ^ set(names)))
        raise InvalidValue(f"thresholds are expected for the {len(names)} classes; missing or unknown: {wrong}")
    for name, value in by_name.items():
        if not 0 <= value <= 1:
            raise InvalidValue(f"the threshold of {name} is {value}, expected 0 to 1")
    # As a float64 tensor: against a Python number, torch would compare in the precision of the scores.
    values = torch.tensor([by_name[name] for name in names], dtype=torch.float64, device=logits.device)
    return probabilities(logits) >= values


def tune(
    logits: Tensor, labels: Tensor, *, ignored: Collection[str] = (), nomenclature: Nomenclature = NINETEEN
) -> dict[str, float]:
    """Return for each class the threshold with the highest F1; on the validation split, never on the one reported.

    It lies midway between two neighbouring probabilities, so that `predict` makes exactly the decisions it was chosen
    for. Of several with the same F1 it is the highest; a class without positives gets `THRESHOLD`.

    Args:
        logits: (N, C) float32.
        labels: (N, C) of 0 and 1.
        ignored: names of classes that get `THRESHOLD`.
        nomenclature: the C classes.
    """
    scores, targets = probabilities(logits), labels.long()
    return {
        name: THRESHOLD if name in ignored else _best(scores[:, i], targets[:, i])
        for i, name in enumerate(nomenclature.names)
    }


def _best(scores: Tensor, targets: Tensor) -> float:
    """Return the threshold with the highest F1 for (N,) scores and targets."""
    num_positives = int(targets.sum())
    if not num_positives:
        return THRESHOLD
    scores, order = scores.sort(descending=True)
    hits = targets[order].cumsum(0)
    num_predicted = torch.arange(1, len(scores) + 1, device=scores.device)
    # Quotients of whole numbers: equal F1 are equal float64.
    f1 = (2 * hits).double() / (num_predicted + num_positives)
    # Equal scores cannot be told apart, so a cut is possible only behind the last of them, and behind all.
    following = torch.cat([scores[1:], scores.new_full((1,), -1.0)])
    f1[scores == following] = -1.0
    # The first of equal maxima, which `argmax` does not promise on a GPU.
    best = int((f1 == f1.max()).nonzero()[0])
    above, below = float(scores[best]), max(0.0, float(following[best]))
    middle = (above + below) / 2
    # Neighbouring float64 have no number between them; `below` itself would be predicted too.
    return above if middle == below else middle
