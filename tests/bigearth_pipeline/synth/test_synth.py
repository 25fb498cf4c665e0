"""Synthetic datasets: the files, names and tables of official ones, the same whatever the workers."""

import bz2
import json
import tarfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

from bigearth_pipeline.source.tree import SYNTHETIC
from bigearth_pipeline.synth.dataset import write_dataset
from bigearth_pipeline.synth.pixels import draw_patch
from bigearth_pipeline.synth.plan import plan_patches
from bigearth_pipeline.synth.tables import FLAGGED_TABLE, MAIN_TABLE, SCHEMA, SPLIT_LISTS
from bigearth_pipeline.synth.tiff import encode_band
from shards.codec.registry import get_codec
from shards.layout import facts
from shards.layout.bands import B10, BAND_SLICES, BANDS, GROUP_OF, RECORD_BYTES
from shards.layout.classes import encode_clc_labels, encode_labels
from shards.layout.record import PATCH_METRES
from tests.support.data.building import Recorder
from tests.support.paths import DATA

SIZES = {"v1": {10: 29_192, 20: 7_560, 60: 1_160}, "v2": {10: 29_196, 20: 7_572, 60: 1_172}}
NUM_PATCHES = 200
COUNTRIES = {
    "Austria", "Belgium", "Finland", "Ireland", "Kosovo", "Lithuania", "Luxembourg", "Portugal", "Serbia", "Switzerland"
}  # fmt: skip
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real BigEarthNet files in {DATA}")


@pytest.fixture(scope="module")
def v1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset in layout v1."""
    out = tmp_path_factory.mktemp("synth") / "v1"
    write_dataset(out, patches=NUM_PATCHES, layout="v1", seed=7, workers=1)
    return out


@pytest.fixture(scope="module")
def v2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset in layout v2, with the seed of `v1`."""
    out = tmp_path_factory.mktemp("synth") / "v2"
    write_dataset(out, patches=NUM_PATCHES, layout="v2", seed=7, workers=1)
    return out


def folders(out: Path) -> dict[str, Path]:
    """Patch folders of a dataset by name."""
    return {path.parent.name: path.parent for path in out.rglob("*_B02.tif")}


