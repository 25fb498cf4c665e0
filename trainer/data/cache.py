"""The tiers that records can be kept in after they were read once, and the choice between them.

`ram` keeps encoded records in the host's memory, shared by the ranks of a node; `gpu` keeps decoded records on the
device, so that later epochs need neither reading nor decoding nor a copy to the device.
"""

from collections.abc import Generator, Iterable
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shards import RECORD_VALUES, Store
from shards.bands import RECORD_BYTES
from trainer.data.batch import HostBatch
from trainer.data.mounts import MOUNTS, file_system
from trainer.data.prepared import Prepared, SideStream
from trainer.data.reference import TorchPreparation
from trainer.data.transfer import to_device

Tier = Literal["none", "ram", "gpu"]
TIERS: Final[tuple[Tier, ...]] = ("none", "ram", "gpu")
SHARE_OF_RAM: Final = 0.5
"""`auto` takes at most this share of the host memory that is free."""
SHARE_OF_GPU: Final = 0.6
"""`auto` takes at most this share of the device memory that is free: model, activations and batches need the rest."""


class DeviceRecords:
    """Records on the device, filled batch by batch while they are first used.

    Attributes:
        rows: (n,) int64, rows of the index, ascending: those that there is room for.
    """

    def __init__(self, rows: NDArray[np.int64], device: torch.device) -> None:
        """Take the memory: 160,000 bytes a row.

        Raises:
            torch.OutOfMemoryError: the device has less.
        """
        self.rows = rows
        self._filled = np.zeros(len(rows), np.bool_)
        # int16 holds the same bits as uint16, and torch gathers it on every device.
        self._records = torch.empty((len(rows), RECORD_VALUES), dtype=torch.int16, device=device)

    def missing(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some rows are not there yet."""
        found: NDArray[np.bool_] = ~self._filled[self._places(rows)]
        return found

    def put(self, rows: NDArray[np.int64], records: Tensor) -> None:
        """Keep records, (n, 80000) uint16 on the device."""
        places = self._places(rows)
        self._records.index_copy_(0, self._on_device(places), records.view(torch.int16))
        self._filled[places] = True

    def get(self, rows: NDArray[np.int64]) -> Tensor:
        """Return records that are there, (n, 80000) uint16 on the device."""
        return self._records.index_select(0, self._on_device(self._places(rows))).view(torch.uint16)

    def _places(self, rows: NDArray[np.int64]) -> NDArray[np.intp]:
        return np.searchsorted(self.rows, rows)

    def _on_device(self, places: NDArray[np.intp]) -> Tensor:
        return to_device(places, self._records.device)


class CachedPreparation:
    """Prepares batches from `DeviceRecords`; a host batch brings only the records that are missing there, packed."""

    def __init__(self, records: DeviceRecords, preparation: TorchPreparation, device: torch.device) -> None:
        self._records, self._preparation, self._device = records, preparation, device
        self._stream = SideStream(device)

    def run(self, batches: Iterable[HostBatch]) -> Generator[Prepared, None, None]:
        """Prepare batches in their order."""
        try:
            for host in batches:
                with self._stream:
                    missing = self._records.missing(host.rows)
                    if missing.any():
                        new = torch.from_numpy(host.buffer[: np.count_nonzero(missing)])
                        self._records.put(host.rows[missing], new.to(self._device, non_blocking=True))
                    records = self._records.get(host.rows)
                    batch = self._preparation.prepare(records, host.labels, host.rows, host.mask, host.draws)
                yield Prepared(host, batch, self._stream.mark())
        finally:
            # An error may have come between a copy from host memory and the event.
            self._stream.finish()


def choose(store: Store, rows: NDArray[np.int64], device: torch.device) -> tuple[Tier, str]:
    """Choose the tier for `--cache auto` from the memory that is free now.

    Returns:
        The tier, and the reason for people.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        needed = len(rows) * RECORD_BYTES
        if needed <= SHARE_OF_GPU * free:
            return "gpu", f"{_gb(needed)} of records fit into the {_gb(free)} that the GPU has free"
        why = f"{_gb(needed)} of records are too much for the {_gb(free)} that the GPU has free; "
    else:
        why = ""
    kind = file_system(store.folder.resolve(), MOUNTS.read_bytes())
    if kind in ("tmpfs", "ramfs"):
        return "none", f"{why}the store lies in memory already ({kind})"
    needed, free = store.encoded_bytes(rows), store.memory_left()
    if needed <= SHARE_OF_RAM * free:
        return "ram", f"{why}{_gb(needed)} of encoded records fit into the {_gb(free)} of memory that are free"
    return "none", f"{why}{_gb(needed)} of encoded records are too much for the {_gb(free)} of memory that are free"


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
