"""The preparation of a batch by Triton's kernels, on a GPU: `loader=triton`, and what `cache=gpu` feeds."""

from collections.abc import Generator, Iterable

import numpy as np
import torch
from torch import Tensor

from shards.layout.bands import RECORD_VALUES
from trainer.data.augment.draw import check_draws
from trainer.data.augment.mix import completed, rest
from trainer.data.batch import Batch, HostBatch, Layout
from trainer.data.device.on_device import Decoded, Encoded
from trainer.data.device.prepared import Prepared, SideStream
from trainer.data.device.transfer import send
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.triton.images import Drawn, ImageKernel, drawn_arrays
from trainer.data.prepare.triton.unpack import unpack
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.choices import Interpolation


class TritonPreparation:
    """Prepares batches on one device, as `trainer.data.prepare.reference.TorchPreparation` does."""

    def __init__(
        self,
        normalisation: Normalisation,
        *,
        batch_size: int,
        device: torch.device,
        num_threads: int,
        layout: Layout = "stacked",
        interpolation: Interpolation = "nearest",
        augmentation: Augmentation = RECIPES["none"],
    ) -> None:
        """Take the arguments of `DaliPreparation`; `batch_size` and `num_threads` make no difference here.

        Raises:
            ValueError: the layout is `record`, which leaves nothing to prepare.
        """
        self._augmentation, self._device = augmentation, device
        self._stream = SideStream(device)
        with self._stream:
            self._images = ImageKernel(normalisation, layout, device, interpolation)
        # Its tables are there before any stream reads them: `prepare_at` is also called on streams of others.
        self._stream.finish()

    def run(self, batches: Iterable[HostBatch]) -> Generator[Prepared, None, None]:
        """Prepare batches, in their order, of all the records that they hold."""
        try:
            for host in batches:
                with self._stream:
                    batch = self.prepare_at(upload(host, len(host.rows), self._device), host)
                yield Prepared(host, batch, self._stream.mark())
        finally:
            # An error may have come between the copy of the records and the event.
            self._stream.finish()

    def decode(self, where: Encoded, out: Tensor) -> None:
        """Decode records into (n, 80000) uint16, contiguous, on the current stream; nothing waits for the device."""
        sent = send({"begins": where.begins, "lengths": where.lengths}, self._device)
        unpack(where.arena, sent["begins"], sent["lengths"], out)

    def prepare_at(self, where: Decoded | Encoded, host: HostBatch) -> Batch:
        """See `FromDevice`."""
        check_draws(self._augmentation, host.draws)
        arrays = rest(host.labels, host.rows, host.mask, host.draws) | drawn_arrays(host.draws)
        if isinstance(where, Encoded):
            arrays |= {"begins": where.begins, "lengths": where.lengths}
        elif where.places is not None:
            arrays["places"] = where.places
        sent = send(arrays, self._device)
        if isinstance(where, Encoded):
            records = torch.empty((len(host.rows), RECORD_VALUES), dtype=torch.uint16, device=self._device)
            unpack(where.arena, sent["begins"], sent["lengths"], records)
        else:
            records = where.records
        return completed(self._images(records, Drawn.of(sent), sent.get("places")), sent)


def upload(host: HostBatch, count: int, device: torch.device) -> Decoded | Encoded:
    """Copy the `count` records that a host batch holds to the device, on the current stream, without waiting for it."""
    if host.lengths is None:
        return Decoded(torch.from_numpy(host.buffer[:count]).to(device, non_blocking=True))
    ends = np.cumsum(host.lengths)
    arena = torch.from_numpy(host.buffer[: ends[-1]]).to(device, non_blocking=True)
    return Encoded(arena, ends - host.lengths, host.lengths)
