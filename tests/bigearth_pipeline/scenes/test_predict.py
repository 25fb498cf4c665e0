"""Predictions from beginning to end: the same bytes in any number of threads and after a kill, in valid files."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from rio_cogeo import cog_validate

import shards
from bigearth_pipeline.cli import main
from shards.layout.classes import CLASSES
from tests.bigearth_pipeline.scenes.making import Pixels, random_pixels, write_files, write_item, write_safe
from tests.bigearth_pipeline.scenes.stac import validated
from tests.conftest import real
from tests.support.running import commands
from trainer.inference import load, one_thread_a_batch

OUTPUTS = {"map.tif", "patches.parquet", "patches.csv", "item.json", "preview.png", "prediction.json"}


def call(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["predict", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def clouded() -> Pixels:
    """A scene with clouds over one window, without data in another, saturated in a third."""
    pixels = random_pixels(50, 45, scl=True)
    pixels.bands["SCL"][:40, :60] = 9
    pixels.bands["B08"][:120, 120:135] = 0
    pixels.bands["B11"][60:75, :60] = 65_535
    return pixels


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A STAC item of a scene of 2.5 × 2.25 windows."""
    return write_item(tmp_path_factory.mktemp("scene") / "scene", clouded())


@pytest.fixture(scope="module")
def predicted(scene: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene, predicted."""
    out = tmp_path_factory.mktemp("predicted") / "out"
    call(trained, scene, "--out", out, "--csv", "--threads", 1)
    return out


def reference(run: Path, pixels: Pixels, tops: tuple[int, ...], lefts: tuple[int, ...]) -> NDArray[np.float32]:
    with one_thread_a_batch():
        return load(run).probabilities(np.stack([pixels.record(top, left) for top in tops for left in lefts]))


def test_files_hold_the_probabilities_of_the_windows(predicted: Path, trained: Path) -> None:
    """A window gets the probabilities of another one, or a result in spite of what is missing."""
    assert {path.name for path in predicted.iterdir()} == OUTPUTS
    table = geopandas.read_parquet(predicted / "patches.parquet")
    names = list(CLASSES)
    expected = reference(trained, clouded(), (0, 20, 30), (0, 20, 25))
    # 2/3 of the first window are clouds, 1/8 of the second no data, 1/4 of the fourth saturated.
    np.testing.assert_allclose(table["missing"][:4], [2 / 3, 1 / 8, table["missing"][2], 1 / 4], atol=1e-6)
    there = (table["missing"] <= 0.1).to_numpy()
    assert 4 <= there.sum() < 9
    np.testing.assert_allclose(table[names].to_numpy()[there], expected[there], atol=1e-6)
    assert table[names][~there].isna().all(axis=None)
    assert table["status"].tolist() == ["ok" if each else "missing" for each in there]
    thresholds = np.array([load(trained).thresholds[name] for name in names], np.float32)
    for row, values in zip(table.itertuples(), expected, strict=True):
        chosen = [name for name, value, least in zip(names, values, thresholds, strict=True) if value >= least]
        assert (row.labels is None) == (row.status != "ok")
        if row.labels is not None:
            assert list(row.labels) == chosen
            assert row.label_mask == sum(1 << names.index(name) for name in chosen)
    csv = pd.read_csv(predicted / "patches.csv")
    np.testing.assert_allclose(csv[names], table[names], atol=1e-6)
    assert csv["labels"].fillna("").tolist() == [
        "; ".join(labels) if labels is not None else "" for labels in table["labels"]
    ]


def test_squares_lie_where_the_windows_are(predicted: Path) -> None:
    """The table opens elsewhere on the map than the scene."""
    table = geopandas.read_parquet(predicted / "patches.parquet")
    assert table.crs.to_epsg() == 32633
    assert table.geometry.is_valid.all()
    assert table.geometry.exterior.is_ccw.all()
    np.testing.assert_allclose(table.geometry.area, 1200.0**2)
    np.testing.assert_allclose(table.bounds[["minx", "maxy"]], table[["ulx", "uly"]])
    np.testing.assert_allclose(table.total_bounds, [399_960, 5_500_020 - 3000, 399_960 + 2700, 5_500_020])
    item = json.loads((predicted / "item.json").read_text())
    np.testing.assert_allclose(table.to_crs(4326).total_bounds, item["bbox"], atol=1e-5)


def test_the_map_is_a_valid_cog(predicted: Path, trained: Path) -> None:
    """Programs that read parts of a map by its structure fail, or bands have no names."""
    valid, errors, warnings = cog_validate(predicted / "map.tif", strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(predicted / "map.tif") as source:
        assert source.descriptions == CLASSES
        assert set(source.scales) == {1 / 250}
        assert (source.nodata, source.dtypes[0], source.res, source.shape) == (255, "uint8", (60, 60), (50, 45))
        assert (source.transform.c, source.transform.f) == (399_960, 5_500_020)
        cells = source.read()
    expected = reference(trained, clouded(), (0, 20, 30), (0, 20, 25))
    # Cells that only one window holds have its probabilities; the first one has none.
    assert (cells[:, :20, :20] == 255).all()
    np.testing.assert_allclose(
        cells[:, 40:, :20], np.full((19, 10, 20), 0) + 250 * expected[6][:, None, None], atol=0.51
    )


def test_the_item_is_valid(predicted: Path) -> None:
    """A catalogue refuses the item, or a checksum is not that of the file."""
    item = validated(predicted / "item.json")
    assert set(item["assets"]) == {"map", "patches", "csv", "preview", "model-1"}
    for asset in item["assets"].values():
        path = predicted / asset["href"]
        assert asset["file:checksum"] == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
        assert asset["file:size"] == path.stat().st_size
    assert item["properties"]["datetime"] == "2023-06-25T23:46:21Z"
    classes = item["properties"]["mlm:output"][0]["classification:classes"]
    assert [each["description"] for each in classes] == list(CLASSES)
    broken = json.loads((predicted / "item.json").read_text())
    del broken["properties"]["mlm:output"]
    path = predicted.parent / "broken.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(Exception, match="mlm:output"):
        validated(path)


def test_any_number_of_threads_gives_the_same_bytes(predicted: Path, scene: Path, trained: Path) -> None:
    """Bytes depend on which thread was first."""
    out = predicted.with_name("again")
    call(trained, scene, "--out", out, "--csv", "--threads", 3)
    assert digests(out) == digests(predicted)


@pytest.mark.long
def test_a_killed_prediction_resumes_to_the_same_bytes(trained: Path, scene: Path, predicted: Path) -> None:
    """A kill leaves a half result, or the resumed one differs or begins anew."""
    out = predicted.with_name("killed")
    command = ["predict", trained, scene, "--out", out, "--csv"]
    command += ["--overlap", "0.85", "--batch-size", "4", "--threads", "1"]
    units = out / ".predict"
    while not units.exists():  # Once more if it was done before it was killed.
        shutil.rmtree(out, ignore_errors=True)
        process = commands.start(*command, stdout=subprocess.DEVNULL)
        try:
            while process.poll() is None and len(list(units.glob("unit-*.npz"))) < 3:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        finally:
            process.communicate()
    there = {path.name: path.stat().st_mtime_ns for path in units.glob("unit-*.npz")}
    assert 3 <= len(there) < 11
    assert not (out / "prediction.json").exists()
    # One of them is damaged meanwhile.
    damaged = units / "unit-00001.npz"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    (out / ".map.tif.host.1.0123abcd.part").write_text("left by a kill in the end")
    options = ["--csv", "--overlap", 0.85, "--batch-size", 4]
    assert "resuming" in call(trained, scene, "--out", out, *options, "--threads", 2)
    whole = predicted.with_name("whole")
    call(trained, scene, "--out", whole, *options)
    assert digests(out) == digests(whole)
    assert {path.name for path in out.iterdir()} == OUTPUTS


@pytest.mark.long
def test_runs_and_turns_are_averaged(trained: Path, trained_rgb: Path, tmp_path: Path) -> None:
    """An ensemble is that of its first run, or bands of the second run are not read."""
    pixels = random_pixels(20, 40, seed=4)
    path = write_files(tmp_path / "scene", pixels)
    known = ["--baseline", "2.12", "--date", "2020-02-03"]
    call(trained_rgb, path, "--out", tmp_path / "both", "--with", trained, "--tta", "d4", *known)
    table = geopandas.read_parquet(tmp_path / "both" / "patches.parquet")
    records = np.stack([pixels.record(0, left) for left in (0, 20)])
    each = [load(run, tta="d4").probabilities(records) for run in (trained, trained_rgb)]
    np.testing.assert_allclose(table[list(CLASSES)], np.mean(each, 0), atol=1e-5)
    item = validated(tmp_path / "both" / "item.json")
    assert {"model-1", "model-2"} <= set(item["assets"])
    assert item["properties"]["datetime"] == "2020-02-03T00:00:00Z"


def test_a_safe_with_offset_says_so(trained_rgb: Path, tmp_path: Path) -> None:
    """The offset of newer products is taken off in silence, or not at all."""
    pixels = random_pixels(20, 20, seed=4)
    safe = write_safe(tmp_path, pixels, offsets=dict.fromkeys(pixels.bands, -1000))
    output = call(trained_rgb, safe, "--out", tmp_path / "out")
    assert "1000 is subtracted from digital numbers of processing baseline N0509" in output
    item = validated(tmp_path / "out" / "item.json")
    assert item["properties"]["datetime"] == "2023-06-25T23:46:21Z"
    assert "1000 is subtracted" in item["properties"]["processing:lineage"]
    shifted = Pixels({band: values - np.uint16(1000) for band, values in pixels.bands.items()})
    table = geopandas.read_parquet(tmp_path / "out" / "patches.parquet")
    np.testing.assert_allclose(table[list(CLASSES)], reference(trained_rgb, shifted, (0,), (0,)), atol=1e-6)


def results_of(out: Path) -> dict[str, Any]:
    table = geopandas.read_parquet(out / "patches.parquet")
    validated(out / "item.json")
    with Image.open(out / "preview.png") as picture:
        picture.load()
        assert min(picture.size) > 200
    return dict(zip(table["name"], table[list(CLASSES)].to_numpy(), strict=True))


@pytest.mark.long
def test_a_split_of_a_store(trained: Path, small_store: Path, tmp_path: Path) -> None:
    """Patches get the probabilities of others."""
    call(trained, small_store, "--out", tmp_path / "out", "--batch-size", 16)
    with shards.open(small_store) as store:
        rows = store.index.rows("test")
        records = np.empty((len(rows), 80_000), np.uint16)
        store.read_into(rows, records)
        keys = [store.index.key(int(row)) for row in rows]
    found = results_of(tmp_path / "out")
    assert list(found) == keys
    np.testing.assert_allclose(np.stack(list(found.values())), load(trained).probabilities(records), atol=1e-5)


def test_patches_of_both_versions(trained: Path, v1_tree: Path, v2_tree: Path, tmp_path: Path) -> None:
    """Patch folders and trees are taken for scenes, or lie elsewhere on the map."""
    other = real("v2-tiff/S2")
    output = call(trained, v1_tree, v2_tree / "BigEarthNet-S2", other, "--out", tmp_path / "out", "--csv")
    assert "8 patches" in output
    assert "that cannot be used" not in output
    assert len(results_of(tmp_path / "out")) == 8
    table = geopandas.read_parquet(tmp_path / "out" / "patches.parquet")
    assert table.crs.to_epsg() in (4326, None) or str(table.crs) == "OGC:CRS84"
    for row in table.itertuples():
        there = geopandas.GeoSeries([row.geometry], crs="OGC:CRS84").to_crs(row.epsg).total_bounds
        np.testing.assert_allclose(there, [row.ulx, row.uly - 1200, row.ulx + 1200, row.uly], atol=0.01)


def test_a_damaged_patch_says_why(trained_rgb: Path, v1_tree: Path, tmp_path: Path) -> None:
    """A damaged patch ends the prediction of all others, or is left out in silence."""
    import shutil

    folders = sorted(path for path in next(v1_tree.iterdir()).iterdir() if path.is_dir())[:2]
    for folder in folders:
        shutil.copytree(folder, tmp_path / "tree" / folder.name)
    damaged = next((tmp_path / "tree" / folders[1].name).glob("*_B03.tif"))
    damaged.write_bytes(damaged.read_bytes()[:500])
    output = call(trained_rgb, tmp_path / "tree", "--out", tmp_path / "out")
    assert "1 that cannot be used" in output
    [line] = [line for line in output.splitlines() if line.strip().startswith(folders[1].name)]
    assert "B03" in line
    options = [str(trained_rgb), str(tmp_path / "tree"), "--out", str(tmp_path / "out"), "--json"]
    again = CliRunner().invoke(main, ["predict", *options])
    [found] = json.loads(again.stdout)
    assert list(found["left_out"]) == [folders[1].name]
    table = geopandas.read_parquet(tmp_path / "out" / "patches.parquet").set_index("name")
    assert table.loc[folders[0].name, "status"] == "ok"
    assert "B03" in table.loc[folders[1].name, "status"]
    assert table.loc[[folders[1].name], list(CLASSES)].isna().all(axis=None)
    assert table.loc[folders[1].name, "geometry"] is None
    assert os.path.exists(tmp_path / "out" / "item.json")


def test_several_scenes_have_a_folder_each(trained_rgb: Path, tmp_path: Path) -> None:
    """The result of one scene replaces that of another."""
    scenes = [write_files(tmp_path / name, random_pixels(20, 20, seed=i)) for i, name in enumerate(("one", "two"))]
    call(trained_rgb, *scenes, "--out", tmp_path / "out", "--offset", "none")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one", "two"]
    assert {path.name for path in (tmp_path / "out" / "one").iterdir()} == OUTPUTS - {"patches.csv", "item.json"}
