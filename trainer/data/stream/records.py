"""Batches of records as they are stored, for code that prepares them itself, and for benchmarks."""

from collections.abc import Generator, Iterable

import torch

from trainer.data.augment.mix import complete
from trainer.data.batch import HostBatch
from trainer.data.buffers import Buffers
from trainer.data.device.prepared import Prepared, SideStream


class RecordPreparation:
    """Hands records over: without a copy on the CPU, with one copy to a GPU."""

    def __init__(self, buffers: Buffers, device: torch.device) -> None:
        """Say where batches go.

        Args:
            buffers: where the host batches' memory is from, and goes back to.
            device: the CPU, or a GPU.
        """
        self._buffers, self._device = buffers, device
        self._stream = SideStream(device)

    def run(self, batches: Iterable[HostBatch]) -> Generator[Prepared, None, None]:
        """Hand over batches in their order; a host batch that the result is a view of stays out."""
        on_cpu = self._device.type == "cpu"
        try:
            for host in batches:
                with self._stream:
                    if on_cpu:
                        records = self._buffers.lend(host.buffer, len(host.rows))
                    else:
                        records = torch.from_numpy(host.records).to(self._device, non_blocking=True)
                    batch = complete({"record": records}, host.labels, host.rows, host.mask, host.draws)
                yield Prepared(None if on_cpu else host, batch, self._stream.mark())
        finally:
            # An error may have come between the copy of the records and the event.
            self._stream.finish()
