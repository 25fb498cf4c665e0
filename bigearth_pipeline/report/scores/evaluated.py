"""Scores as the evaluation wrote them, in place of those of predictions, whose probabilities have 11 binary digits.

Where a network gives many patches nearly the same probability, scores of the rounded ones differ in the third digit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from shards.layout.classes import Nomenclature
from trainer.metrics.intervals.bootstrap import Estimate
from trainer.metrics.intervals.table import Scores
from trainer.metrics.metrics import Metrics

_SAME: Final = ("rows_sha256", "manifest_sha256", "epoch", "checkpoint", "averaged", "thresholds")
"""Facts that results and the predictions behind them have in common."""


def metrics_of(
    results: Mapping[str, Any] | None, about: Mapping[str, Any], nomenclature: Nomenclature
) -> Metrics | None:
    """Return the scores in a file of results if they follow from predictions; None if they do not.

    Args:
        results: what the file holds; None if it is absent.
        about: what the predictions say of themselves.
        nomenclature: their classes.
    """
    if results is None or any(results.get(name) != about.get(name) for name in _SAME):
        return None
    try:
        return Metrics.from_json(results, nomenclature.names)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def with_values(scores: Scores, metrics: Metrics | None) -> Scores:
    """Return scores whose values are those of an evaluation, where it has them; intervals stay."""
    if metrics is None:
        return scores
    return Scores(_values_of(scores.ap, metrics, "ap"), _values_of(scores.f1, metrics, "f1"))


def _values_of(found: Sequence[Estimate], metrics: Metrics, score: str) -> list[Estimate]:
    """Return one score by class, then macro, then micro, with the values of an evaluation, where it has them."""
    classes, decisions = metrics.classes.values(), metrics.tuned or metrics.fixed
    values = (
        [*(each.ap for each in classes), metrics.ap_macro, metrics.ap_micro]
        if score == "ap"
        else [*((each.tuned or each.fixed).f1 for each in classes), decisions.macro.f1, decisions.micro.f1]
    )
    return [
        each if value is None or each.value is None else replace(each, value=value)
        for each, value in zip(found, values, strict=True)
    ]
