"""Vector tiles: what GDAL reads in them, and that every patch is in exactly the tiles that it should be in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bigearth_pipeline.serve.map.mvt import EXTENT, squares_tile
from bigearth_pipeline.serve.map.places import (
    DEPTH,
    Places,
    apart,
    degrees,
    interleaved,
    point_of,
    web_points,
)
from bigearth_pipeline.serve.map.tiles import UNKNOWN, patch_tile
from tests.support.examples import examples

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")


def read_tile(content: bytes, folder: Path) -> Any:
    """Return the features of a tile as GDAL reads them, at zoom 0 and in metres of the web map."""
    path = folder / "0.mvt"
    path.write_bytes(content)
    return geopandas.read_file(path, engine="pyogrio", x=0, y=0, z=0)


def some_places(n: int, seed: int = 0) -> Places:
    """Return patches in three zones, on grids of 1,200 m."""
    rng = np.random.default_rng(seed)
    epsg = (32600 + rng.integers(29, 32, n)).astype(np.int32)
    x = 500_000.0 + 1200 * rng.integers(-40, 40, n)
    return Places.of(epsg, x, 5_500_000.0 + 1200 * rng.integers(0, 60, n))


@given(arrays(np.uint64, (50, 2), elements=st.integers(0, 2**DEPTH - 1)))
@examples(30)
def test_cells_are_interleaved_and_back(values: np.ndarray) -> None:
    """A bit is lost between x and y and the number of a cell, or the order of cells is not that of their tiles."""
    x, y = values.T
    numbers = interleaved(x, y)
    np.testing.assert_array_equal(np.stack(apart(numbers)), np.stack([x, y]))
    expected = [
        sum(((int(a) >> i & 1) << 2 * i) | ((int(b) >> i & 1) << 2 * i + 1) for i in range(24)) for a, b in values
    ]
    assert numbers.tolist() == expected


@given(st.floats(-179, 179), st.floats(-80, 80))
@examples(30)
def test_degrees_and_points_are_inverse(longitude: float, latitude: float) -> None:
    """The box of a map asks for patches of another place."""
    assert degrees(*point_of(longitude, latitude)) == pytest.approx((longitude, latitude), abs=2e-6)


def test_places_are_the_middles_of_patches() -> None:
    """The map opens beside the patch that is looked at, or a patch without a place has one."""
    places = some_places(40)
    epsg = places.epsg.copy()
    epsg[7] = 0
    places = Places.of(epsg, places.ulx, places.uly)
    points = web_points(epsg, places.ulx + 600, places.uly - 600)
    for row in range(40):
        assert places.degrees_of(row) == (None if row == 7 else degrees(*points[row].tolist()))


def test_gdal_reads_what_was_written(tmp_path: Path) -> None:
    """A tile is no Mapbox Vector Tile, or has other corners or attributes."""
    rng = np.random.default_rng(1)
    left = rng.integers(2, EXTENT - 44, (300, 2))
    corners = left[:, None] + np.array([(0, 0), (40, 3), (38, 44), (-2, 41)])
    values = {"n": rng.integers(0, 3_000_000, 300), "s": rng.integers(0, 3, 300)}
    found = read_tile(squares_tile("patches", corners, values), tmp_path)
    assert len(found) == 300
    assert found["n"].tolist() == values["n"].tolist()
    assert found["s"].tolist() == values["s"].tolist()
    units = np.array([shape.exterior.coords[:4] for shape in found.geometry.explode()])
    # GDAL gives metres of the map, with y to the north, and cuts at the edges of the tile.
    units = np.abs(units / (40_075_016.685578488 / EXTENT) + (EXTENT / 2, -EXTENT / 2))
    np.testing.assert_allclose(np.sort(units, 1), np.sort(corners, 1), atol=0.01)
    assert squares_tile("patches", corners[:0], {}) == b""


@pytest.mark.parametrize("zoom", [0, 3, 5, 7])
def test_cells_of_all_tiles_count_every_patch_once(zoom: int, tmp_path: Path) -> None:
    """A patch is lost between tiles, counted twice, or passes a filter that it does not meet."""
    places = some_places(3000)
    rng = np.random.default_rng(2)
    chosen, split = rng.random(3000) < 0.6, rng.integers(0, 3, 3000)
    outcome = rng.integers(UNKNOWN, 2, 3000).astype(np.int8)
    x, y = (axis >> np.uint64(DEPTH - zoom) for axis in apart(places.cells))
    count, right = 0, 0.0
    for tile in sorted(set(zip(x.tolist(), y.tolist(), strict=True))):
        content = patch_tile(places, (zoom, *tile), chosen, split, outcome)
        found = read_tile(content, tmp_path)
        count += int(found["n"].sum())
        assert set(found["s"]) <= {0, 1, 2}
        right += float((found["n"] * found["r"].where(found["r"] != 255, 0)).sum())
    assert count == chosen.sum()
    assert right > 0


@pytest.mark.parametrize("further", [0, 1, 4, 7])
def test_single_patches_reach_over_the_edges_of_tiles(further: int, tmp_path: Path) -> None:
    """Half of a square is missing where its middle lies in the next tile."""
    places = some_places(400)
    zoom = places.patch_zoom + further
    split = np.zeros(400, np.int64)
    everywhere = np.ones(400, np.bool_)
    unit = shapely.box(0, 0, 1, 1)
    corners = places.corners(np.arange(400)) * 2**zoom
    for tile in sorted({tuple(each) for each in np.floor(corners.mean(1)).astype(int).tolist()})[:25]:
        found = read_tile(patch_tile(places, (zoom, *tile), everywhere, split), tmp_path)
        inside = np.flatnonzero(shapely.area(shapely.intersection(shapely.polygons(corners - tile), unit)) > 1e-3)
        assert set(inside) <= set(found["k"])
    assert places.patch_zoom < 12
