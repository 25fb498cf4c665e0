"""Table `augmentation`: how the training images are varied at random, and the recipes that set all of it."""

from dataclasses import dataclass
from typing import ClassVar, Final

from trainer.definition.check import Checked
from trainer.definition.choices import Crop, Turn
from trainer.definition.option import option


@dataclass(frozen=True)
class Augmentation(Checked):
    """Random variation of patches; none by default.

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

    TABLE: ClassVar[str] = "augmentation"

    turn: Turn = option("none", help="Mirror, or draw one of all eight flips and right-angle turns.")
    crop: Crop = option("none", help="Shift the patch and pad it with the mean, or enlarge a part of it.")
    # A patch has 20 cells along each axis, of which one is always left.
    crop_pad: int = option(2, at_least=1, at_most=19, unit="cells of 60 m", help="Longest shift of the crop pad.")
    crop_scale: tuple[float, float] = option(
        (0.6, 1.0),
        above=0,
        at_most=1,
        help="Smallest and largest share of the area that the crop resized enlarges; sides are odd numbers of cells of "
        "60 m, or all 20.",
    )
    gain: float = option(0.0, at_least=0, below=1, help="Amplitude of a random factor for each band.")
    offset: float = option(
        0.0, at_least=0, unit="standard deviations", help="Amplitude of a random addition to each band."
    )
    band_dropout: float = option(0.0, at_least=0, below=1, help="Probability that a band is set to its mean.")
    erase: float = option(0.0, at_least=0, at_most=1, help="Probability that a box of the patch is set to the mean.")
    erase_area: tuple[float, float] = option(
        (0.02, 0.2), above=0, at_most=1, help="Smallest and largest share of the area that is erased."
    )
    mixup: float = option(0.0, at_least=0, help="Alpha of MixUp; 0 for none.")
    cutmix: float = option(0.0, at_least=0, help="Alpha of CutMix; 0 for none.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("crop_scale", "erase_area"):
            low, high = getattr(self, name)
            if low > high:
                from shards.errors import InvalidValue

                raise InvalidValue(f"augmentation.{name} is {low} to {high}, expected the smaller share first")

    @property
    def fields(self) -> frozenset[str]:
        """Names of the fields of `trainer.data.batch.Draws` that are drawn; the others are None."""
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
DEFAULT_RECIPE: Final = "standard"
