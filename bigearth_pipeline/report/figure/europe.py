"""Land and borders of Europe as lines, for maps.

`data/europe.json` holds `origin`, and `land` and `borders` as lists of lines: of each line the first point and then the
step to each further one, x and y in turns, in hundredths of a degree (WGS 84). `tools/cut_europe.py` made it of Natural
Earth 1:50m, which is in the public domain.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.geo.projection import map_points

FILE: Final = "europe.json"
UNITS_A_DEGREE: Final = 100
BOX: Final = (-32.0, 25.0, 62.0, 75.0)
"""West, south, east and north of what the file holds, in degrees."""
_WGS84: Final = 4326


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Lines on the ground.

    Attributes:
        land: rings around land, each (n, 2) float64 metres.
        borders: lines between countries, each (n, 2) float64 metres.
        origin: their source, for captions.
    """

    land: list[NDArray[np.float64]]
    borders: list[NDArray[np.float64]]
    origin: str


def europe() -> Outlines:
    """Return the outlines of Europe in metres of the map, see `map_points`."""
    degrees = europe_in_degrees()
    lines = degrees.land + degrees.borders
    points = np.concatenate(lines)
    projected = map_points(_WGS84, points[:, 0], points[:, 1])
    placed = np.split(projected, np.cumsum([len(line) for line in lines])[:-1])
    count = len(degrees.land)
    return Outlines(placed[:count], placed[count:], degrees.origin)


def europe_in_degrees() -> Outlines:
    """Return the outlines of Europe as longitude and latitude (WGS 84) in place of metres."""
    raw = json.loads(files("bigearth_pipeline.report.data").joinpath(FILE).read_bytes())
    land, borders = (
        [np.cumsum(np.reshape(line, (-1, 2)), axis=0) / UNITS_A_DEGREE for line in raw[name]]
        for name in ("land", "borders")
    )
    return Outlines(land, borders, raw["origin"])
