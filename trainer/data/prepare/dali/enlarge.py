"""Bilinear enlargement of whole images by a whole factor, as passes that blend neighbours along one axis."""

import torch
from torch import Tensor


def blend_weights(factor: int, like: Tensor) -> Tensor:
    """Return the shares of the second of two neighbours in the pixels between their centres, (factor,)."""
    return ((torch.arange(factor, dtype=torch.float64) + 0.5) / factor).to(like)


def enlarge(images: Tensor, axis: int, weights: Tensor, out: Tensor) -> None:
    """Enlarge images along one axis.

    Pixel i of T takes its value at the place (i + 1/2) · S/T − 1/2 of S pixels, linearly between the two around it. The
    factor T/S is even, so T/S pixels lie between the centres of two neighbours, and half as many beyond the outermost
    ones, which they repeat. Two launches.

    Args:
        images: of any shape, S pixels along the axis.
        axis: along which they are enlarged.
        weights: (T/S,) of the type of the images, as `blend_weights` returns them.
        out: where they are written, T pixels along the axis.
    """
    factor, size, half = len(weights), images.shape[axis], len(weights) // 2
    between = out.narrow(axis, half, factor * (size - 1)).unfold(axis, factor, factor)
    first, second = (images.narrow(axis, start, size - 1).unsqueeze(-1) for start in (0, 1))
    torch.lerp(first, second, weights, out=between)
    # Both ends at once.
    ends = out.unfold(axis, half, out.shape[axis] - half)
    ends.copy_(images.unfold(axis, 1, size - 1))
