"""Synthetic datasets: the official layout to the byte, determinism, and labels that can be learnt from the pixels."""

import bz2
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from click.testing import CliRunner
from numpy.typing import NDArray

from bigearth_pipeline.cli.stores.synth import synth
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.tree import SYNTHETIC
from bigearth_pipeline.synth.dataset import write_dataset
from bigearth_pipeline.synth.pixels import draw_patch
from bigearth_pipeline.synth.plan import MAX_PATCHES, SynthPatch, plan_patches
from bigearth_pipeline.synth.tables import FLAGGED_TABLE, MAIN_TABLE, SCHEMA, SPLIT_LISTS
from bigearth_pipeline.synth.tiff import encode_band
from shards.codec.registry import get_codec
from shards.layout.bands import B10, BAND_SLICES, BANDS, GROUP_OF, RECORD_BYTES
from shards.layout.classes import CLASSES, encode_clc_labels, encode_labels, multi_hot
from shards.layout.record import PATCH_METRES
from tests.building import Recorder
from tests.paths import DATA

SIZES = {"v1": {10: 29_192, 20: 7_560, 60: 1_160}, "v2": {10: 29_196, 20: 7_572, 60: 1_172}}
NUM_PATCHES = 200
COUNTRIES = {
    "Austria", "Belgium", "Finland", "Ireland", "Kosovo", "Lithuania", "Luxembourg", "Portugal", "Serbia", "Switzerland"
}  # fmt: skip

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real BigEarthNet files in {DATA}")
Float = NDArray[np.float64]


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


@pytest.fixture(scope="module")
def drawn() -> tuple[list[SynthPatch], NDArray[np.uint16]]:
    """A plan of 800 patches without the flagged ones, and their records."""
    plan = [patch for patch in plan_patches(800, "v2", 3) if not (patch.snow or patch.cloud)]
    return plan, np.stack([draw_patch(p.labels, p.pixel_source(3), snow=False, cloud=False) for p in plan])


def folders(out: Path) -> dict[str, Path]:
    """Patch folders of a dataset by name."""
    return {path.parent.name: path.parent for path in out.rglob("*_B02.tif")}


def contents(out: Path) -> dict[str, bytes]:
    """All files of a dataset."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def average_precision(truth: NDArray[np.bool_], score: Float) -> float:
    """Area under the precision-recall curve of one class, as the mean precision at its positives."""
    hits = truth[np.argsort(-score, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def ends_within(seconds: float, group: int) -> bool:
    """Tell whether the last process of a group ends within a time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)  # Signal 0 only asks.
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


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
    assert {row["country"] for row in main} == COUNTRIES
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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_split_shows_every_class(seed: int) -> None:
    """A class is missing from a split, and its score cannot be computed."""
    plan = [patch for patch in plan_patches(100, "v2", seed) if not (patch.snow or patch.cloud)]
    for split in ("train", "validation", "test"):
        assert {label for patch in plan if patch.split == split for label in patch.labels} == set(CLASSES)


def test_class_frequencies_resemble_the_real_ones() -> None:
    """Class weights or thresholds tried on synthetic data say nothing about the real one."""
    plan = plan_patches(3000, "v2", 0)
    share = {name: sum(name in patch.labels for patch in plan) / len(plan) for name in CLASSES}
    for name, real in {
        "Arable land": 0.39, "Coniferous forest": 0.32, "Mixed forest": 0.35, "Pastures": 0.20,
        "Urban fabric": 0.13, "Marine waters": 0.13, "Agro-forestry areas": 0.07,
    }.items():  # fmt: skip
        assert share[name] == pytest.approx(real, abs=0.07), name
    assert max(share["Beaches, dunes, sands"], share["Coastal wetlands"]) < 0.06


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


def test_band_means_are_near_the_published_ones(drawn: tuple[list[SynthPatch], NDArray[np.uint16]]) -> None:
    """Published normalisation constants do not fit synthetic pixels."""
    published = {"B01": 361, "B02": 438, "B04": 588, "B08": 2193, "B8A": 2236, "B11": 1568, "B12": 998}
    for band, mean in published.items():
        assert drawn[1][:, BAND_SLICES[band]].mean() == pytest.approx(mean, rel=0.15), band
    assert drawn[1].min() > 0


def test_resolutions_see_the_same_scene(drawn: tuple[list[SynthPatch], NDArray[np.uint16]]) -> None:
    """A 20 m or 60 m band is shifted, flipped or of another scene than the 10 m bands."""
    for record in drawn[1][:50]:
        near = record[BAND_SLICES["B08"]].reshape(60, 2, 60, 2).mean((1, 3))
        assert np.corrcoef(near.ravel(), record[BAND_SLICES["B8A"]])[0, 1] > 0.9 or near.std() < 100
        near = near.reshape(20, 3, 20, 3).mean((1, 3))
        assert np.corrcoef(near.ravel(), record[BAND_SLICES["B09"]])[0, 1] > 0.85 or near.std() < 100


