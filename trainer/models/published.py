"""Channel orders and class orders of published weights: a file of weights holds neither.

| preset | channels | classes | published in |
|---|---|---|---|
| `reben-s2-v0.2.0` | B02 B03 B04 B05 B06 B07 B08 B8A B11 B12 | alphabetical | [1], models `…-s2-v0.2.0` |
| `reben-all-v0.2.0` | VV VH, then as above | alphabetical | [1], models `…-all-v0.2.0` |
| `reben-s2-v0.1.1` | B02 B03 B04 B08 B05 B06 B07 B11 B12 B8A | alphabetical | [1], models `…-s2-v0.1.1` |
| `reben-all-v0.1.1` | as above, then VH VV | alphabetical | [1], models `…-all-v0.1.1` |
| `configilm-s2` | B02 B03 B04 B08 B05 B06 B07 B11 B12 B8A | – | [2] |
| `configilm-all` | as above, then VH VV | – | [2] |
| `s2-l1c` | B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12 | – | [3], [4]: SSL4EO-S12, torchgeo |
| `s2-l2a` | the same without B10 | – | [3], [4], [5]: B01 to B12 |
| `rgb` | B04 B03 B02: red, green, blue | – | ImageNet weights of timm and torchvision; [4] |

1. Cards of the models of https://huggingface.co/BIFOLD-BigEarthNetv2-0, "BigEarthNet v2.0 Pretrained Weights". Their
   class names are in the order of `sorted()`, as in [2]. The models of radar alone (`…-s1-…`) see no band of ours.
2. ConfigILM, `configilm/extra/BENv1_utils.py`: its orders for 10 and 12 channels up to BigEarthNet v1. From 0.7 on
   `BENv2_utils.py` has those of `reben-…-v0.2.0`, and its class names are sorted.
3. SSL4EO-S12, `src/benchmark/pretrain_ssl/datasets/SSL4EO/ssl4eo_dataset.py`, bands of L1C and L2A products.
4. torchgeo, `torchgeo/models/resnet.py`, bands of the weights `SENTINEL2_ALL_…` and `SENTINEL2_RGB_…`.
5. torchgeo, `torchgeo/datasets/bigearthnet.py`, which also lists the 19 classes in the order of `PAPER`.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Final

from shards import BANDS, CLASSES
from shards.errors import InvalidValue

PAPER: Final[tuple[str, ...]] = (
    "Urban fabric",
    "Industrial or commercial units",
    "Arable land",
    "Permanent crops",
    "Pastures",
    "Complex cultivation patterns",
    "Land principally occupied by agriculture, with significant areas of natural vegetation",
    "Agro-forestry areas",
    "Broad-leaved forest",
    "Coniferous forest",
    "Mixed forest",
    "Natural grassland and sparsely vegetated areas",
    "Moors, heathland and sclerophyllous vegetation",
    "Transitional woodland, shrub",
    "Beaches, dunes, sands",
    "Inland wetlands",
    "Coastal wetlands",
    "Inland waters",
    "Marine waters",
)
"""The 19 classes as the paper lists them: Sumbul et al., "BigEarthNet-MM" (2021), table 2; torchgeo's order."""

CLASS_ORDERS: Final[dict[str, tuple[str, ...]]] = {"alphabetical": CLASSES, "paper": PAPER}
"""Orders of the 19 classes by name; `CLASSES` is alphabetical."""
NO_CLASSIFIER: Final = "none"
"""In place of an order: the classifier of the weights is not used."""

_CIRRUS: Final = "B10"
SENTINEL2: Final = frozenset({*BANDS, _CIRRUS})
"""The bands of Sentinel-2; BigEarthNet lacks B10."""


@dataclass(frozen=True, slots=True)
class Family:
    """Facts about the weights of a family.

    Attributes:
        channels: name of each input channel; other names than those of bands are channels that are dropped.
        classes: name of an order of `CLASS_ORDERS`; None if the family has no classifier for the 19 classes.
    """

    channels: tuple[str, ...]
    classes: str | None = None


_L1C: Final = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", _CIRRUS, "B11", "B12")
_V020: Final = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
_V011: Final = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A")

