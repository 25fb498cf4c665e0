"""Cutting land and borders out of a TopoJSON topology."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.europe import UNITS_A_DEGREE
from tools.cut_europe import cut


def _points(steps: list[int]) -> NDArray[np.float64]:
    return np.cumsum(np.reshape(steps, (-1, 2)), axis=0) / UNITS_A_DEGREE


def _topology() -> dict[str, Any]:
    """Return two countries of 2° × 4° beside each other, one on both sides of the antimeridian, and an islet."""
    lines = [
        [(2, 40), (2, 44)],  # The border.
        [(2, 44), (0, 44), (0, 40), (2, 40)],
        [(2, 40), (4, 40), (4, 44), (2, 44)],
        [(30, 60), (30, 64), (179, 64), (-179, 62), (179, 60), (30, 60)],
        [(10, 50), (10.01, 50), (10.01, 50.01), (10, 50)],
    ]
    arcs = []
    for line in lines:
        units = np.rint(np.array(line, np.float64) * 1000).astype(int)
        arcs.append(np.diff(units, axis=0, prepend=[[0, 0]]).tolist())
    polygons = [[[0, 1]], [[~0, 2]], [[3]]]
    geometries = [{"type": "Polygon", "arcs": polygon} for polygon in polygons]
    geometries.append({"type": "MultiPolygon", "arcs": [[[4]]]})
    return {
        "transform": {"scale": [0.001, 0.001], "translate": [0, 0]},
        "arcs": arcs,
        "objects": {"countries": {"geometries": geometries}},
    }


def test_land_and_borders_are_cut() -> None:
    """A border is lost or drawn as a coast, a country is cut at the antimeridian, or islets fill the file."""
    found = cut(_topology())
    land = shapely.unary_union([shapely.Polygon(_points(steps)) for steps in found["land"]])
    assert land.contains(shapely.box(0.1, 40.1, 3.9, 43.9))
    assert land.contains(shapely.box(30.1, 60.1, 61.9, 63.9))
    assert land.area == shapely.box(0, 40, 4, 44).area + shapely.box(30, 60, 62, 64).area
    assert len(found["land"]) == 2
    [border] = found["borders"]
    assert sorted(map(tuple, _points(border).tolist())) == [(2, 40), (2, 44)]
    assert "Natural Earth" in found["origin"]