def test_labels_can_be_learnt_from_the_pixels(drawn: tuple[list[SynthPatch], NDArray[np.uint16]]) -> None:
    """Pixels say nothing about the labels: a training run on synthetic data cannot tell a good trainer from a bad."""
    plan, records = drawn
    values = [records[:, BAND_SLICES[band]].astype(np.float64) for band in BANDS]
    features = np.log(np.stack([number for band in values for number in (band.mean(1), band.std(1))], axis=1))
    truth = multi_hot(np.array([encode_labels(patch.labels) for patch in plan], np.uint32)).astype(bool)
    train = np.array([patch.split == "train" for patch in plan])
    features = (features - features[train].mean(0)) / features[train].std(0)
    features = np.c_[features, np.ones(len(features))]
    # Ridge regression, the simplest model with a closed form.
    gram = features[train].T @ features[train] + np.eye(features.shape[1])
    scores = features[~train] @ np.linalg.solve(gram, features[train].T @ truth[train])
    precision = [average_precision(truth[~train, i], scores[:, i]) for i in range(len(CLASSES))]
    frequency = truth[~train].mean(0)
    assert np.mean(precision) > 0.5 > 2.5 * frequency.mean()
    assert sum(p > 1.5 * f for p, f in zip(precision, frequency, strict=True)) >= len(CLASSES) - 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patches": 0}, "patches is 0, expected 1"),
        ({"patches": MAX_PATCHES + 1}, f"expected 1 to {MAX_PATCHES}"),
        ({"layout": "v3"}, "layout is 'v3', expected one of v1, v2"),
        ({"seed": -1}, "seed is -1, expected 0"),
        ({"workers": 0}, "workers is 0, expected 1"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """A wrong argument leads to a half-written directory or to an error that does not name it."""
    arguments: dict[str, Any] = {"patches": 4, "layout": "v2", "seed": 0, "workers": 1}
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "out", **(arguments | change))
    assert not (tmp_path / "out").exists()


def test_a_directory_that_holds_something_is_refused(tmp_path: Path) -> None:
    """Synthetic patches get mixed into a real dataset."""
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match="is not empty"):
        write_dataset(tmp_path, patches=1, layout="v2")
    result = CliRunner().invoke(synth, ["--out", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"Error: {tmp_path} is not empty; give a new or an empty directory"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("make", [lambda path: path.touch(), lambda path: path.symlink_to("/dev/null/x")])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A user sees a traceback for a wrong path."""
    make(tmp_path / "taken")
    result = CliRunner().invoke(synth, ["--out", str(tmp_path / "taken" / "out"), "--patches", "1"])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"Error: {tmp_path / 'taken'}")


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    """The user has to look up the next command, or cannot see that all is written."""
    out = tmp_path / "big earth net"
    result = CliRunner().invoke(synth, ["--out", str(out), "--patches", "3", "--layout", "v1", "--workers", "1"])
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{out}: 3 patches in layout v1, 0.5 MB")
    # As a shell takes it, for the folder has blanks in its name.
    assert second == f"next: bep build-shards '{out}' --out '{out}-shards'"
    assert CliRunner().invoke(synth, ["--out", str(out), "--patches", "0"]).exit_code == 2


def test_an_interrupt_leaves_no_process_and_no_table(tmp_path: Path) -> None:
    """After Ctrl-C workers go on writing, or the directory looks complete."""
    code = "from bigearth_pipeline.cli.stores.synth import synth\nif __name__ == '__main__':\n    synth()\n"
    (tmp_path / "run.py").write_text(code)
    out = tmp_path / "out"
    command = [sys.executable, str(tmp_path / "run.py"), "--out", str(out), "--patches", "20000", "--workers", "2"]
    # In a group of its own, which gets the signal as a whole, as from a terminal.
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while process.poll() is None and not any(out.rglob("*.tif")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[1:] == [f"interrupted: {out} is incomplete; delete it before another try"]
    assert not (out / MAIN_TABLE).exists()
    # The helper that Python starts beside spawned processes ends by itself, a moment later.
    assert ends_within(60, process.pid)


def test_the_command_imports_nothing_heavy() -> None:
    """`bep --help` takes long because a command module imports numpy or rasterio."""
    code = "import sys, bigearth_pipeline.cli.stores.synth; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "rasterio", "rich", "pyarrow", "multiprocessing"} & set(result.stdout.split())
