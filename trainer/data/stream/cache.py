"""The tiers that records can be kept in after they were read once, and the choice between them.

`ram` keeps encoded records in the host's memory, shared by the ranks of a node. `gpu` keeps decoded records on the
device, so that later epochs need neither reading nor decoding nor a copy to the device; `gpu-encoded` keeps encoded
ones there, which take about half of the memory and are decoded by the device for each batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from shards import Store
from shards.layout.bands import RECORD_BYTES
from shards.runtime.filesystem import MEMORY, file_system
from shards.storage.remote.address import Address
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


def plan(
    store: Store,
    rows: Mapping[str, NDArray[np.int64]],
    device: torch.device,
    *,
    decodes: bool,
    on_device: bool,
    reserve_bytes: int = 0,
) -> dict[str, Choice]:
    """Choose the tiers for `cache=auto` from the memory that is free now.

    Args:
        store: where the records come from.
        rows: by split, the (n,) rows of its index that are kept; those that matter most first.
        device: of the batches.
        decodes: whether the backend prepares batches there and can decode `bitpack`.
        on_device: whether the backend takes records that are on the device.
        reserve_bytes: of the host's memory, what is not for records: what training takes.

    Returns:
        A choice for each split: on the GPU where it fits, else in RAM where that fits.
    """
    found: dict[str, Choice] = {}
    if device.type == "cuda" and on_device:
        found = plan_gpu(store, rows, device, decodes=decodes)
    kind = None if isinstance(store.folder, Address) else file_system(store.folder)
    left = SHARE_OF_RAM * max(0, store.memory_left() - reserve_bytes)
    for split, some in rows.items():
        if (on_gpu := found.get(split)) is not None and on_gpu.tier != "none":
            continue
        why = "" if on_gpu is None else f"{on_gpu.reason}; "
        needed = store.encoded_bytes(some)
        if kind in MEMORY:
            found[split] = Choice("none", f"{why}the store lies in memory already ({kind})")
        elif needed <= left:
            left -= needed
            found[split] = Choice("ram", f"{why}{_gb(needed)} of encoded records fit into the memory that is free")
        else:
            what = f"{_gb(needed)} of encoded records are too much for the {_gb(left)} of memory that they may take"
            found[split] = Choice("none", f"{why}{what}")
    return found


def plan_gpu(
    store: Store, rows: Mapping[str, NDArray[np.int64]], device: torch.device, *, decodes: bool
) -> dict[str, Choice]:
    """Choose between decoded and encoded records on a GPU; arguments as for `plan`.

    All splits together take at most `SHARE_OF_GPU` of what is free. A split is kept decoded only if that leaves room
    for those after it, in the form that takes the least.

    Returns:
        For each split `gpu` if decoded records fit, else `gpu-encoded` if encoded ones can be decoded there and fit,
        else `none`.
    """
    free, _ = torch.cuda.mem_get_info(device)
    left = SHARE_OF_GPU * free
    can_decode = encoded.can_decode(store)
    sizes: dict[str, dict[Tier, int]] = {}
    for split, some in rows.items():
        sizes[split] = {"gpu": len(some) * RECORD_BYTES}
        if can_decode and decodes:
            sizes[split]["gpu-encoded"] = store.encoded_bytes(some)
    least = {split: min(forms.values()) for split, forms in sizes.items()}
    found: dict[str, Choice] = {}
    for split, forms in sizes.items():
        after = sum(least[other] for other in least if other not in found and other != split)
        # Without room for all, the splits that come first are kept.
        tier = _largest(forms, left - after) or _largest(forms, left)
        decoded, room = (
            _gb(forms["gpu"]),
            f"the {_gb(left)} that they may take of the {_gb(free)} that the GPU has free",
        )
        if tier == "gpu":
            found[split] = Choice(tier, f"{decoded} of records fit into {room}")
        elif tier is not None:
            others = f" besides {_gb(after)} of other splits" if forms["gpu"] <= left else ""
            what = f"{decoded} of records are too much for {room}{others}, but {_gb(forms[tier])} of encoded ones fit"
            found[split] = Choice(tier, what)
        else:
            why = f"{decoded} of records are too much for {room}"
            if not can_decode:
                why += f", and {store.manifest.codec} is not decoded there, as {encoded.CODEC} is"
            elif not decodes:
                why += f", and the {_gb(store.encoded_bytes(rows[split]))} of encoded ones are decoded by Triton only"
            else:
                why += f", and so are {_gb(forms['gpu-encoded'])} of encoded ones"
            found[split] = Choice("none", why)
        if tier is not None:
            left -= forms[tier]
    return found


def _largest(forms: Mapping[Tier, int], room: float) -> Tier | None:
    """Return the first form, decoded before encoded, that fits."""
    return next((tier for tier, size in forms.items() if size <= room), None)


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
