"""Records that stay on the device from when they were first used: decoded, or encoded in little more than half of it.

They lie in the order in which they came, so that those of a batch go there by one copy.
"""

from collections.abc import Generator, Iterable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from shards import RECORD_VALUES
from trainer.data.batch import HostBatch
from trainer.data.device.on_device import Decoded, Encoded, FromDevice
from trainer.data.device.prepared import Prepared, SideStream


class DeviceRecords(Protocol):
    """Records on the device, filled batch by batch."""

    def missing(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some rows are not there yet."""

    def put(self, host: HostBatch) -> None:
        """Keep those records that a host batch holds and that are not there yet; nothing waits for the device."""

    def where(self, rows: NDArray[np.int64]) -> Decoded | Encoded:
        """Return where the records of rows are, which must be there."""


class Decoder(Protocol):
    """Decodes records on the device."""

    def decode(self, where: Encoded, out: torch.Tensor) -> None:
        """Decode records into (n, 80000) uint16, contiguous."""


class DecodedRecords:
    """Decoded records on the device: 160,000 bytes each."""

    def __init__(self, rows: NDArray[np.int64], device: torch.device, decoder: Decoder | None = None) -> None:
        """Take the memory.

        Args:
            rows: (n,) rows of the index, ascending: those that there is room for.
            device: where they are kept.
            decoder: for host batches of encoded records.

        Raises:
            torch.OutOfMemoryError: the device has less.
        """
        self._places, self._decoder = _Places(rows), decoder
        self._records = torch.empty((len(rows), RECORD_VALUES), dtype=torch.uint16, device=device)

    def missing(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `DeviceRecords`."""
        return self._places.of(rows) < 0

    def put(self, host: HostBatch) -> None:
        """See `DeviceRecords`."""
        rows = host.rows if host.held is None else host.rows[host.held]
        for new in self._places.runs_of_new(rows):
            end = self._places.end
            target = self._records[end : end + new.stop - new.start]
            if host.lengths is None:
                target.copy_(torch.from_numpy(host.buffer[new]), non_blocking=True)
            else:
                assert self._decoder is not None
                data, lengths = _encoded(host.buffer, host.lengths, new)
                arena = torch.from_numpy(data).to(target.device, non_blocking=True)
                self._decoder.decode(Encoded(arena, np.cumsum(lengths) - lengths, lengths), target)
            self._places.add(rows[new], np.ones(len(target), np.int64))

    def where(self, rows: NDArray[np.int64]) -> Decoded:
        """See `DeviceRecords`."""
        return Decoded(self._records, self._places.of(rows))


class EncodedRecords:
    """Records encoded as `bitpack` on the device."""

    def __init__(self, rows: NDArray[np.int64], lengths: NDArray[np.int64], device: torch.device) -> None:
        """Take the memory.

        Args:
            rows: (n,) rows of the index, ascending: those that there is room for.
            lengths: (n,) bytes of each.
            device: where they are kept.

        Raises:
            torch.OutOfMemoryError: the device has less.
        """
        self._places, self._rows, self._lengths = _Places(rows), rows, lengths
        self._arena = torch.empty(int(lengths.sum()), dtype=torch.uint8, device=device)

    def missing(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `DeviceRecords`."""
        return self._places.of(rows) < 0

    def put(self, host: HostBatch) -> None:
        """See `DeviceRecords`."""
        assert host.lengths is not None
        rows = host.rows if host.held is None else host.rows[host.held]
        for new in self._places.runs_of_new(rows):
            data, lengths = _encoded(host.buffer, host.lengths, new)
            end = self._places.end
            self._arena[end : end + len(data)].copy_(torch.from_numpy(data), non_blocking=True)
            self._places.add(rows[new], lengths)

    def where(self, rows: NDArray[np.int64]) -> Encoded:
        """See `DeviceRecords`."""
        return Encoded(self._arena, self._places.of(rows), self._lengths[np.searchsorted(self._rows, rows)])


class _Places:
    """Offsets of the records of rows, which lie in the order in which they came.

    Attributes:
        end: offset of the next one.
    """

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self._rows, self._begins, self.end = rows, np.full(len(rows), -1, np.int64), 0

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where records begin, -1 for those that have not come."""
        found: NDArray[np.int64] = self._begins[np.searchsorted(self._rows, rows)]
        return found

    def runs_of_new(self, rows: NDArray[np.int64]) -> list[slice]:
        """Return the runs of rows that have not come, each of them once."""
        new = np.zeros(len(rows) + 2, np.bool_)
        new[1 + np.unique(rows, return_index=True)[1]] = True
        new[1:-1] &= self.of(rows) < 0
        edges = np.flatnonzero(new[1:] != new[:-1]).tolist()
        return [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]

    def add(self, rows: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        """Let records follow those that came before."""
        ends = self.end + np.cumsum(sizes)
        self._begins[np.searchsorted(self._rows, rows)] = ends - sizes
        self.end = int(ends[-1])


def _encoded(
    buffer: NDArray[np.generic], lengths: NDArray[np.int64], some: slice
) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Return the bytes of some of the encoded records of a host batch, and the bytes of each."""
    begin = int(lengths[: some.start].sum())
    chosen = lengths[some]
    return buffer[begin : begin + int(chosen.sum())], chosen


class CachedPreparation:
    """Prepares batches from records on the device; a host batch brings those that are missing there."""

    def __init__(self, records: DeviceRecords, preparation: FromDevice, device: torch.device) -> None:
        self._records, self._preparation = records, preparation
        self._stream = SideStream(device)
        if self._stream.stream is not None:
            # The memory was taken on this thread's stream, and may be what kernels there still use.
            self._stream.stream.wait_stream(torch.cuda.current_stream(device))

    def run(self, batches: Iterable[HostBatch]) -> Generator[Prepared, None, None]:
        """Prepare batches in their order."""
        try:
            for host in batches:
                with self._stream:
                    self._records.put(host)
                    batch = self._preparation.prepare_at(self._records.where(host.rows), host)
                yield Prepared(host, batch, self._stream.mark())
        finally:
            # An error may have come between a copy from host memory and the event.
            self._stream.finish()
