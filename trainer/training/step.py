"""One step of training: forward, loss, backward, update."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainer.config.options import TrainConfig
from trainer.data.batch import Batch
from trainer.definition.choices import CUDA_GRAPH
from trainer.errors import BadCheckpoint
from trainer.models.classifier import still_statistics
from trainer.models.create import Classifier
from trainer.optimisation import optimizer as optimizers
from trainer.optimisation.ema import Ema
from trainer.runs.checkpoint import fit
from trainer.runtime.precision import autocast, resolve, seek_convolutions
from trainer.runtime.ranks import Ranks, synchronise_batch_norm
from trainer.training.cuda_graph import RecordedStep


class Stepper:
    """A model in training with its optimizer.

    Attributes:
        model: the network, without what torch wraps around it.
        ema: moving average of its weights; None for a run without one.
        norm: norm of the gradients of the last step, before they were clipped, a scalar on the device; None if it was
            not computed.
    """

    def __init__(
        self,
        model: Classifier,
        loss: Callable[[Tensor, Tensor], Tensor],
        config: TrainConfig,
        ranks: Ranks,
        *,
        full: int | None = None,
    ) -> None:
        """Prepare a model for training.

        Args:
            model: on the device of `ranks`.
            loss: (n, 19) logits, (n, 19) labels → (n,) loss of each patch.
            config: of the run.
            ranks: this process among those of the run.
            full: patches of every global batch but the last one of an epoch; None for the batch size.
        """
        self.model = model
        self._full = config.optimisation.batch_size if full is None else full
        self._loss, self._config, self._ranks = loss, config, ranks
        self._optimizer = optimizers.create(config.optimisation, model)
        self._scaler = torch.amp.GradScaler(
            ranks.device.type, enabled=resolve(config.machine.precision, ranks.device) == "fp16"
        )
        self.ema = Ema(model, config.optimisation.ema) if config.optimisation.ema else None
        # A recorded step writes to this address for ever.
        self._norm = torch.full((), torch.nan, device=ranks.device)
        self._measures = False
        self.norm: Tensor | None = None
        self._eager: nn.Module = model
        self._share = torch.ones((), device=ranks.device)
        if ranks.num_ranks > 1:
            synchronise_batch_norm(model, self._share)
            devices = [ranks.device] if ranks.device.type == "cuda" else None
            # BatchNorm's buffers are equal on all ranks without being sent. The option's name has changed.
            names = inspect.signature(DistributedDataParallel).parameters
            name = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
            unsent: dict[str, Any] = {name: False}
            self._eager = DistributedDataParallel(model, device_ids=devices, **unsent)
        self._forward, self._recorded = self._eager, None
        if config.machine.compile == CUDA_GRAPH:
            if ranks.device.type == "cuda":
                self._recorded = RecordedStep(
                    lambda batch: self._update(batch, self._full, self._eager), self._optimizer, ranks.device
                )
        elif config.machine.compile is not None:
            # Never for any batch size: the code would be slower, and take another minute to compile.
            self._forward = torch.compile(self._eager, mode=config.machine.compile, dynamic=False)  # type: ignore[assignment]

    def step(self, batch: Batch, num_patches: int, lr: float, *, measure: bool = False) -> Tensor:
        """Train on this rank's part of a global batch.

        Args:
            batch: the part.
            num_patches: patches of the global batch.
            lr: learning rate.
            measure: compute the norm of the gradients too, if the step is not recorded; clipping always does.

        Returns:
            This rank's share of the mean loss of the global batch, a tensor on the device: the sum over the ranks is
            the loss. Nothing waits for it. On a CPU, a loss that is not finite leaves the weights as they are.
        """
        # The last batch of an epoch is a shape of its own. Looking for the fastest convolutions, compiling or recording
        # takes seconds to minutes, and would be for one step an epoch: it runs as it is.
        is_full = num_patches == self._full
        seek_convolutions(self._ranks.device, for_these=is_full)
        is_recorded = self._recorded is not None and is_full
        self._measures = measure and not is_recorded
        self.norm = self._norm if self._measures or self._config.optimisation.clip is not None else None
        if self._recorded is not None and is_full:
            total = self._recorded(batch, lr)
        else:
            optimizers.set_lr(self._optimizer, lr)
            total = self._update(batch, num_patches, self._forward if is_full else self._eager)
        if self.ema is not None and not _is_lost(total):
            self.ema.update(self.model)
        return total

    def _update(self, batch: Batch, num_patches: int, forward: nn.Module) -> Tensor:
        """Compute the loss, and update the weights; return the loss. Nothing waits for the device."""
        total = torch.zeros((), device=self._ranks.device)
        # A rank without a patch of its own must not have a say in the statistics of BatchNorm.
        self._share.copy_(batch["mask"].any())
        parts = list(_cut(batch, self._config.optimisation.accumulate))
        for number, part in enumerate(parts, 1):
            # Gradients go over the wire once, with the last part.
            with self._no_sync() if number < len(parts) else nullcontext():
                with autocast(self._config.machine.precision, self._ranks.device):
                    logits = forward(part)
                loss = (self._loss(logits, part["label"]) * part["mask"]).sum() / num_patches
                total += loss.detach()
                # DistributedDataParallel takes the mean over the ranks, and the loss is a sum over them.
                with still_statistics(self.model) if self._config.model.checkpointing else nullcontext():
                    self._scaler.scale(loss * self._ranks.num_ranks).backward()
        if not _is_lost(total):
            if self._config.optimisation.clip is not None:
                self._scaler.unscale_(self._optimizer)
                clip = self._config.optimisation.clip
                self._norm.copy_(nn.utils.clip_grad_norm_(self.model.parameters(), clip))
            elif self._measures:
                # A scale is a power of two, so that dividing by it here or in the optimizer gives the same.
                self._scaler.unscale_(self._optimizer)
                gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
                self._norm.copy_(nn.utils.get_total_norm(gradients))
            self._scaler.step(self._optimizer)
            self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        return total

    def _no_sync(self) -> AbstractContextManager[None]:
        return self._eager.no_sync() if isinstance(self._eager, DistributedDataParallel) else nullcontext()

    def evaluated(self) -> nn.Module:
        """Return the network that is to be evaluated: the moving average where there is one."""
        return self.model if self.ema is None else self.ema.model

    def state_dict(self) -> dict[str, Any]:
        """Return what a step changes beside the weights and their average."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "ema_updates": 0 if self.ema is None else self.ema.num_updates,
        }

    def load_state_dict(self, state: dict[str, Any], average: dict[str, Tensor] | None) -> None:
        """Take what `state_dict` returned, and the average of the weights where there is one.

        Raises:
            BadCheckpoint: it is the state of another optimizer or network.
        """
        if not isinstance(state, dict) or not state.keys() >= {"optimizer", "scaler", "ema_updates"}:
            raise BadCheckpoint("the state of the steps lacks the optimizer, the scaler or ema_updates")
        if not isinstance(state["scaler"], dict):
            raise BadCheckpoint("the state of the loss scaler is no dictionary")
        optimizers.check_state(self._optimizer, state["optimizer"])
        self._optimizer.load_state_dict(state["optimizer"])
        try:
            self._scaler.load_state_dict(state["scaler"])
        except (RuntimeError, KeyError, TypeError, AttributeError) as err:
            raise BadCheckpoint(f"the state of the loss scaler does not fit: {err}") from err
        if (self.ema is None) != (average is None):
            raise BadCheckpoint(f"there is {'an' if self.ema is None else 'no'} average of the weights")
        if self.ema is not None and average is not None:
            fit(self.ema.model.state_dict(), average, "averages")
            if type(state["ema_updates"]) is not int or state["ema_updates"] < 0:
                raise BadCheckpoint(f"ema_updates is {state['ema_updates']!r:.80}, expected a number from 0")
            self.ema.load_state_dict({"model": average, "num_updates": state["ema_updates"]})


def _is_lost(loss: Tensor) -> bool:
    """True if a step must not change the weights; not checked on a GPU, for which the host would have to wait."""
    return loss.is_cpu and not loss.isfinite()


def _cut(batch: Batch, num_parts: int) -> Iterator[Batch]:
    """Cut a batch into parts of about the same size, none of them empty."""
    if num_parts == 1:
        yield batch
        return
    count = len(batch["label"])
    num_parts = min(num_parts, count)
    for i in range(num_parts):
        part = slice(i * count // num_parts, (i + 1) * count // num_parts)
        yield {name: values[part] for name, values in batch.items()}
