"""What is random about the preparation of a patch: which augmentations there are, and their draws."""

import math
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue
from trainer.data.batch import CELLS, Draws
from trainer.data.random import key, splitmix64

Turn = Literal["none", "flips", "d4"]
TURNS: Final[tuple[Turn, ...]] = ("none", "flips", "d4")
Crop = Literal["none", "pad", "resized"]
CROPS: Final[tuple[Crop, ...]] = ("none", "pad", "resized")

CROP_ASPECT: Final = 4 / 3
"""Resized crops are at most this much longer than wide or wider than long: torchvision's RandomResizedCrop."""
ERASE_ASPECT: Final = 1 / 0.3
"""Likewise for erased boxes: Zhong et al., "Random erasing data augmentation" (AAAI 2020)."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How patches are varied; by default not at all.

    Attributes:
        turn: `flips` mirrors left-right and up-down, each with probability 1/2; `d4` draws one of all eight flips and
            right-angle turns of a square.
        crop: `pad` shifts the patch and fills what comes in with the mean of the band; `resized` enlarges a box of the
            patch to the whole image.
        crop_pad: for `pad`, the longest shift in cells of 60 m along each axis.
        crop_scale: for `resized`, the smallest and largest share of the patch's area; sides are rounded to cells.
        gain: amplitude g of a factor of the normalised values, uniform in 1 ± g, for each band of its own.
        offset: amplitude o of what is added to them then, uniform in ± o, for each band of its own.
        band_dropout: probability with which a band becomes 0; one band at least is always left.
        erase: probability with which a box of all bands becomes 0.
        erase_area: the smallest and largest share of the area that such a box takes.
        mixup: alpha of MixUp, 0 for none: a patch is blended with its partner in shares of Beta(alpha, alpha); Zhang et
            al., "mixup: beyond empirical risk minimization" (ICLR 2018).
        cutmix: alpha of CutMix, 0 for none: a square box of the patch is replaced by its partner's, Beta(alpha, alpha)
            of the area remains; Yun et al., "CutMix" (ICCV 2019). With MixUp too, each patch has one or the other, with
            probability 1/2.
    """

    turn: Turn = "none"
    crop: Crop = "none"
    crop_pad: int = 2
    crop_scale: tuple[float, float] = (0.6, 1.0)
    gain: float = 0.0
    offset: float = 0.0
    band_dropout: float = 0.0
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.2)
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.turn not in TURNS:
            raise InvalidValue(f"turn is {self.turn!r}, expected one of {', '.join(TURNS)}")
        if self.crop not in CROPS:
            raise InvalidValue(f"crop is {self.crop!r}, expected one of {', '.join(CROPS)}")
        if not 1 <= self.crop_pad < CELLS:
            raise InvalidValue(f"crop_pad is {self.crop_pad}, expected 1 to {CELLS - 1} cells")
        for what, (low, high) in (("crop_scale", self.crop_scale), ("erase_area", self.erase_area)):
            if not 0 < low <= high <= 1:
                raise InvalidValue(
                    f"{what} is {low} to {high}, expected shares above 0 and up to 1, the smaller one first"
                )
        if not 0 <= self.gain < 1:
            raise InvalidValue(f"gain is {self.gain}, expected 0 or more and less than 1")
        if not 0 <= self.band_dropout < 1:
            raise InvalidValue(f"band_dropout is {self.band_dropout}, expected a probability below 1")
        if not 0 <= self.erase <= 1:
            raise InvalidValue(f"erase is {self.erase}, expected a probability")
        for what in ("offset", "mixup", "cutmix"):
            if not (math.isfinite(getattr(self, what)) and getattr(self, what) >= 0):
                raise InvalidValue(f"{what} is {getattr(self, what)}, expected a number from 0")

    @property
    def fields(self) -> frozenset[str]:
        """Names of the fields of `Draws` that are drawn; the others are None."""
        used = {
            "turn": self.turn != "none",
            "crop": self.crop != "none",
            "gain": self.gain > 0 or self.band_dropout > 0,
            "offset": self.offset > 0,
            "erase": self.erase > 0,
            "share": self.mixup > 0,
            "paste": self.cutmix > 0,
        }
        return frozenset(name for name, is_used in used.items() if is_used)

    def check(self, draws: Draws) -> None:
        """Raise ValueError if the draws are of another augmentation."""
        drawn = {field.name for field in fields(draws) if getattr(draws, field.name) is not None}
        if drawn != self.fields:
            found, expected = (", ".join(sorted(names)) or "nothing" for names in (drawn, self.fields))
            raise InvalidValue(f"a batch has draws of {found}, expected {expected}")


RECIPES: Final[dict[str, Augmentation]] = {
    "none": Augmentation(),
    # What the published reBEN networks are trained with.
    "flips": Augmentation(turn="flips"),
    # Seen from above a landscape has no preferred direction, and a shift by up to 120 of its 1,200 m takes few classes
    # out of view. Haze and the angle of the sun move whole bands by about a tenth of their spread.
    "standard": Augmentation(turn="d4", crop="pad", gain=0.1, offset=0.1),
    # For long runs and large networks. A crop keeps most of the patch, since its labels speak of all of it; the labels
    # of mixed patches are weighted.
    "strong": Augmentation(
        turn="d4", crop="resized", gain=0.2, offset=0.2, band_dropout=0.05, erase=0.25, mixup=0.2, cutmix=1.0
    ),
}
"""Augmentations by name, from the weakest to the strongest."""


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
