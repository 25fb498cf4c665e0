"""A batch that is prepared, and the stream of its device on which that is done."""

from dataclasses import dataclass
from types import TracebackType

import torch

from trainer.data.batch import Batch, HostBatch


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A batch whose work the device may still be at.

    Attributes:
        host: the host batch that it was made of, whose memory may be overwritten once `done` is complete; None if it is
            a view of that memory.
        batch: tensors to be used on a stream that waits for `done`.
        done: complete once the tensors are written and nothing reads the host batch any more; None if that is so
            already, as on the CPU.
    """

    host: HostBatch | None
    batch: Batch
    done: torch.cuda.Event | None


class SideStream:
    """A stream on which batches are prepared beside the training steps; on the CPU it is nothing.

    As a context manager it is the current stream. It is used by one thread at a time.

    Attributes:
        stream: of the GPU; None on the CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._context: torch.cuda.StreamContext | None = None

    def __enter__(self) -> "SideStream":
        if self.stream is not None:
            self._context = torch.cuda.stream(self.stream)
            self._context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._context is not None:
            self._context.__exit__(kind, err, trace)
            self._context = None

    def mark(self) -> torch.cuda.Event | None:
        """Return an event that is complete once the device has done all that was queued so far; None on the CPU."""
        if self.stream is None:
            return None
        # A thread that waits for it sleeps, so that the others have its core.
        event = torch.cuda.Event(blocking=True)
        event.record(self.stream)
        return event

    def finish(self) -> None:
        """Wait until the device has done all that was queued so far."""
        if self.stream is not None:
            self.stream.synchronize()
