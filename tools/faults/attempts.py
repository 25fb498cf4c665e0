"""Attempts at damage: their kinds, numbers and outcomes."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shards.errors import BepError
from tests.support.data.faults import flip_bit


@dataclass(slots=True)
class Attempts:
    """One kind of damage.

    Attributes:
        what: the damage, for the table.
        outcomes: how often each outcome came.
        bad: outcomes that must not be: wrong results without an error, or anything but a clear error.
    """

    what: str
    outcomes: Counter[str] = field(default_factory=Counter)
    bad: tuple[str, ...] = ("WRONG", "TRACEBACK", "HANGS")

    @property
    def times(self) -> int:
        """Number of attempts."""
        return self.outcomes.total()

    @property
    def failures(self) -> int:
        """Number of attempts with an outcome that must not be."""
        return sum(count for outcome, count in self.outcomes.items() if outcome in self.bad)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"what": self.what, "times": self.times, "outcomes": dict(self.outcomes.most_common())}


def outcome_of(use: Callable[[], object], refused: str, same: str) -> str:
    """Return the outcome of using damaged data.

    Args:
        use: uses it, and returns whether the results are those of sound data.
        refused: outcome if an error for people is raised.
        same: outcome if the results are right.
    """
    try:
        return same if use() else "WRONG"
    except (BepError, OSError):
        return refused
    except Exception:
        return "TRACEBACK"


def flipped(path: Path, places: Iterable[int]) -> Iterable[int]:
    """Invert a bit of a file, yield its place, and put it back, for each place in bits."""
    for place in places:
        flip_bit(path, place // 8, place % 8)
        try:
            yield place
        finally:
            flip_bit(path, place // 8, place % 8)


def some_bits(path: Path, count: int, rng: np.random.Generator) -> list[int]:
    """Return places of bits in a file, in bits, `count` at most."""
    total = 8 * path.stat().st_size
    return sorted(rng.choice(total, min(count, total), replace=False).tolist())
