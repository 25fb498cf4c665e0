"""Numbers as pages show them, and as cells of tables."""

import math

from bigearth_pipeline.report.page.blocks import Cell

NONE = "–"
"""Shown where there is no number."""


def share(part: float, whole: float) -> str:
    """Return a part in percent, such as `12.3 %`."""
    return f"{100 * part / whole:.1f} %" if whole else NONE


def count_cell(number: int | None) -> Cell:
    """Return a cell of a count; None for one that is not known."""
    return Cell(NONE, -math.inf) if number is None else Cell(f"{number:,}", number)


def share_cell(part: float, whole: float) -> Cell:
    """Return a cell of a share in percent."""
    return Cell(share(part, whole), part / whole if whole else -math.inf)


def number_cell(number: float | None, digits: int = 2) -> Cell:
    """Return a cell of a number with that number of decimals; None and NaN for one that there is not."""
    if number is None or math.isnan(number):
        return Cell(NONE, -math.inf)
    shown = 0.0 if round(number, digits) == 0 else number  # Not as −0.00.
    return Cell(f"{shown:,.{digits}f}".replace("-", "−"), number)
