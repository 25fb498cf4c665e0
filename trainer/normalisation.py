"""Mean and standard deviation by band, by which pixels are normalised."""

import math
from dataclasses import dataclass

from shards import BANDS, CorruptShard, Manifest


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and standard deviation of the twelve bands, in the units of the pixels and in record order.

    Attributes:
        mean: 12 floats.
        std: 12 floats above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(BANDS) or len(self.std) != len(BANDS):
            raise ValueError(f"{len(self.mean)} means and {len(self.std)} deviations, expected {len(BANDS)} of each")
        for band, std in zip(BANDS, self.std, strict=True):
            if not (math.isfinite(std) and std > 0):
                raise ValueError(f"standard deviation of {band} is {std}, expected a number above 0")

    @classmethod
    def of_train_split(cls, manifest: Manifest) -> "Normalisation":
        """Return the exact statistics of the train split, which every split is normalised by.

        Raises:
            CorruptShard: a band is missing, or is constant and so cannot be normalised.
        """
        statistics = manifest.splits["train"].statistics
        for band in BANDS:
            if band not in statistics:
                raise CorruptShard(f"the manifest has no statistics of band {band} in the train split")
            if not statistics[band].std > 0:
                value = statistics[band].min
                raise CorruptShard(f"band {band} is {value} in every pixel of the train split: it cannot be normalised")
        return cls(tuple(statistics[band].mean for band in BANDS), tuple(statistics[band].std for band in BANDS))
