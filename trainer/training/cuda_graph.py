"""Training steps that are recorded once as a CUDA graph and launched as a whole: `compile=cuda-graph`.

A small network at a large batch is bound by the 350 to 400 kernels that Python launches in a step. `reduce-overhead` of
torch.compile records forward and backward, with fused kernels, and compiles them first. Here forward, loss,
backward and update are recorded as they are, in one step, which needs no compiler.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs, whole-network capture.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainer.data.batch import Batch
from trainer.definition.choices import CUDA_GRAPH
from trainer.errors import TrainError
from trainer.optimisation.optimizer import LR_SCALE, set_lr
from trainer.runtime.out_of_memory import where_lacking

"""The value of the option `compile`."""
WARM_UP: Final = 3
"""Steps that run one kernel at a time before one is recorded: they make the optimiser's state, and let cuDNN choose its
kernels, neither of which can be recorded. The number is that of torch's notes."""
_UNUSED: Final = "row"
"""Field of a batch that a step does not look at."""


class CudaRecorder:
    """Records with torch.cuda."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        """Run what is to be recorded later, on a stream of its own, in order with the current one."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)

    def record(self, compute: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
        """Record a function without running it; return what runs it, and the tensor that then holds its result."""
        graph = torch.cuda.CUDAGraph()
        # The loader's threads take memory and wait for events in the meantime: only this one must not.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            result = compute()
        return graph.replay, result


class RecordedStep:
    """A step on batches of one size: one kernel at a time at first, then recorded, then replayed.

    Every batch is trained on exactly once: the steps of the warm-up are steps of the run.

    Attributes:
        num_replays: steps that were replayed so far.
    """

    def __init__(
        self,
        compute: Callable[[Batch], Tensor],
        optimizer: Optimizer,
        device: torch.device,
        recorder: CudaRecorder | None = None,
    ) -> None:
        """Prepare.

        Args:
            compute: forward, loss, backward and update; returns the loss, a scalar on the device. It must not wait for
                the device, and must leave no gradients.
            optimizer: that it updates with: its learning rate is read from the device in a replay.
            device: of both.
            recorder: how to record; None for torch.cuda.
        """
        self.num_replays = 0
        self._compute, self._optimizer = compute, optimizer
        self._recorder = CudaRecorder(device) if recorder is None else recorder
        self._num_eager = 0
        # One for each group, since groups may have shares of the learning rate.
        self._lrs = [torch.zeros((), device=device) for _ in optimizer.param_groups]
        self._inputs: Batch = {}
        self._replay: Callable[[], object] | None = None
        self._loss = torch.zeros((), device=device)

    def __call__(self, batch: Batch, lr: float) -> Tensor:
        """Train on a batch.

        Args:
            batch: of the same shapes in every call.
            lr: learning rate.

        Returns:
            The loss, a scalar on the device.

        Raises:
            TrainError: the step cannot be recorded.
        """
        batch = {name: values for name, values in batch.items() if name != _UNUSED}
        if self._num_eager < WARM_UP:
            self._num_eager += 1
            set_lr(self._optimizer, lr)
            with self._recorder.warm_up():
                return self._compute(batch)
        if self._replay is None:
            # The graph reads from these addresses for ever.
            self._inputs = {name: torch.empty_like(values) for name, values in batch.items()}
            self._replay, self._loss = self._record()
        for name, values in self._inputs.items():
            values.copy_(batch[name], non_blocking=True)
        for own, group in zip(self._lrs, self._optimizer.param_groups, strict=True):
            own.fill_(lr * group.get(LR_SCALE, 1.0))
        self._replay()
        self.num_replays += 1
        # The next replay overwrites it.
        return self._loss.clone()

    def _record(self) -> tuple[Callable[[], object], Tensor]:
        try:
            with _recordable(self._optimizer, self._lrs):
                return self._recorder.record(lambda: self._compute(self._inputs))
        except RuntimeError as err:
            if where_lacking(err) is not None:
                raise
            raise TrainError(
                f"a step of this network cannot be recorded as a CUDA graph ({err}); leave `compile={CUDA_GRAPH}` "
                "out, or take `compile=reduce-overhead`"
            ) from err


@contextmanager
def _recordable(optimizer: Optimizer, lrs: list[Tensor]) -> Iterator[None]:
    """Let an optimiser read the learning rates of its groups from tensors, and be recorded, while the block runs.

    Afterwards its groups are as before, so that a saved state does not show how its steps were launched.
    """
    names = ("lr", "capturable")
    kept = [(group, {name: group[name] for name in names if name in group}) for group in optimizer.param_groups]
    for lr, (group, values) in zip(lrs, kept, strict=True):
        group.update({name: lr if name == "lr" else True for name in values})
    try:
        yield
    finally:
        for group, values in kept:
            group.update(values)
