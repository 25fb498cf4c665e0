"""The GPUs on which a recorded measurement shows Triton's kernels ahead of DALI: there `loader=auto` takes them."""

from dataclasses import dataclass
from typing import Final

import torch

from shards.errors import InvalidValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Rates of one loader, of repeated passes.

    Attributes:
        median: patches a second.
        spread: the highest less the lowest, in patches a second.
        repeats: passes, at least 3.
    """

    median: float
    spread: float
    repeats: int

    def __post_init__(self) -> None:
        if self.repeats < 3 or not (self.median > 0 and self.spread >= 0):
            raise InvalidValue(f"{self} is no measurement, expected a rate and its spread over at least 3 passes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Both loaders on one card, in one run of `bep bench loader`.

    Attributes:
        card: name of the GPU, as torch gives it.
        record: the file below `tools/records/` that it was taken from.
        triton: rate into device tensors with `loader=triton`.
        dali: likewise with `loader=dali`.
    """

    card: str
    record: str
    triton: Rate
    dali: Rate

    @property
    def is_ahead(self) -> bool:
        """True if Triton is ahead by more than the noise, which is the sum of both spreads."""
        return self.triton.median - self.dali.median > self.triton.spread + self.dali.spread


MEASUREMENTS: Final[tuple[Measurement, ...]] = ()
"""None was made yet. A card that is absent keeps DALI."""


def leads(device: torch.device) -> bool:
    """Return whether Triton is ahead on a device: by each of the `MEASUREMENTS` on such a card, of which there are."""
    # Without any, the driver need not be asked.
    if device.type != "cuda" or not MEASUREMENTS:
        return False
    card = torch.cuda.get_device_name(device)
    found = [measurement.is_ahead for measurement in MEASUREMENTS if measurement.card == card]
    return bool(found) and all(found)
