"""Specification that a model is made from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shards.errors import InvalidValue
from shards.layout.classes import NINETEEN, NOMENCLATURES, Nomenclature
from trainer.data.bands import BandSelection


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that is needed to build a model again.

    Attributes:
        name: one of ours (`bepnet-s`, `bepnet-m`, `bepnet-l`) or one of timm's.
        bands: names of the bands it sees, in channel order.
        drop_rate: share of the pooled features that dropout sets to 0 before the classifier, from 0 up to 1.
        drop_path_rate: chance that the last residual block is skipped for a sample (stochastic depth), from 0 up to 1;
            that of earlier blocks is lower in proportion to their place.
        ignored: names of classes that it is not trained for, in their order: they are never predicted.
        classes: number of the classes that it has outputs for, 19 or 43.
    """

    name: str
    bands: tuple[str, ...]
    drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    ignored: tuple[str, ...] = ()
    classes: int = len(NINETEEN)

    def __post_init__(self) -> None:
        BandSelection(self.bands)  # Refuses unknown and repeated bands.
        for what, rate in (("drop_rate", self.drop_rate), ("drop_path_rate", self.drop_path_rate)):
            if not 0 <= rate < 1:
                raise InvalidValue(f"{what} is {rate}, expected at least 0 and below 1")
        if type(self.classes) is not int or self.classes not in NOMENCLATURES:
            raise InvalidValue(f"classes is {self.classes!r:.80}, expected {' or '.join(map(str, NOMENCLATURES))}")
        if self.ignored != tuple(name for name in self.nomenclature.names if name in self.ignored):
            raise InvalidValue(f"ignored is {'; '.join(map(str, self.ignored))}, expected classes in their order")

    @property
    def nomenclature(self) -> Nomenclature:
        """The classes that it has outputs for, in their order."""
        return NOMENCLATURES[self.classes]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ModelSpec":
        """Return the spec that `to_json` described.

        Raises:
            ValueError: a field is missing, unknown or out of range.
        """
        try:
            return cls(**{**values, "bands": tuple(values["bands"]), "ignored": tuple(values.get("ignored", ()))})
        except (KeyError, TypeError) as err:
            raise InvalidValue(f"{dict(values)!r} does not describe a model: {err}") from None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        values = asdict(self) | {"bands": list(self.bands), "ignored": list(self.ignored)}
        # As models of before, which earlier programs read.
        if not self.ignored:
            del values["ignored"]
        if self.nomenclature is NINETEEN:
            del values["classes"]
        return values
