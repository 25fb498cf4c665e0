"""Options of a loader, each checked by its name."""

from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
import torch

from shards import Verify
from shards.errors import InvalidValue
from shards.layout.classes import NINETEEN, Nomenclature
from trainer.data.batch import Layout
from trainer.data.order import Kind
from trainer.data.stream.cache import Tier
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.choices import Backend, Interpolation
from trainer.definition.option import MOST

_CHOICES: Final[dict[str, Any]] = {
    "order": Kind,
    "layout": Layout,
    "interpolation": Interpolation,
    "loader": Backend,
    "cache": Tier,
    "verify": Verify,
}
_RANGES: Final = {"batch_size": (1, MOST), "seed": (0, 2**63 - 1), "rank": (0, MOST), "num_ranks": (1, MOST)}
_TYPES: Final = {"device": torch.device, "augmentation": Augmentation, "nomenclature": Nomenclature}


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """Options of a loader.

    Attributes:
        batch_size: patches of a global batch, over all ranks; the last one of an epoch holds what is left.
        device: where the batches go; a text is taken for one (`cpu`, `cuda:1`).
        order: of the patches: `global` (an exact permutation in every epoch), `block` (windows of whole shards,
            read in sequence and mixed), `sequential` (ascending rows).
        seed: seed of order and augmentation.
        layout: what a batch holds: see `trainer.data.batch.Batch`.
        interpolation: how bands are brought to another size.
        augmentation: what is random; by default nothing.
        loader: program that prepares the images: `dali`; `numba`, one compiled pass, on the CPU with nearest pixels
            only; `triton`, on a GPU only; `torch`; or `auto`, see `trainer.data.prepare.backend.Images`.
        cache: where records are kept after they were read once, see `trainer.data.stream.cache`.
        reserve_bytes: of the host's memory, what records kept there must leave free, for the network and others.
        rank: number of this process among `num_ranks`, from 0.
        num_ranks: processes that share each global batch.
        verify: which records to compare with their checksums, see `shards.Store`.
        nomenclature: of the labels.
    """

    batch_size: int
    device: torch.device
    order: Kind = "global"
    seed: int = 0
    layout: Layout = "stacked"
    interpolation: Interpolation = "nearest"
    augmentation: Augmentation = RECIPES["none"]
    loader: Backend = "auto"
    cache: Tier = "none"
    reserve_bytes: int = 0
    rank: int = 0
    num_ranks: int = 1
    verify: Verify = "first"
    nomenclature: Nomenclature = NINETEEN

    def __post_init__(self) -> None:
        """Refuse values that are none of those above.

        Raises:
            InvalidValue: names the field.
        """
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) not in get_args(choices):
                raise InvalidValue(f"{name} is {value!r}, expected one of {', '.join(map(repr, get_args(choices)))}")
        device: object = self.device
        if isinstance(device, str):
            # As torch itself takes texts for devices.
            try:
                object.__setattr__(self, "device", torch.device(device))
            except RuntimeError:
                raise InvalidValue(
                    f"device is {device!r:.60}, expected one that torch knows, such as 'cpu' or 'cuda'"
                ) from None
        for name, kind in _TYPES.items():
            if not isinstance(value := getattr(self, name), kind):
                raise InvalidValue(f"{name} is {value!r}, expected a {kind.__module__}.{kind.__qualname__}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
                raise InvalidValue(
                    f"{name} is {value!r:.60}, expected an integer of at least {least} and at most {most:,}"
                )
        if self.rank >= self.num_ranks:
            raise InvalidValue(f"rank is {self.rank} of num_ranks {self.num_ranks}, expected 0 or more and below them")
