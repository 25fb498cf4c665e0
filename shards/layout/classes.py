"""The 19-class nomenclature, the mapping of BigEarthNet v1's 43 CORINE classes to it, and label masks.

Source: Sumbul et al., "BigEarthNet-MM: A Large-Scale, Multimodal, Multilabel Benchmark Archive" (2021), table 2.
Two orders of the 19 classes circulate; here they are alphabetical, as in the published weights, and every store
carries the names, so that a reader can tell.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

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
"""BigEarthNet v1 label → 19-class label; None for the eleven classes that the nomenclature drops."""

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
    """Return the label mask of BigEarthNet v1 (43-class) names; 0 if the 19 classes drop all of them.

    Raises:
        ValueError: a name is not in the 43-class nomenclature.
    """
    mask = 0
    for name in names:
        if name not in CLC43_TO_19:
            raise InvalidValue(f"label {name!r} is not in the 43-class nomenclature")
        target = CLC43_TO_19[name]
        if target is not None:
            mask |= _BIT[target]
    return mask


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
    bits = np.arange(len(CLASSES), dtype=np.uint32)
    return (np.asarray(masks, np.uint32)[..., None] >> bits & 1).astype(np.uint8)
