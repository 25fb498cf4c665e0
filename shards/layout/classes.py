"""The nomenclatures of 19 and of 43 classes, the mapping of the 43 of BigEarthNet v1 to the 19, and label masks.

Source: Sumbul et al., "BigEarthNet-MM: A Large-Scale, Multimodal, Multilabel Benchmark Archive" (2021), table 2.
Two orders of the 19 classes circulate; here they are alphabetical, as in the published weights, and every store
carries the names, so that a reader can tell.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue

_LAND_PRINCIPALLY: Final = "Land principally occupied by agriculture, with significant areas of natural vegetation"

CLASSES: Final[tuple[str, ...]] = (
    "Agro-forestry areas",
    "Arable land",
    "Beaches, dunes, sands",
    "Broad-leaved forest",
    "Coastal wetlands",
    "Complex cultivation patterns",
    "Coniferous forest",
    "Industrial or commercial units",
    "Inland waters",
    "Inland wetlands",
    _LAND_PRINCIPALLY,
    "Marine waters",
    "Mixed forest",
    "Moors, heathland and sclerophyllous vegetation",
    "Natural grassland and sparsely vegetated areas",
    "Pastures",
    "Permanent crops",
    "Transitional woodland, shrub",
    "Urban fabric",
)

CLC43_TO_19: Final[dict[str, str | None]] = {
    "Continuous urban fabric": "Urban fabric",
    "Discontinuous urban fabric": "Urban fabric",
    "Industrial or commercial units": "Industrial or commercial units",
    "Road and rail networks and associated land": None,
    "Port areas": None,
    "Airports": None,
    "Mineral extraction sites": None,
    "Dump sites": None,
    "Construction sites": None,
    "Green urban areas": None,
    "Sport and leisure facilities": None,
    "Non-irrigated arable land": "Arable land",
    "Permanently irrigated land": "Arable land",
    "Rice fields": "Arable land",
    "Vineyards": "Permanent crops",
    "Fruit trees and berry plantations": "Permanent crops",
    "Olive groves": "Permanent crops",
    "Pastures": "Pastures",
    "Annual crops associated with permanent crops": "Permanent crops",
    "Complex cultivation patterns": "Complex cultivation patterns",
    _LAND_PRINCIPALLY: _LAND_PRINCIPALLY,
    "Agro-forestry areas": "Agro-forestry areas",
    "Broad-leaved forest": "Broad-leaved forest",
    "Coniferous forest": "Coniferous forest",
    "Mixed forest": "Mixed forest",
    "Natural grassland": "Natural grassland and sparsely vegetated areas",
    "Moors and heathland": "Moors, heathland and sclerophyllous vegetation",
    "Sclerophyllous vegetation": "Moors, heathland and sclerophyllous vegetation",
    "Transitional woodland/shrub": "Transitional woodland, shrub",
    "Beaches, dunes, sands": "Beaches, dunes, sands",
    "Bare rock": None,
    "Sparsely vegetated areas": "Natural grassland and sparsely vegetated areas",
    "Burnt areas": None,
    "Inland marshes": "Inland wetlands",
    "Peatbogs": "Inland wetlands",
    "Salt marshes": "Coastal wetlands",
    "Salines": "Coastal wetlands",
    "Intertidal flats": None,
    "Water courses": "Inland waters",
    "Water bodies": "Inland waters",
    "Coastal lagoons": "Marine waters",
    "Estuaries": "Marine waters",
    "Sea and ocean": "Marine waters",
}
"""BigEarthNet v1 label → 19-class label; None for the eleven classes that the nomenclature drops.

