"""The draws of an augmentation: all random numbers of the preparation of a patch."""

from dataclasses import fields
from enum import IntEnum
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue
from trainer.data.batch import CELLS, Draws
from trainer.data.random import key, splitmix64
from trainer.definition.augmentation import Augmentation

CROP_ASPECT: Final = 4 / 3
"""Resized crops are at most this much longer than wide or wider than long: torchvision's RandomResizedCrop."""
ERASE_ASPECT: Final = 1 / 0.3
"""Likewise for erased boxes: Zhong et al., "Random erasing data augmentation" (AAAI 2020)."""


_AUGMENTATION: Final = int.from_bytes(b"augment")
"""Says in the key of a draw what it is for."""
_LANES: Final = 32
"""Numbers that a row can draw."""


class _Lane(IntEnum):
    """The first of the numbers that a row draws for a purpose."""

    TURN = 0
    CROP = 1
    ERASE = 5
    MIX = 10
    BANDS = 14


def check_draws(augmentation: Augmentation, draws: Draws) -> None:
    """Raise InvalidValue if the draws are of another augmentation."""
    drawn = {field.name for field in fields(draws) if getattr(draws, field.name) is not None}
    if drawn != augmentation.fields:
        found, expected = (", ".join(sorted(names)) or "nothing" for names in (drawn, augmentation.fields))
        raise InvalidValue(f"a batch has draws of {found}, expected {expected}")


def draw(augmentation: Augmentation, rows: NDArray[np.int64], num_bands: int, seed: int, epoch: int) -> Draws:
    """Draw what is random about the preparation of patches.

    Args:
        augmentation: how patches are varied.
        rows: (n,) rows of the index. What a row draws does not depend on the others.
        num_bands: C, bands that the model sees.
        seed: seed of the run.
        epoch: number of the epoch, from 0.
    """
    used = augmentation.fields
    if not used:
        return Draws()
    state, steps = key(seed, epoch, _AUGMENTATION), rows.astype(np.uint64) * np.uint64(_LANES)

    def bits(lane: _Lane, count: int) -> NDArray[np.uint64]:
        """Return (count, n) random integers."""
        return splitmix64(state, steps + np.arange(lane, lane + count, dtype=np.uint64)[:, None])

    def uniform(lane: _Lane, count: int) -> NDArray[np.float64]:
        """Return (count, n) numbers from 0 (included) to 1 (excluded)."""
        return (bits(lane, count) >> np.uint64(11)) * np.float64(2.0**-53)

    turn = crop = gain = offset = erase = share = paste = None
    if "turn" in used:
        turn = (bits(_Lane.TURN, 1) >> np.array([[63], [62], [61]], np.uint64) & np.uint64(1)).T.astype(np.uint8)
        if augmentation.turn == "flips":
            turn[:, 0] = 0
    if augmentation.crop == "pad":
        crop = _shifts(augmentation.crop_pad, uniform(_Lane.CROP, 2))
    elif augmentation.crop == "resized":
        crop = _boxes(augmentation.crop_scale, CROP_ASPECT, uniform(_Lane.CROP, 4), odd=True)
    if used & {"gain", "offset"}:
        # One number a band is enough for three draws of 21 bits each.
        band_bits = bits(_Lane.BANDS, num_bands).T.copy()
        first, second, third = (
            (band_bits >> np.uint64(k) & np.uint64(2**21 - 1)) * np.float64(2.0**-21) for k in (43, 22, 1)
        )
        dropped = _dropped(augmentation.band_dropout, third)
        if "gain" in used:
            gain = np.where(dropped, 0, 1 + (2 * first - 1) * augmentation.gain).astype(np.float32)
        if "offset" in used:
            offset = np.where(dropped, 0, (2 * second - 1) * augmentation.offset).astype(np.float32)
    if "erase" in used:
        *numbers, chance = uniform(_Lane.ERASE, 5)
        erase = _boxes(augmentation.erase_area, ERASE_ASPECT, np.stack(numbers), odd=False)
        erase[chance >= augmentation.erase] = 0
    if used & {"share", "paste"}:
        quantile, y, x, coin = uniform(_Lane.MIX, 4)
        if "share" in used:
            share = _beta(augmentation.mixup, quantile).astype(np.float32)
        if "paste" in used:
            paste = _squares(1 - _beta(augmentation.cutmix, quantile), y, x)
        if share is not None and paste is not None:
            share[coin < 0.5] = 1
            paste[coin >= 0.5] = 0
    return Draws(turn, crop, gain, offset, erase, share, paste)


