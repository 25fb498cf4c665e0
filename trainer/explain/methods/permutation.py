"""Permutation importance of bands: loss of average precision where a band is taken from other patches.

Source: Breiman, "Random forests" (Machine Learning 45, 2001), section 10, as Fisher, Rudin, Dominici, "All models are
wrong, but many are useful" (JMLR 20, 2019) make it a property of any model. Whole bands are permuted among patches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from captum.attr import FeaturePermutation
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision

from shards.errors import InvalidValue
from shards.layout.bands import BAND_SLICES
from shards.text.words import counted

REPEATS: Final = 5
"""Permutations of each band."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Importance:
    """Importance of bands for the classes, over a set of patches.

    Attributes:
        bands: names of the B bands.
        precision: (C,) float64, average precision of the classes on unchanged patches; NaN for absent classes.
        loss: (C, B) float64, what it loses where a band is permuted: the mean over the permutations.
        spread: (C, B) float64, standard deviation over the permutations.
        patches: number of patches.
    """

    bands: tuple[str, ...]
    precision: NDArray[np.float64]
    loss: NDArray[np.float64]
    spread: NDArray[np.float64]
    patches: int


def permutation(
    logits: Callable[[NDArray[np.uint16]], Tensor],
    records: NDArray[np.uint16],
    labels: NDArray[np.uint8],
    bands: tuple[str, ...],
    *,
    seed: int = 0,
    repeats: int = REPEATS,
    done: Callable[[int], None] = lambda _: None,
) -> Importance:
    """Return the importance of bands; the same for the same seed.

    Args:
        logits: of (n, 80000) records, (n, C), such as `Predictor.record_logits`.
        records: (N, 80000) uint16, at least two.
        labels: (N, C) uint8 of 0 and 1.
        bands: names of the bands to permute.
        seed: of the permutations.
        repeats: permutations of each band, at least one.
        done: is called with the number of patches after each prediction of all of them, `num_predicted` in all.

    Raises:
        InvalidValue: there are fewer than two patches.
    """
    if len(records) < 2:
        raise InvalidValue(f"{counted(len(records), 'patch', 'patches')} to permute bands among, expected at least 2")
    truth = torch.from_numpy(labels.astype(np.int64))
    present = np.flatnonzero(labels.any(0)).tolist()
    changed = np.empty_like(records)
    as_they_are: list[Tensor] = []
    own = np.arange(len(records))
    rows = torch.arange(len(records))[:, None].expand(-1, len(bands)).contiguous()

    def precision(sources: Tensor) -> Tensor:
        """Return the average precision where band b of patch i is that of patch `sources[i, b]`."""
        is_changed = bool((sources != rows).any())
        if as_they_are and not is_changed:
            return as_they_are[0]
        changed[:] = records
        for band, source in zip(bands, sources.numpy().T, strict=True):
            if (source != own).any():
                changed[:, BAND_SLICES[band]] = records[source, BAND_SLICES[band]]
        found = torch.full((labels.shape[1],), torch.nan, dtype=torch.float64)
        scores = logits(changed)
        for number in present:
            found[number] = binary_average_precision(scores[:, number].sigmoid(), truth[:, number])
        done(len(records))
        if not is_changed:
            as_they_are.append(found)
        return found

    generator = torch.Generator().manual_seed(seed)

    def permuted(sources: Tensor, mask: Tensor) -> Tensor:
        order = torch.randperm(len(sources), generator=generator)
        if (order.numpy() == own).all():
            # Of few patches: nothing is left to predict.
            done(len(records))
        return torch.where(mask, sources[order], sources)

    method = FeaturePermutation(precision, perm_func=permuted)
    columns = torch.arange(len(bands))[None]
    losses = np.stack([method.attribute(rows, feature_mask=columns).numpy() for _ in range(repeats)])
    return Importance(
        bands=bands,
        precision=precision(rows).numpy(),
        loss=losses.astype(np.float64).mean(0),
        spread=losses.astype(np.float64).std(0),
        patches=len(records),
    )


def num_predicted(patches: int, bands: int, repeats: int = REPEATS) -> int:
    """Return the number of patches that `permutation` predicts: each with every band permuted, and once as it is."""
    return patches * (repeats * bands + 1)
