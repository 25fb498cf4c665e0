"""Pictures of the README, and the scene that one of them shows."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from PIL import Image

import shards
from shards.layout.bands import BANDS, GROUP_OF
from shards.testing.stores import make_store
from tests.support.paths import ROOT
from tools.gallery.data import COLUMNS, ROWS
from tools.gallery.drawings import drawings
from tools.scene import write_scene

FOLDER = ROOT / "tools/gallery/pictures"


def test_the_readme_shows_every_picture() -> None:
    """A picture is absent, is shown without words, is not shown, or all together are too large."""
    shown = dict(re.findall(r"!\[([^\]]*)\]\(tools/gallery/pictures/([\w.-]+)\)", (ROOT / "README.md").read_text()))
    there = {path.name: path for path in FOLDER.iterdir()}
    assert set(shown.values()) == set(there)
    assert len(shown) == len(there) >= 6
    assert all(len(words) > 20 for words in shown)
    assert sum(path.stat().st_size for path in there.values()) < 1_000_000
    for path in there.values():
        if path.suffix == ".svg":
            drawing = ElementTree.fromstring(path.read_text())
            assert min(float(drawing.attrib[side]) for side in ("width", "height")) > 100
        else:
            with Image.open(path) as picture:
                picture.load()
                assert min(picture.size) > 100


@pytest.mark.parametrize("name", ["flow.svg", "speed.svg"])
def test_drawings_are_of_the_recorded_results(name: str) -> None:
    """A picture shows rates of other runs than those that are recorded, or was edited by hand."""
    assert (FOLDER / name).read_text() == drawings()[name]


def test_rates_of_the_picture_are_those_of_the_table() -> None:
    """The picture shows other rates than the page of results and the text beside it."""
    drawing, page = drawings()["speed.svg"], (ROOT / "tools/peers/RESULTS.md").read_text()
    shown = re.findall(r">([\d,]+)</text>", drawing)
    rows = re.findall(r"(?m)^\| (?:\*\*)?[^|]+ \| ([\d,]+|–) [^|]*\| ([\d,]+) \(", page)
    rates = [rate for row in rows for rate in row if rate != "–"]
    assert len(rates) > 20
    assert sorted(shown) == sorted(rates)
    readme = (ROOT / "README.md").read_text()
    (loading,) = re.findall(r"(?s)- \*\*Loading\*\*.*?\n- ", readme)
    fastest = [max(int(row[i].replace(",", "")) for row in rows if row[i] != "–") for i in (0, 1)]
    assert f"up to {fastest[0]:,} patches/s as stored and {fastest[1]:,} as float32 images" in loading


def test_a_scene_holds_the_patches(tmp_path: Path) -> None:
    """A patch lies elsewhere in one band than in the others."""
    store = make_store(tmp_path / "store", {"train": 3, "test": 7})
    scene = write_scene(store, tmp_path / "scene", 120 * ROWS, 120 * COLUMNS)
    with shards.open(store) as opened:
        rows = [int(row) for row in opened.index.rows("test")]
        patches = [opened.read(row) for row in rows]
    for band in BANDS:
        size = GROUP_OF[band].size
        with rasterio.open(scene / f"{band}.tif") as source:
            pixels = source.read(1)
            assert source.res == (GROUP_OF[band].metres,) * 2
        assert pixels.shape == (ROWS * size, COLUMNS * size)
        for place in (0, 6, 7, ROWS * COLUMNS - 1):
            y, x = divmod(place, COLUMNS)
            window = pixels[y * size : (y + 1) * size, x * size : (x + 1) * size]
            np.testing.assert_array_equal(window, patches[place % len(rows)].band(band))
