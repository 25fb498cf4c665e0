"""Parts of a patch that are deleted and inserted: cells of 60 m, in all bands, or whole bands."""

from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batch import CELLS
from trainer.explain.maps import Maps, cell_means
from trainer.explain.subject import Inputs, Subject

Kind: TypeAlias = Literal["pixels", "bands"]


def values_of(maps: Maps, kind: Kind) -> NDArray[np.float32] | None:
    """Return the attribution of each part, (N, parts) float32; None if the method has none for this kind.

    Pixels are taken in cells of 60 m, so that all resolutions lose the same ground.
    """
    if kind == "bands":
        return maps.bands
    return None if maps.pixels is None else cell_means(maps.pixels).reshape(len(maps.pixels), -1)


def mixed(subject: Subject, inputs: Inputs, kept: Tensor, kind: Kind) -> Inputs:
    """Return images of which only some parts are kept; the others have the means of the bands.

    Args:
        subject: the network.
        inputs: n images of each kind.
        kept: (n, parts) bool.
        kind: of the parts.
    """
    found = []
    for image, values, base in zip(subject.images, inputs, subject.baseline, strict=True):
        if kind == "bands":
            mask = kept[:, list(image.channels)][:, :, None, None]
        else:
            times = image.size // CELLS
            mask = kept.unflatten(1, (CELLS, CELLS)).repeat_interleave(times, 1).repeat_interleave(times, 2)[:, None]
        found.append(torch.where(mask, values, base))
    return tuple(found)
