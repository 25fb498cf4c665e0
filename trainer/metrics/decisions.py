"""Quality of decisions: which classes were predicted, against which are there."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import Tensor

from trainer.metrics.kinds import built


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of the decisions about one class, or of several; 0 to 1, None where no patch has the class.

    Attributes:
        f1: harmonic mean of precision and recall.
        f2: as above, with recall twice as important (F-beta with beta = 2).
        precision: share of the predicted that are there; 0 where nothing is predicted.
        recall: share of those that are there that are predicted.
        accuracy: share of right decisions.
        specificity: share of those that are not there that are not predicted; None where there are none, which means
            leave out, and in files of before.
    """

    f1: float | None
    f2: float | None
    precision: float | None
    recall: float | None
    accuracy: float | None
    specificity: float | None = None


@dataclass(frozen=True, slots=True)
class Decisions:
    """Scores of all decisions at some thresholds.

    Attributes:
        macro: means over the classes that occur; what was predicted of the others leaves no trace in them.
        macro_all: means over all classes as scikit-learn's `average="macro", zero_division=0` has them: a class that
            does not occur has a precision, recall and F1 of 0. None in files of the first version.
        micro: of all patches and classes at once.
        hamming_loss: share of wrong decisions.
        subset_accuracy: share of patches without a wrong decision.
        f1_samples: mean F1 of the patches, each over its classes, 0 for one without labels and predictions, as
            scikit-learn's `average="samples", zero_division=0`. None in files of before.
    """

    macro: Scores
    macro_all: Scores | None
    micro: Scores
    hamming_loss: float
    subset_accuracy: float
    f1_samples: float | None = None

    @classmethod
    def from_json(cls, values: Any, where: str) -> "Decisions":
        """Return the scores that `asdict` described; `where` is their place, for errors."""
        return built(cls, values, where, macro=Scores, macro_all=Scores, micro=Scores)


def score(predicted: Tensor, targets: Tensor) -> tuple[Decisions, list[Scores]]:
    """Return the scores of decisions, of all and by class.

    Args:
        predicted: (N, C) bool, N at least 1.
        targets: (N, C) int64 of 0 and 1.
    """
    # Imported where it is needed: torchmetrics takes two seconds.
    from torchmetrics.functional.classification import multilabel_exact_match, multilabel_stat_scores

    # As whole numbers, which torchmetrics takes for decisions, not scores.
    decisions, num_classes = predicted.long(), targets.shape[1]
    counts = multilabel_stat_scores(decisions, targets, num_classes, average=None, validate_args=False)
    counts = counts.reshape(num_classes, -1)  # Of one class it has no axis.
    by_class = [_scores(*row) for row in counts[:, :4].tolist()]
    tp, fp, tn, fn = counts[:, :4].sum(0).tolist()
    return Decisions(
        macro=_mean([scores for scores in by_class if scores.f1 is not None]),
        macro_all=_mean([_ratios(*row) for row in counts[:, :4].tolist()]),
        micro=_scores(tp, fp, tn, fn),
        hamming_loss=(fp + fn) / (tp + fp + tn + fn),
        subset_accuracy=float(multilabel_exact_match(decisions, targets, num_classes, validate_args=False)),
        f1_samples=_f1_samples(decisions, targets),
    ), by_class


def _scores(tp: int, fp: int, tn: int, fn: int) -> Scores:
    """Return the scores of a number of true and false positives, and true and false negatives."""
    return _ratios(tp, fp, tn, fn) if tp + fn else Scores(None, None, None, None, None)


def _ratios(tp: int, fp: int, tn: int, fn: int) -> Scores:
    """Return the scores, 0 where a denominator is 0."""
    return Scores(
        f1=2 * tp / (2 * tp + fn + fp) if tp + fn + fp else 0.0,
        f2=5 * tp / (5 * tp + 4 * fn + fp) if tp + fn + fp else 0.0,
        precision=tp / (tp + fp) if tp + fp else 0.0,
        recall=tp / (tp + fn) if tp + fn else 0.0,
        accuracy=(tp + tn) / (tp + fp + tn + fn),
        specificity=tn / (tn + fp) if tn + fp else None,
    )


def _f1_samples(decisions: Tensor, targets: Tensor) -> float:
    """Return the mean over patches of 2 · hits / (predicted + there)."""
    named = (decisions.sum(1) + targets.sum(1)).double()
    # Without any of the two the numerator is 0 as well.
    return float((2 * (decisions * targets).sum(1) / named.clamp(min=1)).mean())


def _mean(by_class: list[Scores]) -> Scores:
    rows = [asdict(scores) for scores in by_class]
    return Scores(
        **{
            field.name: mean([row[field.name] for row in rows if row[field.name] is not None])
            for field in fields(Scores)
        }
    )


def mean(values: list[float]) -> float | None:
    """Return the mean; None if there is nothing."""
    return sum(values) / len(values) if values else None
