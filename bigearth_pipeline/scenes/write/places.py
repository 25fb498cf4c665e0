"""Places of patches in one coordinate reference system."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.geo.points import projjson
from bigearth_pipeline.geo.squares import squares, to_degrees
from bigearth_pipeline.scenes.work.units import UnitResult


@dataclass(frozen=True, slots=True)
class System:
    """Coordinate reference system of a table.

    Attributes:
        epsg: code of the projected system that all patches lie in; None for longitude and latitude on WGS 84.
    """

    epsg: int | None

    @property
    def projjson(self) -> dict[str, Any] | None:
        """PROJJSON of the system; None for longitude and latitude, which GeoParquet takes where nothing is said."""
        if self.epsg is None:
            return None
        return projjson(self.epsg)

    def squares(self, unit: UnitResult) -> NDArray[np.float64]:
        """Return the corners of patches, (n, 5, 2), NaN where a place is not known."""
        corners = squares(unit.ulx, unit.uly)
        return corners if self.epsg is not None else to_degrees(corners, unit.epsg)