PRESETS: Final[dict[str, Family]] = {
    "reben-s2-v0.2.0": Family(_V020, "alphabetical"),
    "reben-all-v0.2.0": Family(("VV", "VH", *_V020), "alphabetical"),
    "reben-s2-v0.1.1": Family(_V011, "alphabetical"),
    "reben-all-v0.1.1": Family((*_V011, "VH", "VV"), "alphabetical"),
    "configilm-s2": Family(_V011),
    "configilm-all": Family((*_V011, "VH", "VV")),
    "s2-l1c": Family(_L1C),
    "s2-l2a": Family(tuple(name for name in _L1C if name != _CIRRUS)),
    "rgb": Family(("B04", "B03", "B02")),
}
"""Families by name of preset; the sources are in the docstring of this file."""

_BAND: Final = re.compile(r"[Bb](\d{1,2})([Aa]?)")
_WORD: Final = re.compile(r"[A-Za-z][\w.-]*")
"""Texts that can be meant as the name of a preset."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def parse_channels(text: str) -> Family:
    """Return what a text says of the channels of weights: a preset, or their names separated by commas.

    Raises:
        InvalidValue: it is neither, or not one of the channels is a band of BigEarthNet.
    """
    if text in PRESETS:
        return PRESETS[text]
    try:
        return Family(channel_names(text.split(",")))
    except InvalidValue as err:
        if _WORD.fullmatch(text) and not _BAND.fullmatch(text):
            close = difflib.get_close_matches(text.lower(), PRESETS, 1)
            perhaps = f"; perhaps {close[0]}" if close else ""
            raise InvalidValue(
                f"the bands of weights are {text!r:.80}, expected a preset ({', '.join(PRESETS)}) or the names of the "
                f"channels, separated by commas{perhaps}"
            ) from None
        raise InvalidValue(f"the bands of weights are {text!r:.80}: {err}") from None


def channel_names(names: list[str]) -> tuple[str, ...]:
    """Return names of channels as this program writes them: `B1`, `b01` and `B8a` become B01, B01 and B8A.

    Raises:
        InvalidValue: a name comes twice, is none, or looks like that of a band that Sentinel-2 does not have; or no
            channel is a band of BigEarthNet.
    """
    channels = tuple(_channel_name(name.strip()) for name in names)
    for i, name in enumerate(channels):
        if name in channels[:i]:
            raise InvalidValue(f"{name} comes twice, expected the name of each channel once")
    if not set(channels) & set(BANDS):
        raise InvalidValue(f"no channel is one of the bands {', '.join(sorted(BANDS))}")
    return channels


def presets_of(num_channels: int) -> list[str]:
    """Return the presets of families with a number of channels."""
    return [name for name, family in PRESETS.items() if len(family.channels) == num_channels]


def check_classes(order: str) -> None:
    """Check the name of a class order.

    Raises:
        InvalidValue: it is none of `CLASS_ORDERS`, nor `NO_CLASSIFIER`.
    """
    if order not in (*CLASS_ORDERS, NO_CLASSIFIER):
        raise InvalidValue(
            f"the classes of weights are {order!r:.60}, expected {', '.join(CLASS_ORDERS)}, or {NO_CLASSIFIER} to "
            "leave the classifier out"
        )


def order_options(*, leave_out: bool) -> str:
    """Return what names an order of classes in an error, and what leaves the classifier out where that is possible."""
    orders = (*CLASS_ORDERS, NO_CLASSIFIER) if leave_out else CLASS_ORDERS
    return " or ".join(f"`weights_classes={order}`" for order in orders)


def _channel_name(name: str) -> str:
    match = _BAND.fullmatch(name)
    if match:
        number, letter = match[1].zfill(2), match[2].upper()
        band = f"B{number}" if not letter else f"B{int(number)}A"
        if band not in SENTINEL2:
            raise InvalidValue(f"{name!r} is no band of Sentinel-2, which has {', '.join(sorted(SENTINEL2))}")
        return band
    if not _NAME.fullmatch(name):
        raise InvalidValue(f"{name!r} is no name of a channel, expected such as B02 or VV, separated by commas")
    return name
