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
