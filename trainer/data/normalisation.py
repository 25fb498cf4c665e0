"""Normalisation of pixel values to numbers around 0 or 1: by band, from the exact statistics of the train split."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shards import CorruptShard, Manifest
from shards.errors import InvalidValue
from shards.text.kinds import check_kind
from trainer.data.bands import BandSelection
from trainer.definition.choices import Method

LOW_PERCENTILE: Final = "2"
HIGH_PERCENTILE: Final = "98"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """(value − centre) / scale by band; with `clamp` cut to 0 … 1 afterwards.

    Attributes:
        bands: names of the bands, in channel order.
        mean: mean of each band in the train split, in the units of the pixels: what a missing pixel is filled with.
        centre: what is taken off, a float for each band: the mean, or the 2nd percentile.
        scale: what the rest is divided by, floats above 0: the standard deviation, or the distance from the 2nd to the
            98th percentile.
        clamp: whether the result is cut to 0 … 1, as percentile scaling does.
    """

    bands: tuple[str, ...]
    mean: tuple[float, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    clamp: bool = False

    def __post_init__(self) -> None:
        for what, values in (("means", self.mean), ("centres", self.centre), ("scales", self.scale)):
            if len(values) != len(self.bands):
                raise InvalidValue(f"{len(values)} {what}, expected one for each of {len(self.bands)} bands")
        for band, scale in zip(self.bands, self.scale, strict=True):
            if not (math.isfinite(scale) and scale > 0):
                raise InvalidValue(f"the scale of {band} is {scale}, expected a number above 0")

    @classmethod
    def standard(cls, bands: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> "Normalisation":
        """Return (value − mean) / std of these bands."""
        return cls(tuple(bands), tuple(mean), tuple(mean), tuple(std))

    @classmethod
    def of_train_split(
        cls, manifest: Manifest, bands: BandSelection | None = None, method: Method = "standard"
    ) -> "Normalisation":
        """Return the normalisation by the train split, which every split is normalised by.

        Args:
            manifest: of the store.
            bands: in channel order; default: all, in record order.
            method: `standard` for mean and standard deviation, `percentile` for the 2nd and 98th percentile.

        Raises:
            InvalidValue: an argument is of another kind.
            CorruptShard: a band has no statistics, or is (nearly) constant and so cannot be normalised.
        """
        check_kind("manifest", manifest, Manifest)
        if bands is not None:
            check_kind("bands", bands, BandSelection)
        names = (bands or BandSelection()).names
        statistics = manifest.splits["train"].statistics
        for band in names:
            if band not in statistics:
                raise CorruptShard(f"the manifest has no statistics of band {band} in the train split")
        means = tuple(statistics[band].mean for band in names)
        if method == "standard":
            centre, scale = means, tuple(statistics[band].std for band in names)
        else:
            centre = tuple(statistics[band].percentiles[LOW_PERCENTILE] for band in names)
            high = tuple(statistics[band].percentiles[HIGH_PERCENTILE] for band in names)
            scale = tuple(b - a for a, b in zip(centre, high, strict=True))
        for band, value, width in zip(names, centre, scale, strict=True):
            if not width > 0:
                where = "every pixel" if method == "standard" else "nearly every pixel"
                raise CorruptShard(f"band {band} is {value:g} in {where} of the train split: it cannot be normalised")
        return cls(names, means, centre, scale, clamp=method == "percentile")

    def select(self, bands: Sequence[str]) -> "Normalisation":
        """Return the normalisation of some of the bands, in their order."""
        places = [self.bands.index(band) for band in bands]
        mean, centre, scale = (tuple(v[i] for i in places) for v in (self.mean, self.centre, self.scale))
        return Normalisation(tuple(bands), mean, centre, scale, self.clamp)
