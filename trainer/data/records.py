"""Batches of records as they are stored, for code that prepares them itself, and for benchmarks."""

from collections.abc import Generator, Iterable

import torch

from trainer.data.batch import Batch, HostBatch
from trainer.data.buffers import Buffers
from trainer.data.mix import complete


class RecordPreparation:
    """Hands records over: without a copy on the CPU, with one copy to a GPU."""

    def __init__(self, buffers: Buffers, device: torch.device) -> None:
        """Say where batches go.

        Args:
            buffers: where the host batches' memory is from, and goes back to.
            device: the CPU, or a GPU.
        """
        self._buffers, self._device = buffers, device

    def run(self, batches: Iterable[HostBatch]) -> Generator[tuple[HostBatch | None, Batch], None, None]:
        """Hand over batches in their order; a host batch that the result is a view of stays out."""
        for host in batches:
            if self._device.type == "cpu":
                records = self._buffers.lend(host.buffer, len(host.rows))
            else:
                records = torch.from_numpy(host.records).to(self._device)
            batch = complete({"record": records}, host.labels, host.rows, host.mask, host.draws)
            yield None if self._device.type == "cpu" else host, batch
