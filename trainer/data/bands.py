"""Bands that a model sees, and their order."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from shards.errors import InvalidValue
from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF, GROUPS

BAND_SETS: Final[dict[str, tuple[str, ...]]] = {
    "all": BANDS,
    "s2-10": ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    "rgb": ("B04", "B03", "B02"),
    "rgb-nir": ("B04", "B03", "B02", "B08"),
    "rgb-swir": ("B04", "B03", "B02", "B11", "B12"),
}
"""Sets of bands by name. `s2-10` is what the reBEN paper trains on: all without the two 60 m bands."""


@dataclass(frozen=True, slots=True)
class BandSelection:
    """Bands in channel order.

    Attributes:
        names: distinct names of bands, at least one.
    """

    names: tuple[str, ...] = BANDS

    def __post_init__(self) -> None:
        if not self.names:
            raise InvalidValue("no band is selected")
        for i, name in enumerate(self.names):
            if name not in GROUP_OF:
                raise InvalidValue(
                    f"no band {name!r}{_hint(name)}; there are {', '.join(sorted(BANDS))}, and the sets "
                    f"{', '.join(BAND_SETS)}"
                )
            if name in self.names[:i]:
                raise InvalidValue(f"band {name} is selected twice")

    @classmethod
    def parse(cls, text: str) -> "BandSelection":
        """Return the bands that a text names: a set of `BAND_SETS`, or band names separated by commas.

        Raises:
            ValueError: there is no such band or set, or a band comes twice.
        """
        if text in BAND_SETS:
            return cls(BAND_SETS[text])
        return cls(tuple(name.strip() for name in text.split(",")))

    def __len__(self) -> int:
        return len(self.names)

    def by_group(self) -> dict[str, tuple[str, ...]]:
        """Return the selected bands by name of their group (`b10`, `b20`, `b60`), each in channel order.

        A group without a selected band is absent.
        """
        names = {group.name: tuple(n for n in self.names if GROUP_OF[n] is group) for group in GROUPS}
        return {group: bands for group, bands in names.items() if bands}

    def channels(self, names: Iterable[str]) -> list[int]:
        """Return the channels of some of the selected bands.

        Raises:
            ValueError: one of them is not selected.
        """
        return [self.names.index(name) for name in names]


def runs(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Cut bands into runs that are contiguous in a record, so that each is one slice of it."""
    found: list[list[str]] = []
    for name in names:
        last = found[-1][-1] if found else None
        follows = (
            last is not None and GROUP_OF[last] is GROUP_OF[name] and BAND_SLICES[last].stop == BAND_SLICES[name].start
        )
        if follows:
            found[-1].append(name)
        else:
            found.append([name])
    return [tuple(run) for run in found]


def _hint(name: str) -> str:
    """Return what a name that is none was perhaps meant to be: B3 is B03, and B8 is B08 rather than B8A."""
    upper = name.upper()
    band = f"B0{upper[1]}" if len(upper) == 2 and upper[0] == "B" else upper
    close = [band] if band in GROUP_OF else difflib.get_close_matches(name.lower(), BAND_SETS, n=1)
    return f", perhaps {close[0]}" if close else ""
