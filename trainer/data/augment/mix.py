"""MixUp and CutMix: a patch with its partner in the batch.

The partner of the patch at place p is the one at place p XOR 1; the last one of an odd number is its own. Global
batches are cut at even places, so a patch has the same partner whatever the number of ranks is.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.augment.boxes import box_masks
from trainer.data.batch import CELLS, Batch, Draws
from trainer.data.device.transfer import send, to_device

_IMAGES = ("image", "b10", "b20", "b60")


def complete(
    images: Batch, labels: NDArray[np.float32], rows: NDArray[np.int64], mask: NDArray[np.bool_], draws: Draws
) -> Batch:
    """Return the batch of images that are prepared: with `label`, `row` and `mask` beside them, and mixed.

    The arrays, as in `HostBatch`, are copied to where the images are, without waiting for the device.
    """
    return completed(images, send(rest(labels, rows, mask, draws), next(iter(images.values())).device))


def rest(
    labels: NDArray[np.float32], rows: NDArray[np.int64], mask: NDArray[np.bool_], draws: Draws
) -> dict[str, NDArray[Any]]:
    """Return what `completed` needs on the device, by name."""
    mixing = {"share": draws.share, "paste": draws.paste}
    drawn = {name: array for name, array in mixing.items() if array is not None}
    return {"label": labels, "row": rows, "mask": mask, **drawn}


def completed(images: Batch, sent: Mapping[str, Tensor]) -> Batch:
    """Do what `complete` does, with arrays that are on the device already: those of `rest`, by name."""
    batch = images | {name: sent[name] for name in ("label", "row", "mask")}
    return _mix(batch, sent.get("share"), sent.get("paste"))


def mix(batch: Batch, draws: Draws) -> Batch:
    """Mix the images and labels of a batch, of layout `stacked` or `native`, on its device.

    1. MixUp: share · patch + (1 − share) · partner, of every image.
    2. CutMix: the pixels in the box `paste` are the partner's alone.
    3. Labels are weighted as pixels are: the patch's with share · (1 − area of the box), the partner's with the rest.

    Both are made of the images as they were before. Nothing is done where neither `share` nor `paste` is drawn.

    Returns:
        A batch with new images and labels, and the other tensors of this one.
    """
    device = batch["label"].device
    share, boxes = (None if array is None else to_device(array, device) for array in (draws.share, draws.paste))
    return _mix(batch, share, boxes)


def _mix(batch: Batch, share: Tensor | None, boxes: Tensor | None) -> Batch:
    if share is None and boxes is None:
        return batch
    label = batch["label"]
    own = torch.ones(len(label), device=label.device) if share is None else share
    mixed = dict(batch)
    for name in _IMAGES:
        if name in batch:
            image = batch[name]
            weight = own[:, None, None, None]
            if boxes is not None:
                weight = weight * ~box_masks(boxes, image.shape[2])
            # With the channels last, as they lie in memory, so that they stay there.
            pixels, weight = image.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1).to(image.dtype)
            mixed[name] = torch.lerp(_partners(pixels), pixels, weight).permute(0, 3, 1, 2)
    if boxes is not None:
        own = own * (1 - boxes[:, 2] * boxes[:, 3] / CELLS**2)
    mixed["label"] = torch.lerp(_partners(label), label, own[:, None])
    return mixed


def _partners(values: Tensor) -> Tensor:
    """Return the partners of values (n, …): neighbours swapped, the last one of an odd number left where it is."""
    places = torch.arange(len(values), device=values.device)
    # Several times as fast on the CPU as index_select.
    return values[(places ^ 1).clamp(max=len(values) - 1)]
