"""The map: projection, outlines and drawing."""

import re
from importlib.resources import files

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from bigearth_pipeline.geo.projection import map_points
from bigearth_pipeline.report.figure.europe import FILE, europe
from bigearth_pipeline.report.figure.map import View, draw_map

PLACES = {
    "Dublin": (-6.26, 53.35, True),
    "Lisbon inland": (-8.5, 39.2, True),
    "Murmansk, whose country crosses the antimeridian": (35.0, 68.0, True),
    "Belgrade": (20.46, 44.8, True),
    "Irish Sea": (-5.0, 53.7, False),
    "Atlantic": (-15.0, 45.0, False),
    "Gulf of Bothnia": (19.5, 62.0, False),
    "Caspian Sea": (51.0, 41.5, False),
}


def points(longitude: float, latitude: float, epsg: int = 4326) -> NDArray[np.float64]:
    """Return one point of the map."""
    found: NDArray[np.float64] = map_points(epsg, np.array([longitude]), np.array([latitude]))[0]
    return found


def test_projection_is_that_of_its_definition() -> None:
    """Patches lie at other places than the coastlines."""
    # EPSG:3035: centre at 52° N 10° E, false easting 4,321,000 m, false northing 3,210,000 m.
    assert points(10, 52).tolist() == pytest.approx([4_321_000, 3_210_000], abs=0.01)
    # 9° E on the equator is the centre of zone 32: easting 500,000 m, northing 0.
    assert points(500_000, 0, 32632).tolist() == pytest.approx(points(9, 0).tolist(), abs=0.01)
    # The corner of tile 33UUP, 300,000 5,400,000, is at 48.722° N 12.282° E.
    assert points(300_000, 5_400_000, 32633).tolist() == pytest.approx(points(12.2815, 48.7216).tolist(), abs=200)


@pytest.mark.parametrize("epsg", [0, -1, 999_999, 2**31 - 1, 4979])
def test_what_has_no_place_is_on_no_map(epsg: int) -> None:
    """An unknown system, or a coordinate that cannot be, ends in a traceback or moves the map."""
    assert np.isnan(points(1e300, 1e300, epsg)).all()
    assert np.isnan(points(np.inf, 0.0, 32633)).all()
    assert map_points(epsg, np.empty(0), np.empty(0)).shape == (0, 2)


def test_land_is_where_land_is() -> None:
    """A country is missing on the map, or the sea is land."""
    land = shapely.GeometryCollection()
    for ring in europe().land:
        land = land.symmetric_difference(shapely.make_valid(shapely.Polygon(ring)))
    for name, (longitude, latitude, is_land) in PLACES.items():
        assert land.contains(shapely.Point(points(longitude, latitude))) is is_land, name


def test_borders_are_between_countries() -> None:
    """The map has no borders, or coasts are drawn as such."""
    borders = shapely.MultiLineString(europe().borders)
    for name, there in {"Portugal and Spain": (-7.0, 41.9), "Austria and Germany": (13.0, 47.7)}.items():
        assert borders.distance(shapely.Point(points(*there))) < 40_000, name
    assert borders.distance(shapely.Point(points(-9.5, 38.7))) > 100_000
    assert borders.distance(shapely.Point(points(-19.0, 65.0))) > 800_000


def test_the_file_is_small_and_names_its_origin() -> None:
    """The package grows by megabytes, or nobody knows whose data it has."""
    assert len(files("bigearth_pipeline.report.data").joinpath(FILE).read_bytes()) < 150_000
    assert "Natural Earth" in europe().origin
    assert "public domain" in europe().origin


@pytest.mark.parametrize("count", [1, 10, 5000])
def test_the_map_is_of_one_size_for_any_number_of_patches(count: int) -> None:
    """The page of a large store has tens of megabytes of squares; or that of a small one shows none."""
    rng = np.random.default_rng(0)
    corners = rng.uniform((3e6, 2e6), (5e6, 4e6), (count, 2))
    square = np.array([(0, 0), (1200, 0), (1200, 1200), (0, 1200)], np.float64)
    view = View.around(corners, 600_000)
    text = draw_map("m", "t", view, {"train": corners[:, None] + square}, europe())
    assert len(text) < 400_000
    assert ("data:image/png" in text) is (count > 3000)
    if count <= 3000:
        assert text.count("var(--series-1)") == count + 2  # And face and edge in the legend.


def test_the_view_holds_all_points() -> None:
    """Patches lie beyond the edge of the map, or it is a strip."""
    for shape in ([[0, 0]], [[0, 0], [4e6, 1e5]], [[0, 0], [1e5, 4e6]]):
        points_ = np.array(shape, np.float64)
        view = View.around(points_, 600_000)
        assert view.left < points_[:, 0].min() <= points_[:, 0].max() < view.right
        assert view.bottom < points_[:, 1].min() <= points_[:, 1].max() < view.top
        assert 0.69 < view.height / view.width < 1.41
        assert view.width >= 600_000 / 1.4


def test_a_place_that_cannot_be_takes_no_other_along() -> None:
    """One impossible coordinate takes all patches of its system off the map."""
    x, y = np.array([500_000.0, 1e300, 500_000.0, np.nan]), np.array([5e6, 5e6, -np.inf, 5e6])
    found = map_points(32632, x, y)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1:]).all()


def test_a_label_covers_no_square() -> None:
    """The name of the place lies over a patch in that corner of the map."""
    square = np.array([[[0, 90], [30, 90], [30, 100], [0, 100]]], np.float64)
    content = draw_map("map", "", View(0, 0, 100, 100), {"train": square}, None, label="a place")
    # Texts are outlines, each in a group that is moved to its place; the frame is what surrounds the map.
    texts = [float(y) for y in re.findall(r"translate\([\d.]+ ([\d.]+)\)", content)]
    bottom, top = (
        float(y) for y in re.findall(r'<path d="M [\d.]+ ([\d.]+) \nL [\d.]+ [\d.]+ \nL [\d.]+ ([\d.]+)', content)[1]
    )
    assert len(texts) >= 3
    assert [y for y in texts if top < y < bottom] == []
    assert [y for y in texts if y > bottom + 5]


@pytest.mark.parametrize("side", [1.0, 30.0])
def test_a_frame_is_where_it_was_asked_for(side: float) -> None:
    """A small frame is drawn larger, around what is not in it."""
    content = draw_map("map", "", View(0, 0, 100, 100), {}, None, frame=View(50, 50, 50 + side, 50 + side))
    boxes = [
        (float(right) - float(left), float(bottom) - float(top))
        for left, bottom, right, top in re.findall(
            r'<path d="M ([\d.]+) ([\d.]+) \nL [\d.]+ [\d.]+ \nL ([\d.]+) ([\d.]+)', content
        )
    ]
    whole = max(boxes)[0]
    assert any(width == pytest.approx(height) == pytest.approx(whole * side / 100, rel=0.05) for width, height in boxes)