def contents(out: Path) -> dict[str, bytes]:
    """All files of a dataset."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@needs_data
@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_band_files_equal_the_official_ones(layout: str) -> None:
    """A reader that handles synthetic files could still fail on official ones: a tag or a place differs."""
    real: dict[str, bytes] = {}
    if layout == "v1":
        with tarfile.open(DATA / "v1/BigEarthNet-S2-Example.tar.bz2") as archive:
            for member in archive:
                if member.name.endswith(".tif"):
                    file = archive.extractfile(member)
                    assert file is not None
                    real[member.name] = file.read()
    else:
        real = {path.name: path.read_bytes() for path in (DATA / "v2/BigEarthNet-S2").rglob("*.tif")}
    assert len(real) == {"v1": 72, "v2": 12}[layout]
    for name, content in real.items():
        with rasterio.open(BytesIO(content)) as band:
            pixels, epsg, transform = band.read(1), band.crs.to_epsg(), band.transform
        ours = encode_band(pixels, layout=layout, epsg=epsg, ulx=int(transform.c), uly=int(transform.f))
        assert ours == content, name


@pytest.mark.long
@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_every_band_file_opens_with_the_right_pixels_and_place(layout: str, request: pytest.FixtureRequest) -> None:
    """Pixels, size, coordinate system or corner of a file differ from what the plan says."""
    found = folders(request.getfixturevalue(layout))
    plan = plan_patches(NUM_PATCHES, "v1" if layout == "v1" else "v2", 7)
    assert set(found) == {patch.name for patch in plan}
    assert all(len(list(folder.glob("*.tif"))) == len(BANDS) for folder in found.values())
    for patch in plan[::10]:
        record = draw_patch(patch.labels, patch.pixel_source(7), snow=patch.snow, cloud=patch.cloud)
        for band in BANDS:
            group, path = GROUP_OF[band], found[patch.name] / f"{patch.name}_{band}.tif"
            assert path.stat().st_size == SIZES[layout][group.metres]
            with rasterio.open(path) as file:
                assert (file.count, file.shape, file.dtypes[0]) == (1, group.shape[1:], "uint16")
                assert file.compression is None
                assert file.nodata == (0 if layout == "v2" else None)
                assert file.block_shapes == [(34 if group is B10 else group.size, group.size)]
                assert file.crs.to_epsg() == patch.product.epsg
                bounds = (patch.ulx, patch.uly - PATCH_METRES, patch.ulx + PATCH_METRES, patch.uly)
                assert tuple(file.bounds) == bounds
                np.testing.assert_array_equal(file.read(1).ravel(), record[BAND_SLICES[band]])


@needs_data
@pytest.mark.parametrize("name", [MAIN_TABLE, FLAGGED_TABLE])
def test_v2_tables_have_the_official_schema(v2: Path, name: str) -> None:
    """Code written for the official tables does not read the synthetic ones, or the other way round."""
    official, ours = pq.ParquetFile(DATA / "v2" / name), pq.ParquetFile(v2 / name)
    assert ours.schema_arrow.equals(official.schema_arrow, check_metadata=True)
    assert [column.path for column in map(ours.schema.column, range(8))] == [
        column.path for column in map(official.schema.column, range(8))
    ]


@needs_data
def test_products_are_real_ones() -> None:
    """A country, a tile or a Sentinel-1 name of a synthetic patch does not exist in the official tables."""
    columns = ["patch_id", "country", "s1_name"]
    table = pq.read_table(DATA / "v2" / MAIN_TABLE, columns=columns)
    official = {
        (patch_id.rsplit("_", 2)[0], country, s1.rsplit("_", 3)[0])
        for patch_id, country, s1 in zip(*(table[column].to_pylist() for column in columns), strict=True)
    }
    for patch in plan_patches(NUM_PATCHES, "v2", 0):
        assert (patch.product.name, patch.product.country, patch.product.s1) in official


def test_v2_tables_list_every_folder_once(v2: Path) -> None:
    """A folder without a row or a row without a folder; or flags, splits or countries unlike the official ones."""
    main, flagged = (pq.read_table(v2 / name, schema=SCHEMA).to_pylist() for name in (MAIN_TABLE, FLAGGED_TABLE))
    names = [row["patch_id"] for row in main + flagged]
    assert sorted(names) == sorted(folders(v2))
    assert [row["patch_id"] for row in main] == sorted(row["patch_id"] for row in main)
    assert not any(row["contains_seasonal_snow"] or row["contains_cloud_or_shadow"] for row in main)
    assert all(row["contains_seasonal_snow"] != row["contains_cloud_or_shadow"] for row in flagged)
    assert {row["contains_seasonal_snow"] for row in flagged} == {True, False}
    assert 0.02 <= len(flagged) / NUM_PATCHES <= 0.04
    assert {row["country"] for row in main} == COUNTRIES == set(facts.COUNTRIES)
    splits = [row["split"] for row in main]
    assert splits.count("train") / len(splits) == pytest.approx(0.5, abs=0.05)
    assert splits.count("validation") / len(splits) == pytest.approx(0.25, abs=0.05)
    assert splits.count("test") / len(splits) == pytest.approx(0.25, abs=0.05)
    assert all(row["labels"] == sorted(row["labels"]) and encode_labels(row["labels"]) for row in main)


@needs_data
def test_v1_json_equals_the_official_one_in_form(v1: Path) -> None:
    """Keys, their order or the coordinate system's text differ from the official JSON files."""
    official: dict[str, dict[str, Any]] = {}
    with tarfile.open(DATA / "v1/BigEarthNet-S2-Example.tar.bz2") as archive:
        for member in archive:
            if member.name.endswith(".json"):
                file = archive.extractfile(member)
                assert file is not None
                content: dict[str, Any] = json.load(file)
                official[content["projection"].split('"')[1]] = content
    compared = set()
    for name, folder in folders(v1).items():
        ours = json.loads((folder / f"{name}_labels_metadata.json").read_text())
        real = official.get(ours["projection"].split('"')[1])
        if real is not None:
            assert ours["projection"] == real["projection"]
            assert list(ours) == list(real)
            assert list(ours["coordinates"]) == list(real["coordinates"])
            compared.add(ours["projection"])
    assert len(compared) == len(official)


