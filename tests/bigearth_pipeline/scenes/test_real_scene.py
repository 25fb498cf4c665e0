"""A real scene, written as COGs and as a product with JPEG 2000 files, predicted by the command."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rio_cogeo import cog_validate

from bigearth_pipeline.cli import main
from shards.layout.bands import BANDS
from shards.layout.classes import CLASSES
from tests.bigearth_pipeline.scenes.making import Pixels, write_files, write_safe
from tests.bigearth_pipeline.scenes.stac import validated
from tests.conftest import real
from trainer.inference import load, one_thread_a_batch


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    """The bands of a cell of 10.68 km."""
    folder, bands = real("scenes/199U_1099R"), {}
    for band in BANDS:
        with rasterio.open(folder / f"{band}.tif") as source:
            bands[band] = source.read(1)
            if band == "B02":
                place = source.crs.to_epsg(), source.transform.c, source.transform.f
    return Pixels(bands, *place)


@pytest.mark.long
def test_cogs_and_a_product_give_the_same(pixels: Pixels, trained: Path, tmp_path: Path) -> None:
    """A form of a scene is read otherwise, or an output is no file of its kind."""
    scenes = {
        "cogs": (write_files(tmp_path / "scene", pixels), ["--baseline", "02.14", "--date", "2018-05-02"]),
        "product": (write_safe(tmp_path, pixels, baseline="02.14"), []),
    }
    tables, maps = {}, {}
    for name, (scene, known) in scenes.items():
        out = tmp_path / name
        result = CliRunner().invoke(main, ["predict", *map(str, (trained, scene, "--out", out, *known))])
        assert result.exit_code == 0, result.output
        assert cog_validate(out / "map.tif", strict=True) == (True, [], [])
        tables[name] = geopandas.read_parquet(out / "patches.parquet")
        with rasterio.open(out / "map.tif") as source:
            maps[name] = source.read()
            assert source.crs.to_epsg() == pixels.epsg
            assert (source.transform.c, source.transform.f) == pytest.approx((pixels.ulx, pixels.uly), abs=1e-4)
        item = validated(out / "item.json")
        assert item["properties"]["datetime"][:10] == ("2018-05-02" if known else "2023-06-25")
        west, south, east, north = item["bbox"]
        assert tables[name].to_crs(4326).total_bounds == pytest.approx([west, south, east, north], abs=1e-5)
        facts = json.loads((out / "prediction.json").read_text())
        assert facts
    values = {name: table[list(CLASSES)].to_numpy() for name, table in tables.items()}
    assert len(tables["cogs"]) == 81
    assert (tables["cogs"]["status"] == "ok").sum() > 40
    np.testing.assert_array_equal(values["cogs"], values["product"])
    np.testing.assert_array_equal(maps["cogs"], maps["product"])
    assert tables["cogs"].geometry.geom_equals_exact(tables["product"].geometry, 1e-3).all()
    # A window by hand: the second of the second row.
    row = 10
    with one_thread_a_batch():
        expected = load(trained).probabilities(pixels.record(20, 20)[None])[0]
    if tables["cogs"]["status"][row] == "ok":
        np.testing.assert_allclose(values["cogs"][row], expected, atol=1e-6)
