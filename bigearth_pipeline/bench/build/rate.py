"""Patches per second."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Rate:
    """Patches per second of repeated measurements."""

    median: float
    lowest: float
    highest: float
    repeats: int

    @classmethod
    def of(cls, rates: Sequence[float]) -> "Rate":
        """Summarise measurements."""
        return cls(median(rates), min(rates), max(rates), len(rates))
