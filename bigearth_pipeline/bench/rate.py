"""Patches per second."""

import statistics
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Rate:
    """Patches per second of repeated passes.

    Attributes:
        patches_per_second: by pass, from the first batch of each lap on.
        patches: that were counted, by pass.
        laps: by pass.
        start_seconds: until the first batch of a lap was there, by pass: the mean over its laps.
    """

    patches_per_second: tuple[float, ...]
    patches: tuple[int, ...] = ()
    laps: tuple[int, ...] = ()
    start_seconds: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """Median of the passes."""
        return statistics.median(self.patches_per_second)

    @property
    def lowest(self) -> float:
        """The slowest pass."""
        return min(self.patches_per_second)

    @property
    def highest(self) -> float:
        """The fastest pass."""
        return max(self.patches_per_second)

    @property
    def start(self) -> float:
        """Median of the starts in seconds; 0 where nothing has to start."""
        return statistics.median(self.start_seconds) if self.start_seconds else 0.0

    def share_of(self, other: "Rate") -> float:
        """Return this rate as a share of another: the median over the passes, for they took turns."""
        pairs = zip(self.patches_per_second, other.patches_per_second, strict=True)
        return statistics.median(own / theirs for own, theirs in pairs)

    def to_json(self) -> dict[str, Any]:
        """Return the rate as JSON values, without what was not noted."""
        noted = {name: values for name, values in asdict(self).items() if values}
        summary = {"median": self.median, "lowest": self.lowest, "highest": self.highest}
        return noted | summary | {"repeats": len(self.patches_per_second)}
