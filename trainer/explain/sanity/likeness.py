"""Likeness of explanations: rank correlation, and structural similarity of maps.

Adebayo et al. (arXiv:1810.03292), section 3, compare by the same two measures. Maps are compared with their signs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import structural_similarity_index_measure

from trainer.explain.maps import Maps, cell_means


@dataclass(frozen=True, slots=True)
class Likeness:
    """Likeness of explanations to those of the same patches before, as means over them.

    Attributes:
        rank: Spearman's correlation, −1 to 1, of the cells of 60 m of maps, or of the weights of bands; 0 where one
            side has no differences.
        ssim: structural similarity of maps, −1 to 1 (Wang et al. 2004), each divided by its largest value; None for
            weights of bands.
    """

    rank: float
    ssim: float | None


def differing(maps: Maps) -> NDArray[np.bool_]:
    """Return which explanations have differences, (N,) bool: nothing could be like a map of zeros."""
    values = maps.bands if maps.pixels is None else cell_means(maps.pixels)
    assert values is not None
    found: NDArray[np.bool_] = np.ptp(values.reshape(len(values), -1), axis=1) > 0
    return found


def likeness(first: Maps, then: Maps) -> Likeness:
    """Return the likeness of the explanations of one method for the same patches and classes."""
    if first.pixels is None or then.pixels is None:
        assert first.bands is not None
        assert then.bands is not None
        return Likeness(_mean_rank(first.bands, then.bands), None)
    rank = _mean_rank(cell_means(first.pixels), cell_means(then.pixels))
    return Likeness(rank, _ssim(first.pixels, then.pixels))


def rank_correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return Spearman's rank correlation of two arrays of one shape; equal values share their mean rank."""
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / norm if norm else 0.0


def _mean_rank(first: NDArray[np.float32], then: NDArray[np.float32]) -> float:
    return float(np.mean([rank_correlation(a, b) for a, b in zip(first, then, strict=True)]))


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]


def _ssim(first: NDArray[np.float32], then: NDArray[np.float32]) -> float:
    a, b = (torch.from_numpy(_scaled(values))[:, None] for values in (first, then))
    found = structural_similarity_index_measure(a, b, data_range=2.0, reduction="elementwise_mean")
    assert isinstance(found, torch.Tensor)
    return float(found)


def _scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    most = np.abs(values).max((1, 2), keepdims=True)
    return (values / np.where(most > 0, most, 1)).astype(np.float32)
