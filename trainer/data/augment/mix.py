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

from trainer.data.augment.boxes import box_masks, box_sides, by_cell
from trainer.data.batch import CELLS, Batch, Draws
from trainer.data.device.transfer import send

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
    return {"label": labels, "row": rows, "mask": mask, **_mixing(draws)}


def completed(images: Batch, sent: Mapping[str, Tensor]) -> Batch:
    """Do what `complete` does, with arrays that are on the device already: those of `rest`, by name."""
    return _mix(images | {name: sent[name] for name in ("label", "row", "mask")}, sent)


def mix(batch: Batch, draws: Draws) -> Batch:
    """Mix the images and labels of a batch, of layout `stacked` or `native`, on its device.

    1. MixUp: share · patch + (1 − share) · partner, of every image.
    2. CutMix: the pixels in the box `paste` are the partner's alone.
    3. Labels are weighted as pixels are: the patch's with share · (1 − area of the box), the partner's with the rest.

    Both are made of the images as they were before. Nothing is done where neither `share` nor `paste` is drawn.

    Returns:
        A batch with new images and labels, and the other tensors of this one.
    """
    return _mix(batch, send(_mixing(draws), batch["label"].device))


def _mixing(draws: Draws) -> dict[str, NDArray[Any]]:
    """Return by name what patches are mixed by, where they are.

    Weights are those of the second patch of a pair, in what becomes of either patch.

    - `weights`, (2, n) float32, those of pixels: outside of the box that the partner takes, and within it;
    - `label_weight`, (n,) float32, that of the label;
    - `paste`, (n, 2, 20) bool, sides of that box, if there are any.
    """
    if draws.share is None and draws.paste is None:
        return {}
    if draws.paste is None:
        assert draws.share is not None
        weight = _of_second(draws.share)
        return {"weights": np.stack([weight, weight]), "label_weight": weight}
    share = np.ones(len(draws.paste), np.float32) if draws.share is None else draws.share
    area = (draws.paste[:, 2] * draws.paste[:, 3]).astype(np.float32) / np.float32(CELLS**2)
    return {
        "weights": np.stack([_of_second(share), _of_second(np.zeros_like(share))]),
        "label_weight": _of_second(share * (1 - area)),
        "paste": box_sides(draws.paste),
    }


def _of_second(own: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weights of the second patches of the pairs, of each patch's weight in what becomes of itself, (n,)."""
    return np.where(np.arange(len(own)) % 2, own, 1 - own)


def _mix(batch: Batch, mixing: Mapping[str, Tensor]) -> Batch:
    if "weights" not in mixing:
        return batch
    mixed, some = dict(batch), next(batch[name] for name in _IMAGES if name in batch)
    weight, within = mixing["weights"].to(some.dtype)[:, :, None, None, None, None, None]
    if "paste" in mixing:
        weight = torch.where(box_masks(mixing["paste"]), within, weight)
    for name in _IMAGES:
        if name in batch:
            # With the channels last, as they lie in memory, so that they stay there.
            mixed[name] = torch.empty_like(batch[name], memory_format=torch.channels_last)
            _blend(by_cell(batch[name]), weight, by_cell(mixed[name]))
    mixed["label"] = torch.empty_like(batch["label"])
    _blend(batch["label"], mixing["label_weight"][:, None], mixed["label"])
    return mixed


def _blend(values: Tensor, weight: Tensor, out: Tensor) -> None:
    """Write (1 − weight) · first value + weight · second value of each pair into `out`; all are (n, …).

    One pass: both patches of a pair are read while both are written, and are not copied. The last one of an odd number
    is its own partner.
    """
    num, pairs = len(values), len(values) // 2
    both, weights, target = (tensor[: 2 * pairs].unflatten(0, (pairs, 2)) for tensor in (values, weight, out))
    torch.lerp(both[:, :1], both[:, 1:], weights, out=target)
    if 2 * pairs < num:
        out[2 * pairs :] = values[2 * pairs :]
