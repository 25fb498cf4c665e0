"""Every form of a scene gives the same records, with the offsets that its metadata say."""

import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.scenes.grid import tiles
from bigearth_pipeline.scenes.grid.missing import HIDDEN, missing_shares
from bigearth_pipeline.scenes.grid.scene import open_scene
from bigearth_pipeline.scenes.grid.source import SceneSource
from bigearth_pipeline.scenes.grid.windows import SIDE, stride_of, windows_of
from bigearth_pipeline.scenes.inputs.description import Description, Known, parse_baseline
from bigearth_pipeline.scenes.inputs.find import find
from bigearth_pipeline.scenes.inputs.safe import read_metadata
from bigearth_pipeline.scenes.work.threads import SceneThreads
from shards.layout.bands import BAND_SLICES, BANDS
from tests.bigearth_pipeline.scenes.making import (
    Pixels,
    random_pixels,
    write_files,
    write_geotiff,
    write_item,
    write_safe,
    zipped,
)
from tests.conftest import real

PIXELS = random_pixels(scl=True)
PLAIN = Pixels({band: values for band, values in PIXELS.bands.items() if band != "SCL"})


@pytest.fixture(params=[0, tiles.LEAST_PIXELS], ids=["tiles", "GDAL"])
def least_pixels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode tiles of small scenes, too, or leave them to GDAL."""
    monkeypatch.setattr(tiles, "LEAST_PIXELS", request.param)


@cache
def threads() -> SceneThreads:
    """Two threads for all tests."""
    return SceneThreads(2)


def source_of(
    path: Path, bands: tuple[str, ...] = BANDS, overlap: float = 0.0, batch_size: int = 64, **known: Any
) -> SceneSource:
    """Open a scene."""
    description = find(path, Known(**known))
    assert isinstance(description, Description)
    scene = open_scene(description, bands)
    return SceneSource(scene, windows_of(scene, overlap), batch_size=batch_size, threads=threads())


def records_of(source: SceneSource, units: list[int] | None = None) -> NDArray[np.uint16]:
    parts = [part for unit in units or range(source.num_units) for part in source.parts(unit)]
    source.close()
    return np.concatenate([part.records for part in parts])


def expected(pixels: Pixels, source: SceneSource) -> NDArray[np.uint16]:
    windows = source.windows
    return np.stack([pixels.record(top, left) for top in windows.tops for left in windows.lefts])


FORMS: dict[str, Callable[[Path], Path]] = {
    "cogs": lambda folder: write_files(folder / "scene", PIXELS),
    "strips": lambda folder: write_files(folder / "scene", PIXELS, driver="GTiff", compress="lzw"),
    "jp2": lambda folder: write_files(folder / "scene", PIXELS, ".jp2"),
    "safe": lambda folder: write_safe(folder, PIXELS, baseline="02.12"),
    "safe-zip": lambda folder: zipped(write_safe(folder, PIXELS, baseline="02.12")),
    "stac": lambda folder: write_item(folder / "scene", PIXELS),
    "geotiff": lambda folder: write_geotiff(folder / "scene.tif", PLAIN),
}


@pytest.mark.usefixtures("gdal", "least_pixels")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_records(form: str, tmp_path: Path) -> None:
    """A band is read from another file, shifted, resampled or scaled."""
    path = FORMS[form](tmp_path)
    known = {"baseline": 212} if form in ("cogs", "strips", "jp2") else {}
    source = source_of(path, overlap=0.5, batch_size=3, **known)
    assert (source.windows.tops, source.windows.lefts) == ((0, 10, 20, 30), (0, 10, 20, 25))
    assert (source.scene.scl is None) == (form == "geotiff")
    np.testing.assert_array_equal(records_of(source), expected(PIXELS, source))


@pytest.mark.usefixtures("gdal", "least_pixels")
def test_units_are_read_in_any_order_and_only_some_bands(tmp_path: Path) -> None:
    """A resumed prediction skips rows, and bands that no network sees are 0."""
    path = write_files(tmp_path / "scene", PIXELS)
    source = source_of(path, ("B02", "B11"), 0.25, baseline=212)
    units = [2, 0, 1]
    order = [unit * len(source.windows.lefts) + i for unit in units for i in range(len(source.windows.lefts))]
    whole = expected(PIXELS, source)[order]
    found = records_of(source, units)
    for band, values in BAND_SLICES.items():
        np.testing.assert_array_equal(found[:, values], whole[:, values] if band in ("B02", "B11") else 0)


@pytest.mark.usefixtures("gdal", "least_pixels")
def test_what_is_left_over_of_a_cell_is_not_used(tmp_path: Path) -> None:
    """A scene of any number of pixels fails, or a window reaches beyond it."""
    bands = {band: PIXELS.bands[band][:127, :251] for band in ("B02", "B03", "B04")}
    source = source_of(write_files(tmp_path / "scene", Pixels(bands)), ("B02", "B03", "B04"), baseline=212)
    assert (source.windows.tops, source.windows.lefts) == ((0, 1), (0, 20, 21))
    whole, found = expected(PIXELS, source), records_of(source)
    for band in bands:
        np.testing.assert_array_equal(found[:, BAND_SLICES[band]], whole[:, BAND_SLICES[band]])


@pytest.mark.usefixtures("gdal")
@pytest.mark.parametrize(
    ("baseline", "offsets", "taken"),
    [
        ("05.09", dict.fromkeys(BANDS, -1000), dict.fromkeys(BANDS, 1000)),
        (
            "04.00",
            dict.fromkeys(BANDS, -1000) | {"B05": -7000, "B09": 0},
            dict.fromkeys(BANDS, 1000) | {"B05": 7000, "B09": 0},
        ),
        ("04.00", None, dict.fromkeys(BANDS, 1000)),
        ("03.01", None, {}),
    ],
)
def test_offsets_are_those_of_the_metadata(
    baseline: str, offsets: dict[str, int] | None, taken: dict[str, int], tmp_path: Path
) -> None:
    """Reflectances are 0.1 too high, or an offset is taken off twice or from missing pixels."""
    bands = {band: values.copy() for band, values in PLAIN.bands.items()}
    bands["B02"][:5, :5], bands["B02"][5:9, :5] = 0, 400
    source = source_of(write_safe(tmp_path, Pixels(bands), baseline, offsets))
    found, raw = records_of(source), expected(Pixels(bands), source).astype(int)
    for band, values in BAND_SLICES.items():
        offset = taken.get(band, 0)
        wanted = np.where(raw[:, values] == 0, 0, np.maximum(raw[:, values] - offset, 1 if offset else 0))
        np.testing.assert_array_equal(found[:, values], wanted)
    assert ("is subtracted" in source.scene.description.offset_reason) == bool(taken)
    assert all(str(value) in source.scene.description.offset_reason for value in taken.values() if value)


@pytest.mark.parametrize(
    ("properties", "assets", "offset"),
    [
        ({"s2:processing_baseline": "05.09"}, {}, 1000),
        ({"s2:processing_baseline": "02.12"}, {}, 0),
        ({"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}, {}, 0),
        ({"s2:processing_baseline": "05.09"}, {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}, 1000),
        ({"s2:processing_baseline": None}, {"raster:scale": 0.0001, "raster:offset": -0.1}, 1000),
        ({"s2:processing_baseline": "02.12"}, {"bands": [{"raster:scale": 0.0001, "raster:offset": 0}]}, 0),
        ({"s2:processing_baseline": "02.12"}, {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}, None),
        ({"s2:processing_baseline": "05.09"}, {"raster:bands": [{"scale": 0.0001, "offset": 0}]}, None),
        ({"s2:processing_baseline": "05.09"}, {"raster:bands": [{"scale": 0.001, "offset": -0.1}]}, None),
        ({"s2:processing_baseline": None}, {}, None),
    ],
)
def test_stac_items_say_whether_the_offset_is_in_the_pixels(
    properties: dict[str, Any], assets: dict[str, Any], offset: int | None, tmp_path: Path
) -> None:
    """An item whose offset was applied loses it again, or one that contradicts itself is guessed at."""
    import json

    folder = tmp_path / "scene"
    path = write_item(folder, Pixels({"B02": PIXELS.bands["B02"]}), properties)
    item = json.loads(path.read_text())
    item["assets"]["B02"] |= assets
    path.write_text(json.dumps(item))
    if offset is None:
        with pytest.raises(BadScene):
            find(path, Known())
        return
    found = find(path, Known())
    assert isinstance(found, Description)
    assert found.offsets == ({"B02": offset} if offset else {})


def test_metadata_of_real_products(tmp_path: Path) -> None:
    """A real product's metadata is not understood, or its offsets are missed."""
    archive = real("real/safe-metadata/stactools-sentinel2-safe-metadata.tar.xz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    seen = set()
    for path in sorted(tmp_path.rglob("MTD_MSIL2A.xml")):
        content = path.read_bytes()
        metadata = read_metadata(content, str(path))
        root = ElementTree.fromstring(content)
        baseline = next(e.text for e in root.iter("PROCESSING_BASELINE"))
        assert metadata.baseline == parse_baseline(baseline or "")
        stated = {int(e.text or "") for e in root.iter("BOA_ADD_OFFSET")}
        assert {-value for value in (metadata.offsets or {}).values()} == stated
        assert bool(stated) == (metadata.baseline >= 400)
        assert len(metadata.images) > 20
        seen.add((metadata.baseline, *sorted(stated)))
    assert {(509, -1000), (400, -7000), (212,)} <= seen or len(seen) > 3, seen
    for path in tmp_path.rglob("MTD_MSIL1C.xml"):
        with pytest.raises(BadScene, match="Level-1C"):
            read_metadata(path.read_bytes(), "x")


@pytest.mark.long
@pytest.mark.usefixtures("gdal")
@pytest.mark.parametrize("cell", ["199U_1099R", "0U_199R"])
def test_a_real_scene_as_a_product(cell: str, tmp_path: Path) -> None:
    """A place that is no whole number of metres, or real pixels, do not survive in a product with JPEG 2000 files."""
    plain = source_of(real(f"scenes/{cell}"), baseline=9999)
    scene = plain.scene
    bands = {}
    for band in scene.bands:
        with rasterio.open(band.file.path) as opened:
            bands[band.name] = opened.read(1)
    pixels = Pixels(bands, scene.epsg, scene.ulx, scene.uly)
    product = source_of(write_safe(tmp_path, pixels, baseline="02.14"))
    assert (product.scene.rows, product.scene.columns, product.scene.epsg) == (178, 178, scene.epsg)
    np.testing.assert_allclose([product.scene.ulx, product.scene.uly], [scene.ulx, scene.uly], atol=1e-4)
    units = [0, 8]
    np.testing.assert_array_equal(records_of(product, units), records_of(plain, units))


@given(cells=st.integers(20, 200), overlap=st.floats(0, 0.95))
def test_windows_cover_a_scene(cells: int, overlap: float) -> None:
    """A strip at an edge stays without a window, or a window reaches beyond it."""
    from bigearth_pipeline.scenes.grid.windows import _starts

    stride = stride_of(overlap)
    starts = _starts(cells, stride)
    assert (starts[0], starts[-1]) == (0, cells - SIDE)
    steps = np.diff(starts)
    assert (steps[:-1] == stride).all()
    assert ((steps > 0) & (steps <= stride)).all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 30), share=st.floats(0, 0.3), with_scl=st.booleans())
def test_missing_is_the_union_over_bands(seed: int, share: float, with_scl: bool) -> None:
    """Pixels that are missing in two bands count twice, or those of one kind do not count."""
    rng = np.random.default_rng(seed)
    pixels = random_pixels(20, 20, seed)
    mask = np.zeros((120, 120), bool)
    for band in ("B03", "B11", "B01"):
        size = len(pixels.bands[band])
        bad = rng.random((size, size)) < share
        pixels.bands[band][bad] = rng.choice([0, 65_535])
        mask |= bad.repeat(120 // size, 0).repeat(120 // size, 1)
    scl = None
    if with_scl:
        scl = rng.choice([2, 4, 5, 6, 7, 11, *HIDDEN], (1, 60, 60)).astype(np.uint8)
        mask |= np.isin(scl[0], [0, 1, 3, 8, 9, 10]).repeat(2, 0).repeat(2, 1)
    found = missing_shares(pixels.record(0, 0)[None], BANDS, scl)
    np.testing.assert_allclose(found, [mask.mean()], atol=1e-6)