def _shifts(pad: int, numbers: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return boxes as large as the patch, up to `pad` cells away from it, (n, 4)."""
    boxes = np.full((numbers.shape[1], 4), CELLS, np.int32)
    boxes[:, :2] = (numbers * (2 * pad + 1)).T.astype(np.int32) - pad
    return boxes


def _boxes(area: tuple[float, float], aspect: float, numbers: NDArray[np.float64], *, odd: bool) -> NDArray[np.int32]:
    """Return boxes inside of the patch, (n, 4).

    Args:
        area: smallest and largest share of the area.
        aspect: sides are in proportions from 1 : aspect to aspect : 1, uniform in the logarithm.
        numbers: (4, n), uniform in 0 … 1.
        odd: round sides to odd numbers or `CELLS`.
    """
    share = area[0] + (area[1] - area[0]) * numbers[0]
    ratio = aspect ** (numbers[1] - 0.5)
    sides = np.stack([np.sqrt(share) * ratio, np.sqrt(share) / ratio]) * CELLS
    # Down to an even number, plus 1: the nearest odd one.
    rounded = 2 * np.floor(sides / 2) + 1 if odd else np.rint(sides)
    rounded[sides >= CELLS - 0.5] = CELLS
    rounded = np.clip(rounded, 1, CELLS)
    starts = np.floor(numbers[2:] * (CELLS - rounded + 1))
    return np.concatenate([starts, rounded]).T.astype(np.int32)


def _squares(area: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return squares that take `area` of the patch, centred anywhere in it and cut off at its edges, (n, 4)."""
    side = np.rint(CELLS * np.sqrt(area))
    first = np.floor(np.stack([y, x]) * CELLS) - side // 2
    start, stop = np.clip(first, 0, CELLS), np.clip(first + side, 0, CELLS)
    return np.concatenate([start, stop - start]).T.astype(np.int32)


def _dropped(probability: float, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which bands become 0, (n, C): those with a number below the probability, but never all of a patch."""
    dropped = numbers < probability
    dropped[np.arange(len(numbers)), numbers.argmax(1)] = False
    return dropped


def _beta(alpha: float, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return draws of Beta(alpha, alpha), made of numbers that are uniform in 0 … 1."""
    probabilities, places = _beta_table(alpha)
    # The density is symmetric about 1/2.
    low = np.interp(np.minimum(numbers, 1 - numbers), probabilities, places) ** (1 / min(alpha, 1))
    return np.where(numbers < 0.5, low, 1 - low)


@lru_cache(maxsize=8)
def _beta_table(alpha: float, steps: int = 4096) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tabulate the distribution function of Beta(alpha, alpha) from 0 to 1/2.

    The density, s^(alpha−1) (1−s)^(alpha−1), has a pole at 0 if alpha is below 1. With v = s^b, b = min(alpha, 1), it
    is s^(alpha−b) (1−s)^(alpha−1) up to a factor: bounded, and integrated by trapezoids.

    Returns:
        The probabilities of being at most s, ascending from 0 to 1/2, and the places v = s^b.
    """
    power = min(alpha, 1)
    places = np.linspace(0, 0.5**power, steps + 1)
    s = places ** (1 / power)
    density = s ** (alpha - power) * (1 - s) ** (alpha - 1)
    integral = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return 0.5 * integral / integral[-1], places