In the order of the codes of CORINE Land Cover at level 3, 111 to 523.
"""


@dataclass(frozen=True, slots=True)
class Nomenclature:
    """Names of classes in the order of labels, and the column of the index that holds masks of them.

    A label mask has bit i set for class i.

    Attributes:
        names: of the classes.
        column: of the index.
    """

    names: tuple[str, ...]
    column: str

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        return f"{len(self)}-class nomenclature"

    def encode(self, names: Iterable[str]) -> int:
        """Return the label mask of names.

        Raises:
            ValueError: a name is not in the nomenclature.
        """
        mask = 0
        for name in names:
            if name not in self.names:
                raise InvalidValue(f"label {name!r} is not in the {self}")
            mask |= 1 << self.names.index(name)
        return mask

    def decode(self, mask: int) -> tuple[str, ...]:
        """Return the names of a label mask, in the order of the classes."""
        return tuple(name for i, name in enumerate(self.names) if mask >> i & 1)

    def multi_hot(self, masks: NDArray[np.unsignedinteger[Any]] | int) -> NDArray[np.uint8]:
        """Return label masks of shape (...) as multi-hot uint8 of shape (..., classes)."""
        # Of all rows of an index at once: 64 bits would take twice the memory.
        kind: Any = np.uint32 if len(self) <= 32 else np.uint64
        bits = np.arange(len(self), dtype=kind)
        found: NDArray[np.uint8] = (np.asarray(masks, kind)[..., None] >> bits & kind(1)).astype(np.uint8)
        return found


NINETEEN: Final = Nomenclature(CLASSES, "label_mask")
"""The classes that every store has, BigEarthNet's since version 2."""
FORTY_THREE: Final = Nomenclature(tuple(CLC43_TO_19), "labels43")
"""Those of BigEarthNet v1, which a store has if it was built so."""
NOMENCLATURES: Final = {len(each): each for each in (NINETEEN, FORTY_THREE)}
"""By number of classes."""

_BIT: Final = {name: 1 << i for i, name in enumerate(CLASSES)}


def encode_labels(names: Iterable[str]) -> int:
    """Return the label mask of 19-class names: bit i is set for `CLASSES[i]`.

    Raises:
        ValueError: a name is not in the nomenclature.
    """
    mask = 0
    for name in names:
        try:
            mask |= _BIT[name]
        except KeyError:
            raise InvalidValue(f"label {name!r} is not in the 19-class nomenclature") from None
    return mask


def encode_clc_labels(names: Iterable[str]) -> int:
    """Return the label mask (19 classes) of BigEarthNet v1 (43-class) names; 0 if the 19 classes drop all of them.

    Raises:
        ValueError: a name is not in the 43-class nomenclature.
    """
    return mask_of_19(FORTY_THREE.encode(names))


@lru_cache(maxsize=4096)
def mask_of_19(mask43: int) -> int:
    """Return the mask of the 19 classes that follows from one of the 43, by `CLC43_TO_19`."""
    return int(masks_of_19(np.array([mask43], np.uint64))[0])


def masks_of_19(masks43: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the masks (n,) uint32 of the 19 classes that follow from those of the 43 (n,) uint64, by `CLC43_TO_19`."""
    found = np.zeros(masks43.shape, np.uint32)
    for i, name in enumerate(CLC43_TO_19.values()):
        if name is not None:
            found |= (masks43 >> np.uint64(i) & np.uint64(1)).astype(np.uint32) * np.uint32(_BIT[name])
    return found


@lru_cache(maxsize=4096)
def decode_labels(mask: int) -> tuple[str, ...]:
    """Return the 19-class names of a label mask, in the order of `CLASSES`."""
    return tuple(name for i, name in enumerate(CLASSES) if mask >> i & 1)


@lru_cache(maxsize=4096)
def label_bytes(mask: int) -> bytes:
    """Return the 19 bytes of a `.labels` member: byte i is 1 if the mask holds `CLASSES[i]`, else 0."""
    return bytes(mask >> i & 1 for i in range(len(CLASSES)))


def multi_hot(masks: NDArray[np.uint32] | int) -> NDArray[np.uint8]:
    """Return label masks of shape (...) as multi-hot uint8 of shape (..., 19)."""
    return NINETEEN.multi_hot(masks)
