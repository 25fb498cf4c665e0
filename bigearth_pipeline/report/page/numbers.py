"""Numbers as pages show them, and as cells of tables."""

import math

from bigearth_pipeline.report.page.blocks import Cell

NONE = "–"
"""Shown where there is no number."""


def share(part: float, whole: float) -> str:
    """Return a part in percent, such as `12.3 %`."""
    return f"{100 * part / whole:.1f} %" if whole else NONE


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number and its noun, such as `1 patch` or `1,234 patches`; without `many` an s is added."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def patches(number: int) -> str:
    """Return a number of patches in words."""
    return counted(number, "patch", "patches")


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


def listed(words: list[str], most: int = 12) -> str:
    """Return words as a list in a sentence; of more than `most`, the first ones and how many there are besides."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most:,} more"
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
