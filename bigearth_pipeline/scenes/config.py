"""Options of a prediction."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from bigearth_pipeline.scenes.grid.windows import stride_of
from bigearth_pipeline.scenes.inputs.description import Known
from bigearth_pipeline.source.offset import OffsetMode
from shards.errors import InvalidValue
from trainer.definition.choices import DeviceName, Tta

MAX_MISSING: Final = 0.1

Kind = Literal["scene", "patches", "store"]
"""Of an input."""

_KINDS: Final[Mapping[Kind, str]] = {"scene": "scenes", "patches": "patch folders", "store": "stores"}
_HEEDED_BY: Final[Mapping[str, tuple[Kind, ...]]] = {
    "split": ("store",),
    "overlap": ("scene",),
    "offset": ("scene", "patches"),
    "baseline": ("scene",),
    "date": ("scene",),
}
"""Inputs that an option has an effect on; others have one on all."""


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Options of a prediction.

    Attributes:
        runs: folders of runs; probabilities of several are averaged.
        inputs: scenes, patch folders and trees, stores.
        out: folder of the results.
        split: of stores.
        overlap: share of a window's side that it has in common with the next one, 0 to 0.95.
        max_missing: share of a patch's area without data, saturated or hidden by clouds, beyond which it gets no
            result.
        offset: `auto` subtracts the offset of processing baselines from 04.00 on, `none` uses pixels as they are.
        baseline: processing baseline of scenes that do not say theirs, 509 for 05.09.
        date: sensing time of scenes that do not say theirs, UTC.
        tta: `d4` averages over the eight flips and turns.
        csv: write the table as CSV, too.
        picture: write the picture, which takes matplotlib.
        device: `cpu`, `cuda` or `auto`.
        threads: that predict batches and read files; None for one a core.
        batch_size: patches of a batch at most; None for 16 on a CPU and 128 on a GPU.
        overwrite: delete the results of another prediction in the folder.
    """

    runs: tuple[Path, ...]
    inputs: tuple[Path, ...]
    out: Path
    split: str = "test"
    overlap: float = 0.0
    max_missing: float = MAX_MISSING
    offset: OffsetMode = "auto"
    baseline: int | None = None
    date: datetime | None = None
    tta: Tta = "none"
    csv: bool = False
    picture: bool = True
    device: DeviceName = "auto"
    threads: int | None = None
    batch_size: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.inputs:
            raise InvalidValue("no input is named, expected at least one")
        if not 0 <= self.max_missing < 1:
            raise InvalidValue(f"`max_missing={self.max_missing:g}` is not a share from 0 up to 1")
        for name in ("threads", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidValue(f"`{name}={value}` is not at least 1")
        stride_of(self.overlap)

    def check_effect(self, kinds: Container[Kind]) -> None:
        """Refuse options that no input heeds.

        Args:
            kinds: those of the inputs.

        Raises:
            InvalidValue: there is one.
        """
        defaults = {field.name: field.default for field in fields(self)}
        for name, heeding in _HEEDED_BY.items():
            if getattr(self, name) != defaults[name] and not any(kind in kinds for kind in heeding):
                words = " and ".join(_KINDS[kind] for kind in heeding)
                raise InvalidValue(f"`{name}=` has an effect on {words} alone, and no input is one; leave it out")

    @property
    def known(self) -> Known:
        """Facts of inputs whose metadata do not tell them."""
        return Known(offset=self.offset, baseline=self.baseline, date=self.date)