def test_v1_json_agrees_with_the_band_files(v1: Path) -> None:
    """The labels' place and the pixels' place are different ones, or a label is unknown."""
    without_class = 0
    for name, folder in folders(v1).items():
        about = json.loads((folder / f"{name}_labels_metadata.json").read_text())
        with rasterio.open(folder / f"{name}_B09.tif") as file:
            assert [about["coordinates"][key] for key in ("ulx", "lry", "lrx", "uly")] == list(file.bounds)
            assert file.crs == rasterio.CRS.from_wkt(about["projection"])
        time.strptime(about["acquisition_date"], "%Y-%m-%d %H:%M:%S")
        without_class += encode_clc_labels(about["labels"]) == 0
    assert without_class == 1


def test_v1_lists_hold_every_usable_patch_once(v1: Path) -> None:
    """A patch is in two lists, or in none although it has labels and no flag; or lines end otherwise."""
    lists = {path.name: path.read_bytes() for path in v1.glob("*.csv")}
    assert set(lists) == {*SPLIT_LISTS.values(), "patches_with_seasonal_snow.csv", "patches_with_cloud_and_shadow.csv"}
    names = [line.decode() for content in lists.values() for line in content.split(b"\r\n")[:-1]]
    assert len(names) == len(set(names)) == NUM_PATCHES - 1  # All but the one without any of the 19 classes.
    assert set(names) < set(folders(v1))
    if DATA.is_dir():
        assert all(bz2.decompress((DATA / f"v1/{name}.bz2").read_bytes())[-2:] == b"\r\n" for name in lists)


def test_v1_names_miss_the_zero_as_often_as_official_ones() -> None:
    """Code that takes names for timestamps passes on synthetic data and fails on the real one."""
    times = [patch.name.split("_")[2] for patch in plan_patches(2000, "v1", 0)]
    assert sum(len(time) < 15 for time in times) / len(times) == pytest.approx(0.12, abs=0.03)


def test_layouts_hold_the_same_patches(v1: Path, v2: Path) -> None:
    """A version 1 patch and the version 2 patch that names it have different pixels."""
    folders_v1, folders_v2 = folders(v1), folders(v2)
    for row in pq.read_table(v2 / MAIN_TABLE).to_pylist()[::20]:
        one = folders_v1[row["s2v1_name"]] / f"{row['s2v1_name']}_B03.tif"
        two = folders_v2[row["patch_id"]] / f"{row['patch_id']}_B03.tif"
        assert one.read_bytes()[-28_800:] == two.read_bytes()[-28_800:]


@pytest.mark.long
def test_bytes_do_not_depend_on_the_workers(v2: Path, tmp_path: Path) -> None:
    """The same arguments give other bytes with another number of processes, or another seed gives the same ones."""
    progress = Recorder()
    write_dataset(tmp_path / "two", patches=NUM_PATCHES, layout="v2", seed=7, workers=2, progress=progress)
    assert (progress.total, sum(progress.counts)) == (NUM_PATCHES, NUM_PATCHES)
    assert contents(tmp_path / "two") == contents(v2)
    write_dataset(tmp_path / "other", patches=4, layout="v2", seed=8, workers=1)
    same = contents(tmp_path / "other").items() & contents(v2).items()
    assert [Path(name).name for name, _ in same] == [SYNTHETIC]


def test_a_patch_does_not_depend_on_the_others() -> None:
    """A patch's pixels or labels change with the number of patches."""
    few, many = ({patch.name: patch for patch in plan_patches(num, "v2", 5)} for num in (50, 300))
    assert few.items() <= many.items()


@pytest.mark.long
def test_places_are_taken_once() -> None:
    """Two patches have one name, and the later overwrites the earlier."""
    plan = plan_patches(30_000, "v1", 0)
    assert len({patch.name for patch in plan}) == len({patch.v1_name for patch in plan}) == 30_000


def test_records_compress_as_real_ones(v2: Path) -> None:
    """Sizes and speeds measured on synthetic shards are not those of real ones (ratio 1.51)."""
    codec = get_codec("blosc-lz4")
    sizes = []
    for name, folder in list(folders(v2).items())[::2]:
        bands = []
        for band in BANDS:
            with rasterio.open(folder / f"{name}_{band}.tif") as file:
                bands.append(file.read(1).ravel())
        sizes.append(len(codec.encode(np.concatenate(bands))))
    assert 1.4 < len(sizes) * RECORD_BYTES / sum(sizes) < 1.7
