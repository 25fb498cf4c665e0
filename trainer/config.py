"""What a training run is told; built once, never changed."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train.

    Attributes:
        data: folder of the shards.
        out: folder of the run; absent or empty.
        epochs: passes over the train split.
        batch_size: patches of a step; the last one of an epoch holds what is left.
        lr: highest learning rate of AdamW.
        weight_decay: weight decay of AdamW.
        seed: seed of weights, order and flips.
        threads: decode threads; None takes the cores that the process may use.
        verify: compare every record that is read with its checksum.
        test: evaluate the best checkpoint on the test split at the end.
    """

    data: Path
    out: Path
    epochs: int = 10
    batch_size: int = 256
    lr: float = 1e-3
    weight_decay: float = 0.01
    seed: int = 0
    threads: int | None = None
    verify: bool = False
    test: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, expected at least 1")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}, expected 0 to 2**63 - 1")
        # Not `<= 0`: a comparison with NaN is false, and NaN must not pass.
        if not 0 < self.lr < float("inf"):
            raise ValueError(f"lr is {self.lr}, expected a number above 0")
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"weight_decay is {self.weight_decay}, expected a number of at least 0")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self) | {"data": str(self.data), "out": str(self.out)}
