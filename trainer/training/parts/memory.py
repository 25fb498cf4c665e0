"""Memory of the host that a training takes beside the records that it keeps there."""

import copy
from typing import Final

import torch
from torch import Tensor

from shards import Store
from shards.layout.bands import GROUP_OF
from trainer.config.options import TrainConfig
from trainer.data.bands import BandSelection
from trainer.models.create import Classifier
from trainer.runtime.ranks import Ranks

LIBRARIES: Final = 160 << 20
"""Bytes of libraries, compiled code, buffers and threads of the first batch; 90 to 170 MB were measured."""
_STATES: Final = {"sgd": 1}
"""Copies of the weights in the state of an optimizer, where these are not two."""
_AHEAD: Final = 4
"""Batches that are prepared ahead, or in use."""
_MEASURED: Final = 2
"""Patches of the pass that is measured: BatchNorm wants more than one."""


def reserve_bytes(model: Classifier, config: TrainConfig, ranks: Ranks) -> int:
    """Return the bytes of the host that the training will take, all processes of the machine together.

    These are libraries and, on a CPU, what a step needs: gradients, the state of the optimizer, the average of the
    weights, batches, and what the forward pass keeps for the backward pass. Memory that is taken already, such as the
    weights, does not count.

    Args:
        model: the network.
        config: of the run.
        ranks: this process among those of the run.
    """
    needed = LIBRARIES
    if ranks.device.type == "cpu":
        sizes = [(p.nbytes, p.requires_grad) for p in model.parameters()]
        trained = sum(size for size, is_trained in sizes if is_trained)
        needed += trained * (1 + _STATES.get(config.optimisation.optimizer, 2))
        if config.optimisation.ema:
            needed += sum(size for size, _ in sizes)
        patches = -(-config.optimisation.batch_size // ranks.num_ranks)
        images, kept = step_bytes(model, -(-patches // config.optimisation.accumulate))
        needed += _AHEAD * images * config.optimisation.accumulate + kept
    return needed * ranks.num_local


def step_bytes(model: Classifier, num_patches: int) -> tuple[int, int]:
    """Return the bytes of a batch's images, and of all that a forward pass keeps for the backward pass.

    Measured with two patches in a copy of the network, so it changes neither its statistics nor the random numbers.

    Args:
        model: the network, on the CPU.
        num_patches: patches of the batch.
    """
    batch = _images(model, _MEASURED)
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        # Held, so that no address comes twice.
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    copied = copy.deepcopy(model).train()
    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        copied(batch)
    for tensor in (*copied.parameters(), *copied.buffers(), *batch.values()):
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    images = sum(tensor.nbytes for tensor in batch.values())
    scale = num_patches / _MEASURED
    return int(images * scale), int(sum(storage.nbytes() for storage in kept.values()) * scale)


def share_memory(store: Store, ranks: Ranks) -> None:
    """Let all processes on a machine keep records in one memory."""
    if ranks.num_local > 1:
        handles = ranks.all(store.memory_handle() if ranks.local_rank == 0 else None)
        handle = handles[ranks.rank - ranks.local_rank]
        if ranks.local_rank:
            assert handle is not None
            store.attach_memory(handle)


def _images(model: Classifier, num_patches: int) -> dict[str, Tensor]:
    """Return images of zeros, as the model takes them."""
    bands = model.spec.bands
    if model.layout == "stacked":
        return {"image": _zeros(num_patches, len(bands), GROUP_OF["B02"].size)}
    groups = BandSelection(bands).by_group()
    return {group: _zeros(num_patches, len(names), GROUP_OF[names[0]].size) for group, names in groups.items()}


def _zeros(num_patches: int, channels: int, size: int) -> Tensor:
    return torch.zeros(num_patches, channels, size, size).contiguous(memory_format=torch.channels_last)
