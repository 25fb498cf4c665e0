"""Predictions of all kinds, for property tests: with ties, constant scores, absent and ubiquitous classes."""

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from torch import Tensor

from shards import CLASSES

NUM_CLASSES = len(CLASSES)


@st.composite
def predictions(draw: st.DrawFn, steps: int = 160, min_patches: int = 1) -> tuple[Tensor, Tensor]:
    """Return logits (N, 19) and labels (N, 19), some classes of which are absent or in every patch, N at most 12.

    Logits are multiples of 1/8 up to ±`steps`/8: few `steps` make many ties.
    """
    shape = (draw(st.integers(min_patches, 12)), NUM_CLASSES)
    logits = draw(hnp.arrays(np.int64, shape, elements=st.integers(-steps, steps)))
    labels = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 1)))
    kinds = draw(hnp.arrays(np.int64, NUM_CLASSES, elements=st.integers(0, 5)))
    labels[:, kinds == 0], labels[:, kinds == 1] = 0, 1
    logits[:, kinds == 2] = logits[0, kinds == 2]  # Constant within a class.
    return torch.from_numpy(logits).float() / 8, torch.from_numpy(labels).float()


def as_arrays(logits: Tensor, labels: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return predictions as scikit-learn takes them."""
    return logits.double().numpy(), labels.long().numpy()


def random_predictions(
    num_patches: int, num_tiles: int, seed: int = 0, spread: float = 1.0
) -> tuple[NDArray[np.float16], NDArray[np.uint8], NDArray[np.int64]]:
    """Return probabilities (N, 19) with ties, labels (N, 19) and tiles (N,); tiles differ in how well they do."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(0, num_tiles, num_patches)
    tiles[:num_tiles] = np.arange(num_tiles)
    labels = (rng.random((num_patches, len(CLASSES))) < rng.uniform(0.05, 0.5, len(CLASSES))).astype(np.uint8)
    skill = 1.5 + spread * rng.normal(size=(num_tiles, len(CLASSES)))
    logits = (labels - 0.5) * skill[tiles] + rng.normal(size=labels.shape)
    return np.round(1 / (1 + np.exp(-logits)), 2).astype(np.float16), labels, tiles


def named_predictions(n: int = 60, seed: int = 0) -> tuple[list[str], NDArray[np.uint8], NDArray[np.float16]]:
    """Return names of patches of five tiles, labels of a few classes, and probabilities with ties."""
    rng = np.random.default_rng(seed)
    tiles = rng.choice(["33UUP", "29UPV", "35VLF", "34TCR", "31UER"], n)
    keys = [f"S2A_MSIL2A_20170613T101031_N9999_R022_T{tile}_{i}_{i + 1}" for i, tile in enumerate(tiles)]
    labels = (rng.random((n, 19)) < np.r_[np.full(6, 0.3), 0.02, np.zeros(12)]).astype(np.uint8)
    scores = np.clip(0.4 * labels + rng.random((n, 19)) * 0.7, 0, 1).round(1).astype(np.float16)
    return keys, labels, scores
