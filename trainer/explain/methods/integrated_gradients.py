"""Integrated gradients: shares of pixels and bands in the difference of a score from that of a patch of band means.

Source: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks" (ICML 2017, arXiv:1703.01365). By their
completeness (proposition 1) the attributions sum to this difference; `Maps.gap` is what the sum of steps leaves of it.
"""

from typing import Final

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from trainer.explain.maps import Maps, spread
from trainer.explain.subject import ROWS, Inputs, Subject

STEPS: Final = (32, 128, 256, 512)
"""Steps of the integral by Gauss-Legendre quadrature: more of them where fewer leave too much."""
TOLERANCE: Final = 0.05
"""Gap that is small enough: this share of the difference of logits, or of one logit if the difference is smaller."""


def integrated_gradients(subject: Subject, inputs: Inputs, targets: Tensor) -> Maps:
    """Return attributions of each pixel of each band; a pixel of 20 m or 60 m is divided among those of 10 m.

    Args:
        subject: the network.
        inputs: n images of each kind.
        targets: (n,) int64, numbers of classes.

    Returns:
        All of `Maps`, in logits: `pixels` sum over the bands, `bands` over the pixels.
    """
    return Maps.joined([_of_part(subject, *part) for part in subject.parts(inputs, targets)])


def is_complete(maps: Maps) -> np.ndarray:
    """Return where attributions sum to the difference of logits within `TOLERANCE`, (N,) bool."""
    assert maps.gap is not None
    assert maps.difference is not None
    return np.abs(maps.gap) <= TOLERANCE * np.maximum(np.abs(maps.difference), 1)


def _of_part(subject: Subject, inputs: Inputs, targets: Tensor) -> Maps:
    found = _by_steps(subject, inputs, targets, STEPS[0])
    for steps in STEPS[1:]:
        rows = np.flatnonzero(~is_complete(found))
        if not len(rows):
            break
        chosen = torch.from_numpy(rows).to(targets.device)
        better = _by_steps(subject, tuple(image[chosen] for image in inputs), targets[chosen], steps)
        for name in Maps.__slots__:
            getattr(found, name)[rows] = getattr(better, name)
    return found


def _by_steps(subject: Subject, inputs: Inputs, targets: Tensor, steps: int) -> Maps:
    method = IntegratedGradients(subject)
    # A processor takes as long for larger parts, between which nobody can interrupt it.
    rows = ROWS if subject.device.type == "cpu" else 4 * ROWS
    parts = method.attribute(
        inputs, baselines=subject.baseline, target=targets, n_steps=steps, internal_batch_size=rows
    )
    band_pixels = torch.empty((len(targets), len(subject.bands), *spread(parts[0][:1, :1]).shape[2:]))
    for image, part in zip(subject.images, parts, strict=True):
        band_pixels[:, list(image.channels)] = spread(part.detach()).float().cpu()
    bands = band_pixels.double().sum((2, 3))
    with torch.no_grad():
        ends = subject(*inputs).gather(1, targets[:, None])[:, 0]
        starts = subject(*subject.baseline)[0, targets]
    difference = (ends - starts).double().cpu()
    return Maps(
        pixels=band_pixels.sum(1).numpy(),
        bands=bands.float().numpy(),
        band_pixels=band_pixels.numpy(),
        gap=(bands.sum(1) - difference).float().numpy(),
        difference=difference.float().numpy(),
    )
