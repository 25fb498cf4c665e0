"""Batches in the host's memory: rows of an order, their records, labels and draws."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards import Store, Verify
from shards.layout.classes import Nomenclature
from trainer.data.augment.draw import draw
from trainer.data.batch import HostBatch
from trainer.data.buffers import Buffers
from trainer.data.device import encoded
from trainer.data.device.records import DeviceRecords
from trainer.data.order import SampleOrder
from trainer.data.stream.read_ahead import ReadAhead
from trainer.definition.augmentation import Augmentation


@dataclass(frozen=True, kw_only=True)
class HostReader:
    """Reads the batches of an epoch, or the share of one rank.

    Attributes:
        store: where the records are.
        order: which patches each batch holds.
        buffers: for the records of a batch; one is taken for each, and given back by whoever uses it.
        device_records: records that the device holds already; None if it keeps none.
        is_encoded: read records as they are stored, for a device that decodes them.
        num_bands: channels of an image, for each of which there are draws.
        augmentation: what is drawn.
        rank: number of this process among `num_ranks`, from 0.
        num_ranks: processes that share each batch.
        verify: which records to compare with their checksums, see `shards.Store`.
        nomenclature: of the labels.
        labels: multi-hot labels of all rows of the index, (patches, C) uint8.
    """

    store: Store
    order: SampleOrder
    buffers: Buffers
    device_records: DeviceRecords | None
    is_encoded: bool
    num_bands: int
    augmentation: Augmentation
    rank: int
    num_ranks: int
    verify: Verify
    nomenclature: Nomenclature
    labels: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", self.store.index.labels(self.nomenclature))

    def batches(self, epoch: int, first_step: int) -> Generator[HostBatch, None, None]:
        """Read the batches of an epoch, both counted from 0.

        Raises:
            CorruptShard: a record is damaged.
        """
        order = self.order.epoch(epoch)
        ahead = ReadAhead(
            self.store, order, self.order.kind, rank=self.rank, num_ranks=self.num_ranks, unread=self._unread
        )
        for step in range(first_step, len(order)):
            rows, mask = order.part(step, self.rank, self.num_ranks)
            numbers = order.numbers(step, self.rank, self.num_ranks)
            ahead.before(step)
            buffer = self.buffers.take()
            try:
                held, lengths = self._read(rows, buffer)
            except BaseException:
                self.buffers.give(buffer)
                raise
            yield HostBatch(
                buffer=buffer,
                labels=self.labels[rows].astype(np.float32),
                rows=rows,
                mask=mask,
                draws=draw(self.augmentation, numbers, self.num_bands, self.order.seed, epoch),
                held=held,
                lengths=lengths,
            )

    def _read(
        self, rows: NDArray[np.int64], buffer: NDArray[Any]
    ) -> tuple[NDArray[np.bool_] | None, NDArray[np.int64] | None]:
        """Read records into a buffer: all, or those that the device lacks, in sequence and without gaps.

        Returns:
            `held` and `lengths` of the host batch.
        """
        held = None
        if self.device_records is not None:
            held = self.device_records.missing(rows)
            rows = rows[held]
        if self.is_encoded:
            return held, encoded.read(self.store, rows, buffer, self.verify)
        if len(rows):
            self.store.read_into(rows, buffer[: len(rows)], verify=self.verify)
        return held, None

    def _unread(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of some rows that the device lacks."""
        return rows if self.device_records is None else rows[self.device_records.missing(rows)]
