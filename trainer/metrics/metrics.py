"""Quality of multi-label predictions over a split, by class, macro and micro."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

import torch
from torch import Tensor

from shards.errors import InvalidValue
from shards.layout.classes import NINETEEN, Nomenclature
from trainer.errors import NonFiniteLoss
from trainer.metrics.calibration import calibration_error
from trainer.metrics.decisions import Decisions, Scores, mean, score
from trainer.metrics.kinds import built, check_kinds
from trainer.metrics.ranking import Ranking, rank
from trainer.metrics.thresholds import predict, probabilities

_NOTHING: Final = Scores(None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Metrics of one class; None where no patch of the split has the class, since there is nothing to find.

    Attributes:
        positives: patches that have the class.
        ap: average precision, 0 to 1.
        calibration_error: expected calibration error, 0 to 1.
        fixed: scores at a threshold of 0.5.
        tuned: scores at the class's own threshold; None as a whole if there was none.
        auroc: area under the receiver operating characteristic, 0 to 1: chance that a patch with the class scores
            higher than one without, ties by half. None, too, where every patch has it, and in files of before.
    """

    positives: int
    ap: float | None
    calibration_error: float | None
    fixed: Scores
    tuned: Scores | None
    auroc: float | None = None

    @property
    def f1(self) -> float | None:
        """F1 at a threshold of 0.5."""
        return self.fixed.f1

    @classmethod
    def from_json(cls, values: Any, where: str) -> "ClassMetrics":
        """Return the metrics that `asdict` described; `where` is their place, for errors."""
        return built(cls, values, where, fixed=Scores, tuned=Scores)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a split. Macro: mean over the classes that occur in it; micro: over all patches and classes at once.

    Attributes:
        count: patches.
        loss: mean loss.
        ap_macro: average precision; None if no class occurs.
        ap_micro: as above.
        label_frequency: mean over the occurring classes of the share of patches that have it, which is the macro
            average precision of guessing; None if no class occurs.
        calibration_error: expected calibration error, micro; None if no class occurs.
        ranking: how the classes of each patch are ranked.
        fixed: decisions at a threshold of 0.5.
        tuned: decisions at `thresholds`; None without them.
        thresholds: probability by class name; None if there were none.
        thresholds_tuned_here: whether they were tuned on these very patches or on some of them, which makes `tuned`
            better than it is on others; None without thresholds, and where nobody knows.
        classes: by class name.
        auroc_macro: area under the receiver operating characteristic, mean over the classes that have one; None if none
            has, and in files of before.
        auroc_micro: of all patches and classes at once; likewise.
        ignored: names of classes that are left out of all of it; in `classes` they are like those of no patch.
    """

    count: int
    loss: float
    ap_macro: float | None
    ap_micro: float | None
    label_frequency: float | None
    calibration_error: float | None
    ranking: Ranking
    fixed: Decisions
    tuned: Decisions | None
    thresholds: dict[str, float] | None
    thresholds_tuned_here: bool | None
    classes: dict[str, ClassMetrics]
    auroc_macro: float | None = None
    auroc_micro: float | None = None
    ignored: tuple[str, ...] = ()

    @property
    def num_measured(self) -> int:
        """Number of the classes that are not ignored."""
        return len(self.classes) - len(self.ignored)

    @property
    def label_frequency_micro(self) -> float | None:
        """Share of positive decisions, which is the micro average precision of guessing; None if no class occurs."""
        positives = sum(values.positives for values in self.classes.values())
        return positives / (self.count * self.num_measured) if positives else None

    @property
    def f1_macro(self) -> float | None:
        """F1 at a threshold of 0.5; None if no class occurs."""
        return self.fixed.macro.f1

    @property
    def f1_micro(self) -> float | None:
        """F1 at a threshold of 0.5; None if no class occurs."""
        return self.fixed.micro.f1

    @property
    def f1_macro_all(self) -> float | None:
        """F1 at a threshold of 0.5 as scikit-learn's macro mean over all classes; None if that was not computed."""
        return None if self.fixed.macro_all is None else self.fixed.macro_all.f1

    @classmethod
    def from_json(cls, values: Mapping[str, Any], classes: Sequence[str] | None = None) -> "Metrics":
        """Return the metrics that `to_json` described.

        Args:
            values: what it described.
            classes: names of the classes that it is of, in their order; None for any.

        Files of the first version do not say where thresholds were tuned. Those that are read again are of validation
        splits, in checkpoints, and there it was on the same patches.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: a field is absent, or not of its kind; a class is absent,
                or is not of these.
        """
        before = {"thresholds_tuned_here": None if values["thresholds"] is None else True}
        values = {**before, "auroc_macro": None, "auroc_micro": None, "ignored": (), **values}
        rest = {field.name: values[field.name] for field in fields(cls)}
        by_class = values["classes"].items()
        metrics = cls(
            **rest
            | {
                "ignored": tuple(values["ignored"]),
                "ranking": built(Ranking, values["ranking"], "ranking"),
                "fixed": Decisions.from_json(values["fixed"], "fixed"),
                "tuned": values["tuned"] and Decisions.from_json(values["tuned"], "tuned"),
                "classes": {name: ClassMetrics.from_json(found, f"classes.{name:.80}") for name, found in by_class},
            }
        )
        check_kinds(metrics)
        if classes is None:
            return metrics
        if metrics.classes.keys() != set(classes):
            wrong = next((f"{name} is absent" for name in classes if name not in metrics.classes), "it has others")
            raise InvalidValue(f"classes is not of the {len(classes)} classes of the network: {wrong}")
        return replace(metrics, classes={name: metrics.classes[name] for name in classes})

    def to_json(self) -> dict[str, Any]:
        """Return the fields, and with them `f1_macro`, `f1_macro_all`, `f1_micro` and `label_frequency_micro`."""
        derived = ("f1_macro", "f1_macro_all", "f1_micro", "label_frequency_micro")
        return asdict(self) | {name: getattr(self, name) for name in derived} | {"ignored": list(self.ignored)}


