"""Scores in words and in cells, and values of files that may be of any kind."""

import json
import math
from typing import Any, Final

from bigearth_pipeline.report.page.blocks import Cell
from bigearth_pipeline.report.page.numbers import NONE, number_cell
from trainer.metrics.intervals.bootstrap import LEVEL, Estimate

INTERVAL: Final = f"{100 * LEVEL:.0f} % interval"
"""Heading of columns of intervals."""
_LONGEST: Final = 400


def percent_cell(value: float | None) -> Cell:
    """Return a cell of a score from 0 to 1 in percent; None for one that is not defined."""
    return number_cell(None if value is None else 100 * value, 1)


def interval_cell(found: Estimate, *, signed: bool = False) -> Cell:
    """Return a cell of an interval in percent, sorted by its width."""
    if found.low is None or found.high is None:
        return Cell(NONE, -math.inf)
    return Cell(f"{_percent(found.low, signed)} to {_percent(found.high, signed)}", found.high - found.low)


def in_words(found: Estimate) -> str:
    """Return a score with its interval, such as `71.3 % (68.0 to 74.1)`."""
    if found.value is None:
        return "not defined"
    words = f"{_percent(found.value)} %"
    if found.low is not None and found.high is not None:
        words += f" ({_percent(found.low)} to {_percent(found.high)})"
    return words


def in_percent(found: Estimate) -> tuple[float | None, float | None, float | None]:
    """Return value and ends of the interval in percent, for charts."""
    value, low, high = (None if part is None else 100 * part for part in (found.value, found.low, found.high))
    return value, low, high


def signed_cell(value: float | None) -> Cell:
    """Return a cell of a difference of scores in percentage points."""
    if value is None:
        return number_cell(None)
    return Cell(_percent(value, signed=True), 100 * value)


def number_at(values: Any, *path: str) -> float | None:
    """Return the finite number at a path of nested objects of a file; None if the path leads to no number."""
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return float(values) if type(values) in (int, float) and abs(values) < 2**53 else None


def value_words(value: Any) -> str:
    """Return a value of a configuration or description as text, cut off where it is long."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _percent(value: float, signed: bool = False) -> str:
    shown = 0.0 if round(100 * value, 1) == 0 else 100 * value
    text = f"{shown:+.1f}" if signed and shown else f"{shown:.1f}"
    return text.replace("-", "−")
