"""Interface of an input: patches in units of a fixed order, each a part of the result that is kept by itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Some of the patches of a unit.

    Attributes:
        records: (n, 80000) uint16, as a network sees them.
        missing: (n,) float32, share of the area that is missing.
        epsg: (n,) int32, code of the system that a patch lies in; 0 where its place is not known.
        ulx: (n,) float64, easting of the upper-left corner, m.
        uly: (n,) float64, northing of the upper-left corner, m.
        faults: why a patch cannot be used, by its place in the part.
    """

    records: NDArray[np.uint16]
    missing: NDArray[np.float32]
    epsg: NDArray[np.int32]
    ulx: NDArray[np.float64]
    uly: NDArray[np.float64]
    faults: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)


class Source(Protocol):
    """Patches of one result.

    Attributes:
        name: of the result.
        num_units: units, from 0.
    """

    name: str
    num_units: int

    def identity(self) -> dict[str, Any]:
        """Return what the result depends on, as JSON values."""

    def count(self, unit: int) -> int:
        """Return the number of patches of a unit."""

    def names(self, unit: int) -> list[str]:
        """Return the names of the patches of a unit."""

    def parts(self, unit: int) -> Iterator[Part]:
        """Read the patches of a unit, in their order.

        Raises:
            PipelineError: they cannot be read.
        """

    def picture(self, unit: int) -> NDArray[np.uint16] | None:
        """Return pixels for a true-colour picture, read along with the parts of the unit under way; None for none."""

    def close(self) -> None:
        """Close all files."""
