"""Occlusion: loss of score where a square of the patch, or a band, is replaced by the means of the bands.

Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks" (ECCV 2014, arXiv:1311.2901), section
4.2. Squares lie side by side on the ground, so all resolutions lose the same place at the same time.
"""

from collections.abc import Callable, Iterator
from typing import Final

import torch
from captum.attr import FeatureAblation
from torch import Tensor

from shards.errors import InvalidValue
from shards.layout.record import PATCH_METRES
from trainer.data.batch import IMAGE_SIZE
from trainer.explain.maps import Maps
from trainer.explain.names import SQUARES
from trainer.explain.subject import Inputs, Subject

SQUARE: Final = 120
"""Side of a square in metres."""
_AT_A_TIME: Final = 4


def occlusion(subject: Subject, inputs: Inputs, targets: Tensor, square: int = SQUARE) -> Maps:
    """Return the loss of logit for each square, the same for all its pixels.

    Args:
        subject: the network.
        inputs: n images of each kind.
        targets: (n,) int64, numbers of classes.
        square: side in metres, one of `SQUARES`.

    Returns:
        `pixels`, in logits; below 0 where the class scores higher without the square.

    Raises:
        InvalidValue: the side is another one.
    """
    if square not in SQUARES:
        raise InvalidValue(f"`square={square}` m, expected one of {', '.join(map(str, SQUARES))}")
    across = PATCH_METRES // square

    def numbers(size: int) -> Tensor:
        places = torch.arange(size, device=subject.device) * across // size
        return (places[:, None] * across + places)[None, None]

    masks = tuple(numbers(image.size) for image in subject.images)
    # The losses at one pixel of each square of the finest image.
    finest = max(range(len(masks)), key=lambda i: subject.images[i].size)
    times = IMAGE_SIZE // subject.images[finest].size

    def pixels(found: Inputs) -> Maps:
        first = found[finest][:, 0].repeat_interleave(times, -1).repeat_interleave(times, -2)
        return Maps(pixels=first.float().cpu().numpy())

    return Maps.joined([pixels(found) for found in _ablated(subject, inputs, targets, lambda image: masks[image])])


def band_occlusion(subject: Subject, inputs: Inputs, targets: Tensor) -> Maps:
    """Return the loss of logit for each band.

    Args:
        subject: the network.
        inputs: n images of each kind.
        targets: (n,) int64, numbers of classes.

    Returns:
        `bands`, in logits; below 0 where the class scores higher without the band.
    """

    def numbers(image: int) -> Tensor:
        return torch.tensor(subject.images[image].channels, device=subject.device)[None, :, None, None]

    def bands(found: Inputs) -> Maps:
        values = torch.empty((len(found[0]), len(subject.bands)))
        for image, part in zip(subject.images, found, strict=True):
            values[:, list(image.channels)] = part[:, :, 0, 0].float().cpu()
        return Maps(bands=values.numpy())

    return Maps.joined([bands(found) for found in _ablated(subject, inputs, targets, numbers)])


def _ablated(subject: Subject, inputs: Inputs, targets: Tensor, numbers: Callable[[int], Tensor]) -> Iterator[Inputs]:
    """Yield the losses of logit for the features that masks number, of each part of a batch."""
    method = FeatureAblation(subject)
    masks = tuple(
        numbers(i).expand(1, len(image.channels), image.size, image.size) for i, image in enumerate(subject.images)
    )
    for part, classes in subject.parts(inputs, targets):
        with torch.no_grad():
            yield method.attribute(
                part,
                baselines=subject.baseline,
                target=classes,
                feature_mask=masks,
                perturbations_per_eval=_AT_A_TIME,
            )
