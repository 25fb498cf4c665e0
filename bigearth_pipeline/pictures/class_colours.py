"""Colours of classes.

Of the 19: built-up red, farmland yellow, woods green, open land brown, wetlands violet, water blue. Neighbours in a
group differ in lightness, so that they can be told apart without hues. The 43 have the colours of the legend of CORINE
Land Cover (European Environment Agency).
"""

from collections.abc import Sequence
from typing import Final

from shards.layout.classes import CLASSES, FORTY_THREE

COLOURS: Final[dict[str, str]] = {
    "Urban fabric": "#d7191c",
    "Industrial or commercial units": "#8b1a4f",
    "Arable land": "#ffe680",
    "Permanent crops": "#e8a33d",
    "Pastures": "#d9ef8b",
    "Complex cultivation patterns": "#f2c84b",
    "Land principally occupied by agriculture, with significant areas of natural vegetation": "#c9b45c",
    "Agro-forestry areas": "#a6a035",
    "Broad-leaved forest": "#4dac26",
    "Coniferous forest": "#00592d",
    "Mixed forest": "#1f8a4c",
    "Natural grassland and sparsely vegetated areas": "#b8d6a1",
    "Moors, heathland and sclerophyllous vegetation": "#8c6d31",
    "Transitional woodland, shrub": "#7fae5a",
    "Beaches, dunes, sands": "#f5ead0",
    "Inland wetlands": "#9e7bb5",
    "Coastal wetlands": "#c9a6d8",
    "Inland waters": "#4aa8e0",
    "Marine waters": "#1b4f9c",
}
assert set(COLOURS) == set(CLASSES)

_CORINE: Final = (
    "#e6004d", "#ff0000", "#cc4df2", "#cc0000", "#e6cccc", "#e6cce6", "#a600cc", "#a64d00",
    "#ff4dff", "#ffa6ff", "#ffe6ff", "#ffffa8", "#ffff00", "#e6e600", "#e68000", "#f2a64d",
    "#e6a600", "#e6e64d", "#ffe6a6", "#ffe64d", "#e6cc4d", "#f2cca6", "#80ff00", "#00a600",
    "#4dff00", "#ccf24d", "#a6ff80", "#a6e64d", "#a6f200", "#e6e6e6", "#cccccc", "#ccffcc",
    "#000000", "#a6a6ff", "#4d4dff", "#ccccff", "#e6e6ff", "#a6a6e6", "#00ccf2", "#80f2e6",
    "#00ffa6", "#a6ffe6", "#e6f2ff",
)  # fmt: skip
_COLOURS_43: Final = dict(zip(FORTY_THREE.names, _CORINE, strict=True))


def colours_of(names: Sequence[str]) -> list[str]:
    """Return the colours of the classes of a nomenclature, given their names."""
    colours = _COLOURS_43 if tuple(names) == FORTY_THREE.names else COLOURS
    return [colours[name] for name in names]
