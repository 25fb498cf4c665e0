"""Table `data`: the patches, and how they are normalised, ordered and brought to one size."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from trainer.definition.check import Checked, shown
from trainer.definition.choices import ClassNumber, Interpolation, Method, Order, TrainSplit
from trainer.definition.option import option

if TYPE_CHECKING:
    from shards.layout.classes import Nomenclature

ALL_BANDS = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "B01", "B09")
"""The bands in the order of a record, as `shards.BANDS`."""


@dataclass(frozen=True, kw_only=True)
class DataConfig(Checked):
    """Options of the table `data`."""

    TABLE: ClassVar[str] = "data"

    shards: Path = option(help="Folder or address of the shards.", metavar="DIR", resumable=True)
    bands: tuple[str, ...] = option(
        ALL_BANDS,
        flag=True,
        metavar="SET|NAMES",
        help="Bands in channel order: all, s2-10, rgb, rgb-nir, rgb-swir, or names such as B04,B03,B02.",
    )
    classes: ClassNumber = option(
        19,
        flag=True,
        help="Classes to train: the 19, or the 43 of BigEarthNet v1, of shards that are built with labels43.",
    )
    where: str | None = option(
        None, flag=True, metavar="SQL", help='Use only patches that meet this condition, such as "month in (6, 7)".'
    )
    fraction: float | None = option(
        None, flag=True, above=0, at_most=1, unset="all of it", help="Share of the train split to use, class by class."
    )
    patches: Path | None = option(
        None, flag=True, metavar="FILE", help="Use only patches whose names are in this file."
    )
    train_splits: tuple[TrainSplit, ...] = option(
        ("train",), metavar="SPLITS", help="Splits to train on: train, or train,validation with validation = false."
    )
    validation: bool = option(
        True,
        help="Evaluate each epoch on the validation split; without, best.pt is the last epoch, thresholds are 0.5.",
    )
    repeat_threshold: float | None = option(
        None,
        above=0,
        at_most=1,
        unset="no repeats",
        help="Share of patches below which a class is rare: patches with it are visited more often in an epoch.",
    )
    ignore_labels: tuple[str, ...] = option(
        (),
        metavar="CLASSES",
        help="Classes that are neither trained nor measured, by names or parts of names, separated by commas.",
    )
    normalise: Method = option(
        "standard", help="Normalise by mean and standard deviation, or from the 2nd to the 98th percentile to 0…1."
    )
    statistics: Path | None = option(
        None,
        metavar="FILE|published",
        unset="those of the train split",
        help="Normalise by mean and std of this JSON file, or by the published figures of BigEarthNet.",
    )
    interpolation: Interpolation = option(
        "nearest", help="Resampling of bands at 20 m and 60 m to 10 m, for networks that take one stack."
    )
    order: Order = option(
        "auto", help="Exact shuffle, or windows of whole shards; auto takes block on network file systems."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        from shards.errors import InvalidValue

        if "train" not in self.train_splits or len(set(self.train_splits)) < len(self.train_splits):
            raise InvalidValue(
                f"data.train_splits is {', '.join(self.train_splits) or 'empty'}, "
                "expected train, or train and validation"
            )
        if self.validation and "validation" in self.train_splits:
            raise InvalidValue(
                "data.train_splits has the validation split, whose scores would be those of training patches; "
                "data.validation=false goes with it"
            )
        if self.ignore_labels:
            names = self.nomenclature.names
            if unknown := [name for name in self.ignore_labels if name not in names]:
                raise InvalidValue(
                    f"data.ignore_labels has {shown(unknown[0])}, expected names of classes: {'; '.join(names)}"
                )
            if len(set(self.ignore_labels)) < len(self.ignore_labels):
                raise InvalidValue("data.ignore_labels names a class twice, expected once")
            if len(self.ignore_labels) == len(names):
                raise InvalidValue("data.ignore_labels leaves no class to train; name fewer")

    @property
    def nomenclature(self) -> "Nomenclature":
        """The classes to train."""
        # Imported here, since it takes the libraries that read shards along.
        from shards.layout.classes import NOMENCLATURES

        return NOMENCLATURES[self.classes]
