"""Sound stores have no problems; stores are compared with their GeoTIFFs, and the command says what was found."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio

import shards
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.tiff.reader import TiffReader
from bigearth_pipeline.verify.store import verify_store
from tests.bigearth_pipeline.verify.damage import KINDS, assert_named, edit_index, problems_of, rows_of
from tests.support.data import faults
from tests.support.data.building import Recorder
from tests.support.data.scene import PRODUCT, write_patch
from tests.support.running import commands


@pytest.mark.long
@KINDS
def test_a_sound_store_has_no_problems(kind: str, request: pytest.FixtureRequest) -> None:
    """A sound store is called damaged, or a part of it is not read."""
    folder: Path = request.getfixturevalue(kind)
    progress = Recorder()
    findings = verify_store(folder, workers=2, progress=progress)
    assert (findings.problems, findings.patches, findings.compared) == ([], 300, 0)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("manifest.json", "build.json")]
    assert findings.bytes_read == sum(path.stat().st_size for path in files)
    assert (progress.total, progress.before) == (300, 0)
    assert sum(progress.counts) <= 300


@pytest.fixture
def changed_tree(scene_tree: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The scene tree with four patches that are not as they were, and their names by what has changed."""
    product = tmp_path / "tree" / "BigEarthNet-S2" / PRODUCT
    product.mkdir(parents=True)
    sound = scene_tree / "BigEarthNet-S2" / PRODUCT
    keys = sorted(folder.name for folder in sound.iterdir())
    lost, cut, pixel, moved = chosen = [keys[i] for i in (11, 57, 123, 288)]
    for key in keys:
        if key not in chosen:
            (product / key).symlink_to(sound / key)
    for key in (cut, pixel):
        shutil.copytree(sound / key, product / key)
    (product / cut / f"{cut}_B11.tif").unlink()
    for band, value in (("B05", 1), ("B09", 7)):
        with rasterio.open(product / pixel / f"{pixel}_{band}.tif", "r+") as source:
            pixels = source.read(1)
            pixels[-1, -1] += value
            source.write(pixels, 1)
    with TiffReader() as reader:
        reader.read_patch(str(sound / moved), moved, record := np.empty(shards.RECORD_VALUES, np.uint16))
    write_patch(product, moved, record, 600_010, 5_348_400)
    return tmp_path / "tree", {"lost": lost, "cut": cut, "pixel": pixel, "moved": moved}


@pytest.mark.long
@KINDS
def test_against_changed_geotiffs(
    kind: str, changed_tree: tuple[Path, dict[str, str]], request: pytest.FixtureRequest
) -> None:
    """A pixel, a place or a file of the source that differs from the store goes unseen."""
    tree, key = changed_tree
    findings = verify_store(request.getfixturevalue(kind), against=[tree], workers=2)
    assert (findings.patches, findings.compared) == (300, 298)
    assert len(findings.problems) == 4
    assert f"{key['lost']} has no folder in the source" in findings.problems
    assert f"{key['pixel']} differs from its GeoTIFFs in B05, B09" in findings.problems
    assert_named(findings.problems, f"source of {key['cut']}: ", f"{key['cut']}_B11.tif is missing")
    place = 390_000 + 1200 * 288
    assert (
        f"{key['moved']} lies at EPSG:32633 {place:.1f} 5348400.0 in the index, "
        "its GeoTIFF at EPSG:32633 600010.0 5348400.0"
    ) in findings.problems


def test_a_moved_place_in_the_index_of_a_zarr_store(zarr_store: Path, scene_tree: Path, tmp_path: Path) -> None:
    """A place in the index that is not that of the GeoTIFF is believed, where no tar repeats it."""
    damaged = faults.copy(zarr_store, tmp_path / "damaged")
    edit_index(damaged, lambda rows: rows[0].update(uly=rows[0]["uly"] + 60))
    key = rows_of(damaged)["train-00000"][0]["key"]
    product = tmp_path / "BigEarthNet-S2" / PRODUCT
    product.mkdir(parents=True)
    (product / key).symlink_to(scene_tree / "BigEarthNet-S2" / PRODUCT / key)
    problems = problems_of(damaged, against=[product])
    assert_named(problems, f"{key} lies at EPSG:32633 ")
    assert sum("has no folder in the source" in problem for problem in problems) == 299


@pytest.mark.long
def test_a_sample_compares_as_many_as_it_says(tar_store: Path, scene_tree: Path) -> None:
    """`--sample` compares fewer patches than it was asked for, or all, or leaves others undecoded."""
    findings = verify_store(tar_store, against=[scene_tree], sample=7, workers=2)
    assert (findings.problems, findings.patches, findings.compared) == ([], 300, 7)


def test_wrong_sources_are_refused(tar_store: Path, v1_tree: Path, tmp_path: Path) -> None:
    """A store is compared with the other version of BigEarthNet, or with nothing."""
    with pytest.raises(PipelineError, match=r"is BigEarthNet v1, but .* was built from v2"):
        verify_store(tar_store, against=[v1_tree])
    with pytest.raises(PipelineError, match="does not exist"):
        verify_store(tar_store, against=[tmp_path / "absent"])
    with pytest.raises(PipelineError, match="holds no BigEarthNet tree"):
        verify_store(tar_store, against=[tmp_path])


def run_verify(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `bep verify` in a process of its own."""
    told = commands.run("verify", "--workers", 2, *arguments)
    # What it says of its progress depends on how busy the machine is.
    told.stderr = re.sub(r"^verifying: .*\n", "", told.stderr, flags=re.MULTILINE)
    return told


@pytest.mark.long
def test_the_command_tells_sound_from_damaged(tar_store: Path, scene_tree: Path, tmp_path: Path) -> None:
    """A script or a person takes a damaged store for a sound one, or the other way round."""
    sound = run_verify(tar_store, "--against", scene_tree, "--sample", 5)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert sound.stdout.startswith(f"{tar_store} is sound: 300 patches, ")
    assert sound.stdout.endswith(
        " checked, 5 equal to their GeoTIFFs bit for bit, with the same labels, split, country, date, "
        "flag of seasonal snow, flag of clouds or shadows and processing baseline\n"
    )
    damaged = faults.copy(tar_store, tmp_path / "damaged")
    faults.flip_bit(damaged / "test-00001.idx", 10)
    told = run_verify(damaged)
    assert (told.returncode, told.stderr) == (1, f"Error: {damaged} has 2 problems\n")
    assert [line.partition(" ")[0] for line in told.stdout.splitlines()] == [f"{damaged / 'test-00001.idx'}"] * 2
    (damaged / "index.parquet").write_bytes(b"")
    as_json = run_verify(damaged, "--json")
    assert (as_json.returncode, as_json.stderr) == (1, f"Error: {damaged} has 2 problems\n")
    assert json.loads(as_json.stdout)["problems"] == problems_of(damaged)
    (damaged / "manifest.json").unlink()
    unfinished = run_verify(damaged)
    assert (unfinished.returncode, unfinished.stdout) == (1, "")
    assert unfinished.stderr == f"Error: {damaged} holds no manifest.json: its build has not finished\n"
