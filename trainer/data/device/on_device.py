"""Places of the records of a batch on the device, and the preparations that begin there."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batch import Batch, HostBatch


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Decoded records of n patches.

    Attributes:
        records: (m, 80000) uint16, contiguous.
        places: (n,) int64 in host memory, the record of each patch among the m; None for all in their order.
    """

    records: Tensor
    places: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Records of n patches, encoded as `bitpack`, each of them as long as its own header says.

    Attributes:
        arena: (size,) uint8, which holds them.
        begins: (n,) int64 in host memory, where they begin.
        lengths: (n,) int64 in host memory, bytes of each.
    """

    arena: Tensor
    begins: NDArray[np.int64]
    lengths: NDArray[np.int64]


class FromDevice(Protocol):
    """Makes batches of records that are on the device."""

    def prepare_at(self, where: Decoded | Encoded, host: HostBatch) -> Batch:
        """Prepare a batch on the current stream; nothing waits for the device.

        Args:
            where: where its records are.
            host: all else about it; its buffer is not read.

        Raises:
            ValueError: the draws are of another augmentation.
        """


def gather(where: Decoded) -> Tensor:
    """Return the records of n patches in their order, (n, 80000) uint16."""
    if where.places is None:
        return where.records
    places = torch.from_numpy(where.places)
    if where.records.is_cuda:
        places = places.pin_memory().to(where.records.device, non_blocking=True)
    # torch selects no uint16 on every device; int16 has the same bits.
    return where.records.view(torch.int16).index_select(0, places).view(torch.uint16)
