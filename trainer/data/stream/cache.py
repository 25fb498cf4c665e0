"""The tiers that records can be kept in after they were read once, and the choice between them.

`ram` keeps encoded records in the host's memory, shared by the ranks of a node. `gpu` keeps decoded records on the
device, so that later epochs need neither reading nor decoding nor a copy to the device; `gpu-encoded` keeps encoded
ones there, which take about half of the memory and are decoded by the device for each batch.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from shards import Store
from shards.layout.bands import RECORD_BYTES
from shards.runtime.filesystem import MEMORY, file_system
from trainer.data.device import encoded

Tier = Literal["none", "ram", "gpu", "gpu-encoded"]
TIERS: Final[tuple[Tier, ...]] = ("none", "ram", "gpu", "gpu-encoded")
SHARE_OF_RAM: Final = 0.5
"""`auto` takes at most this share of the host memory that is free."""
SHARE_OF_GPU: Final = 0.6
"""`auto` takes at most this share of the device memory that is free: model, activations and batches need the rest."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A tier that was chosen.

    Attributes:
        tier: the tier.
        reason: why, for people.
    """

    tier: Tier
    reason: str


def choose(store: Store, rows: NDArray[np.int64], device: torch.device, *, decodes: bool) -> Choice:
    """Choose the tier for `cache=auto` from the memory that is free now.

    Args:
        store: where the records come from.
        rows: (n,) rows of its index.
        device: of the batches.
        decodes: whether batches are prepared there by what can decode `bitpack`.
    """
    why = ""
    if device.type == "cuda":
        found = on_gpu(store, rows, device, decodes=decodes)
        if found.tier != "none":
            return found
        why = f"{found.reason}; "
    kind = file_system(store.folder)
    if kind in MEMORY:
        return Choice("none", f"{why}the store lies in memory already ({kind})")
    needed, free = store.encoded_bytes(rows), store.memory_left()
    if needed <= SHARE_OF_RAM * free:
        return Choice("ram", f"{why}{_gb(needed)} of encoded records fit into the {_gb(free)} of memory that are free")
    return Choice(
        "none", f"{why}{_gb(needed)} of encoded records are too much for the {_gb(free)} of memory that are free"
    )


def on_gpu(store: Store, rows: NDArray[np.int64], device: torch.device, *, decodes: bool) -> Choice:
    """Choose between decoded and encoded records on a GPU; arguments as for `choose`.

    Returns:
        `gpu` if decoded records fit, else `gpu-encoded` if encoded ones can be decoded there and fit, else `none`.
    """
    free, _ = torch.cuda.mem_get_info(device)
    needed = len(rows) * RECORD_BYTES
    room = f"the {_gb(free)} that the GPU has free"
    if needed <= SHARE_OF_GPU * free:
        return Choice("gpu", f"{_gb(needed)} of records fit into {room}")
    why = f"{_gb(needed)} of records are too much for {room}"
    if not encoded.can_decode(store):
        return Choice("none", f"{why}, and {store.manifest.codec} is not decoded there, as {encoded.CODEC} is")
    needed = store.encoded_bytes(rows)
    if needed > SHARE_OF_GPU * free:
        return Choice("none", f"{why}, and so are {_gb(needed)} of encoded ones")
    if not decodes:
        return Choice("none", f"{why}, and the {_gb(needed)} of encoded ones are decoded there by Triton only")
    return Choice("gpu-encoded", f"{why}, but {_gb(needed)} of encoded ones fit")


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