def compute(
    logits: Tensor,
    labels: Tensor,
    loss: float,
    *,
    thresholds: dict[str, float] | None = None,
    thresholds_tuned_here: bool | None = False,
    ignored: tuple[str, ...] = (),
    nomenclature: Nomenclature = NINETEEN,
) -> Metrics:
    """Return the metrics of a split, computed where the logits are.

    Args:
        logits: (N, C) float32, N at least 1.
        labels: (N, C) of 0 and 1.
        loss: mean loss.
        thresholds: probability by class name.
        thresholds_tuned_here: whether they were tuned on these patches; None if nobody knows.
        ignored: names of classes to leave out.
        nomenclature: the C classes.

    Raises:
        ValueError: the shapes differ or are no such, a label is neither 0 nor 1, or thresholds are missing.
        NonFiniteLoss: the loss or a logit is infinite or not a number.
    """
    whole = nomenclature.names
    if logits.shape != labels.shape or logits.shape[1:] != (len(whole),) or not len(logits):
        raise ValueError(
            f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)}: expected (N, {len(whole)}), N at least 1"
        )
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError("labels hold other numbers than 0 and 1")
    num_bad = int((~logits.isfinite()).any(1).sum())
    if num_bad or not math.isfinite(loss):
        raise NonFiniteLoss(f"the loss of {len(logits)} patches is {loss}; {num_bad} of them have non-finite logits")
    names = [name for name in whole if name not in ignored]
    tuned_decisions = None if thresholds is None else predict(logits, thresholds, nomenclature)
    decisions = predict(logits, None, nomenclature), tuned_decisions
    if ignored:
        kept = torch.tensor([whole.index(name) for name in names], device=logits.device)
        logits, labels = logits.index_select(1, kept), labels.index_select(1, kept)
        decisions = decisions[0][:, kept], None if decisions[1] is None else decisions[1][:, kept]
    scores, targets = probabilities(logits), labels.long()
    positives = targets.sum(0).tolist()
    calibration, class_calibrations = calibration_error(scores, targets)
    fixed, class_fixed = score(decisions[0], targets)
    tuned, class_tuned = (None, None) if decisions[1] is None else score(decisions[1], targets)
    nothing = ClassMetrics(0, None, None, _NOTHING, None if tuned is None else _NOTHING)
    classes = dict.fromkeys(whole, nothing) | {
        name: ClassMetrics(
            positives=positives[i],
            ap=_average_precision(scores[:, i], targets[:, i]) if positives[i] else None,
            calibration_error=class_calibrations[i] if positives[i] else None,
            fixed=class_fixed[i],
            tuned=class_tuned[i] if class_tuned else None,
            auroc=area_under_roc(scores[:, i], targets[:, i]) if 0 < positives[i] < len(labels) else None,
        )
        for i, name in enumerate(names)
    }
    return Metrics(
        count=len(labels),
        loss=loss,
        ap_macro=mean([values.ap for values in classes.values() if values.ap is not None]),
        ap_micro=_average_precision(scores, targets) if any(positives) else None,
        label_frequency=mean([count / len(labels) for count in positives if count]),
        calibration_error=calibration if any(positives) else None,
        ranking=rank(logits, targets),
        fixed=fixed,
        tuned=tuned,
        thresholds=thresholds,
        thresholds_tuned_here=None if thresholds is None else thresholds_tuned_here,
        classes=classes,
        auroc_macro=mean([values.auroc for values in classes.values() if values.auroc is not None]),
        auroc_micro=area_under_roc(scores, targets) if 0 < sum(positives) < targets.numel() else None,
        ignored=tuple(name for name in whole if name in ignored),
    )


def _average_precision(scores: Tensor, targets: Tensor) -> float:
    """Return the average precision of all decisions at once: sum of precision times gain in recall, ties together.

    `scores` are probabilities: of other numbers torchmetrics would take the sigmoid, in their precision.
    """
    # Imported where it is needed: torchmetrics takes two seconds.
    from torchmetrics.functional.classification import binary_average_precision

    return float(binary_average_precision(scores.flatten(), targets.flatten(), validate_args=False))


def area_under_roc(scores: Tensor, targets: Tensor) -> float:
    """Return the area under the receiver operating characteristic of all decisions at once, 0 to 1; ties count half.

    Args:
        scores: probabilities.
        targets: int64 of the same shape, 0 or 1; both occur.
    """
    from torchmetrics.functional.classification import binary_auroc

    return float(binary_auroc(scores.flatten(), targets.flatten(), validate_args=False))
