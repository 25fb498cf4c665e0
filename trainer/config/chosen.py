"""What a run has chosen where its options leave it open: kept when it is resumed, on whatever machine.

`auto` looks at the machine (the file system, the device, what is installed), and a list of patches is a file that may
change. A run that chose anew in its middle would be another run without a word.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue
from trainer.definition.choices import BACKENDS, PRECISIONS, Backend, Precision


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The choices of a run; what is None or absent was not recorded, and is chosen anew.

    Attributes:
        order: order of the training patches.
        precision: of the features.
        backends: what prepares the batches, by split. They differ in the last bit of a float.
        rows: SHA-256 of the rows of the index that are used, by split.
    """

    order: Literal["global", "block"] | None = None
    precision: Precision | None = None
    backends: dict[str, Backend] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.order not in (None, "global", "block"):
            raise InvalidValue(f"order is {self.order!r}, expected global or block")
        if self.precision is not None and self.precision not in PRECISIONS:
            raise InvalidValue(f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}")
        for name, allowed in (("backends", BACKENDS), ("rows", None)):
            for split, value in getattr(self, name).items():
                if not (isinstance(split, str) and isinstance(value, str) and (allowed is None or value in allowed)):
                    raise InvalidValue(f"{name} of {split!r} is {value!r}, which this program does not know")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Chosen":
        """Return what `to_json` described.

        Raises:
            InvalidValue: it is something else.
        """
        try:
            return cls(**values)
        except (TypeError, AttributeError) as err:
            raise InvalidValue(f"{values!r:.200} are no choices of a run: {err}") from err


def digest(rows: NDArray[np.int64]) -> str:
    """Return the SHA-256 of rows of an index."""
    return hashlib.sha256(np.ascontiguousarray(rows, "<i8")).hexdigest()
