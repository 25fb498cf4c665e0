"""A predicted scene as a layer of the map."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image, ImageColor
from rasterio.enums import Resampling
from rasterio.transform import from_bounds, from_origin
from rasterio.vrt import WarpedVRT

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.pictures.class_colours import COLOURS
from bigearth_pipeline.progress import Silent
from bigearth_pipeline.scenes.config import PredictConfig
from bigearth_pipeline.scenes.predict import predict
from bigearth_pipeline.serve.contents.scenes import OpenScene
from bigearth_pipeline.serve.map.places import SIDE_METRES, point_of
from shards import CLASSES
from shards.layout.bands import BANDS, GROUP_OF
from tests.bigearth_pipeline.serve.conftest import serving

pytestmark = pytest.mark.long
ZOOMS = (0, 3, 6, 9, 11, 14)


@pytest.fixture(scope="module")
def scene(runs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prediction of an image of 4.8 km × 3.6 km."""
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(0)
    with rasterio.open(
        folder / "image.tif", "w", driver="GTiff", width=480, height=360, count=12, dtype="uint16", crs="EPSG:32629",
        transform=from_origin(502_400, 5_806_000, 10, 10),
    ) as file:  # fmt: skip
        for number, band in enumerate(BANDS, 1):
            step = GROUP_OF[band].metres // 10
            file.write(rng.integers(1001, 7000, (3, 4), dtype=np.uint16).repeat(120, 0).repeat(120, 1), number)
            assert 120 % step == 0
            file.set_band_description(number, band)
    config = PredictConfig(
        runs=(runs_folder / "first",), inputs=(folder / "image.tif",), out=folder / "out", baseline=509, picture=False,
        device="cpu", threads=1,
    )  # fmt: skip
    predict(config, Silent())
    return folder / "out"


def expected(scene: Path, tile: tuple[int, int, int]) -> np.ndarray:
    """Return the map on the grid of a tile as GDAL warps it, (19, 256, 256) uint8."""
    zoom, x, y = tile
    side = SIDE_METRES / 2**zoom
    left, top = x * side - SIDE_METRES / 2, SIDE_METRES / 2 - y * side
    place = from_bounds(left, top - side, left + side, top, 256, 256)
    with (
        rasterio.open(scene / "map.tif") as source,
        WarpedVRT(
            source, crs="EPSG:3857", transform=place, width=256, height=256, resampling=Resampling.nearest
        ) as vrt,
    ):
        values: np.ndarray = vrt.read()
    return values


@pytest.mark.parametrize("zoom", ZOOMS)
def test_tiles_are_the_map(scene: Path, zoom: int) -> None:
    """A tile has another class, place, threshold or transparency than the map; one from afar takes minutes."""
    with OpenScene.of(0, scene) as opened:
        west, south, east, north = opened.bounds
        px, py = point_of((west + east) / 2, (south + north) / 2)
        tile = (zoom, int(px * 2**zoom), int(py * 2**zoom))
        steps = expected(scene, tile)
        is_there = steps[0] != 255
        assert is_there.any() or zoom < 8  # Where a pixel is larger than the scene, none may have its centre in it.
        for label, threshold in ((None, 0.0), (2, 0.0), (2, 0.5)):
            content = opened.tile(*tile, label, threshold)
            assert content is not None
            found = np.asarray(Image.open(BytesIO(content)))
            values = steps.max(0) if label is None else steps[label]
            shown = is_there & (values >= 250 * threshold)
            np.testing.assert_array_equal(found[..., 3] > 0, shown)
            names = CLASSES if label is None else [CLASSES[label]]
            palette = np.array([ImageColor.getrgb(COLOURS[name]) for name in names])
            wanted = palette[steps.argmax(0) if label is None else np.zeros(values.shape, int)]
            np.testing.assert_array_equal(found[..., :3][shown], wanted[shown])
        assert zoom == 0 or opened.tile(zoom, 0, 0, None, 0.0) is None


def test_other_files_are_no_scenes(tmp_path: Path) -> None:
    """An image without the classes is shown as probabilities."""
    path = tmp_path / "x.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=10, height=10, count=1, dtype="uint8", crs="EPSG:32629",
        transform=from_origin(0, 0, 10, 10),
    ):  # fmt: skip
        pass
    with pytest.raises(PipelineError, match="no map of the 19 classes"), OpenScene.of(0, path):
        pass
    with pytest.raises(PipelineError, match=r"holds no map\.tif"), OpenScene.of(0, tmp_path):
        pass


def test_a_scene_lies_over_the_map(scene: Path, runs_folder: Path, tmp_path: Path, look: Callable[..., Any]) -> None:
    """The layer is not drawn, or its settings change nothing."""
    with serving(runs_folder, "--scene", scene, "--verdicts", tmp_path / "v.csv") as (address, _):
        page = look("#/map", base=address)
        page.wait_for_selector("[data-scene='0']")
        page.wait_for_selector("#map[data-idle]")
        layer = "document.getElementById('map').map.getLayer('scene-0')"
        assert page.evaluate(f"Boolean({layer})")
        page.get_by_role("button", name="Go there").click()
        box = page.locator("[data-scene='0']")
        box.get_by_text("Colours of the classes").click()
        colours = (
            "each => [...each.querySelectorAll('li')].map(li => "
            "[li.textContent, getComputedStyle(li.firstChild).backgroundColor])"
        )
        legend = box.locator("details")
        assert legend.evaluate(colours) == [
            [name, "rgb({}, {}, {})".format(*ImageColor.getrgb(COLOURS[name]))] for name in CLASSES
        ]
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        box.get_by_label("Class").select_option("2")
        page.wait_for_timeout(50)
        page.wait_for_selector("#map[data-idle]")
        page.wait_for_load_state("networkidle")
        assert legend.is_hidden()
        assert any("/api/scenes/0/tiles/" in url and "label=2" in url for url in asked)
        box.get_by_label("Opacity").fill("0.3")
        box.get_by_label("Opacity").dispatch_event("change")
        opacity = "document.getElementById('map').map.getPaintProperty('scene-0', 'raster-opacity')"
        assert page.evaluate(opacity) == pytest.approx(0.3)
        box.get_by_label("shown").uncheck()
        assert not page.evaluate(f"Boolean({layer})")
        page.context.close()
