"""Colours of the 19 classes: built-up red, farmland yellow, woods green, open land brown, wetlands violet, water blue.

Neighbours in a group differ in lightness, so that they can be told apart without hues.
"""

from typing import Final

from shards.layout.classes import CLASSES

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
