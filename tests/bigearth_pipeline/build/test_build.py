"""Building stores from real data, bit for bit, with the same bytes whatever the workers."""

import csv
import json
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import shards
from bigearth_pipeline.build.run import UNMATCHED
from bigearth_pipeline.build.select import NO_FOLDER, Rules
from bigearth_pipeline.synth.dataset import write_dataset
from bigearth_pipeline.verify.store import verify_store
from shards.layout.statistics import histogram_counts
from shards.write.contents import UNMATCHED_PRODUCTS
from tests.bigearth_pipeline.build.running import descendants
from tests.support.data.building import FORMATS, build_store, contents
from tests.support.data.scene import PRODUCT
from tests.support.running import commands


@pytest.mark.long
@FORMATS
def test_real_v1_patches(v1_tree: Path, v1_splits: Path, scheduler: str, tmp_path: Path, store_format: str) -> None:
    """The official v1 patches come out with other pixels, labels or places."""
    summary = build_store(
        tmp_path / "s", v1_tree, scheduler=scheduler, splits=v1_splits, format=store_format,
        rules=Rules(include_snow_cloud=True, split_by=(100, 0, 0)),
    )  # fmt: skip
    assert summary.manifest.count == 6
    assert summary.manifest.source_version == "v1"
    assert summary.unmatched[NO_FOLDER] == 519_284 - _num_listed(v1_tree, v1_splits)
    findings = verify_store(tmp_path / "s", against=[v1_tree])
    assert (findings.problems, findings.compared) == ([], 6)
    with shards.open(tmp_path / "s") as store:
        for patch in (store.read(row) for row in range(6)):
            note = v1_tree / "BigEarthNet-S2-Example" / patch.key / f"{patch.key}_labels_metadata.json"
            facts = json.loads(note.read_text())
            assert (patch.ulx, patch.uly) == (facts["coordinates"]["ulx"], facts["coordinates"]["uly"])
            assert patch.date.isoformat(" ") == facts["acquisition_date"]
            assert f'AUTHORITY["EPSG","{patch.epsg}"]]' in facts["projection"]


def _num_listed(tree: Path, splits: Path) -> int:
    from bigearth_pipeline.source.tables import read_split_lists

    split_of = read_split_lists(splits).split_of
    return sum(folder.name in split_of for folder in (tree / "BigEarthNet-S2-Example").iterdir())


@pytest.mark.long
@FORMATS
def test_the_real_v2_patch(v2_tree: Path, scheduler: str, tmp_path: Path, store_format: str) -> None:
    """The official v2 patch comes out with other pixels, or table rows without files go unmentioned."""
    summary = build_store(tmp_path / "s", v2_tree, scheduler=scheduler, format=store_format)
    assert (summary.manifest.count, summary.unmatched) == (1, {NO_FOLDER: 549_487})
    findings = verify_store(tmp_path / "s", against=[v2_tree])
    assert (findings.problems, findings.compared) == ([], 1)
    with open(tmp_path / "s" / UNMATCHED, newline="") as file:
        assert sum(1 for _ in csv.reader(file)) == 1 + 10_000
    # All of them are counted, by product.
    with open(tmp_path / "s" / UNMATCHED_PRODUCTS, newline="") as file:
        assert sum(int(row["patches"]) for row in csv.DictReader(file)) == 549_487
    with shards.open(tmp_path / "s") as store:
        patch = store.read(0)
        assert patch.key == f"{PRODUCT}_75_43"
        assert (patch.country, patch.split) == ("Austria", "validation")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["tar_store", "zarr_store", "packed_store"])
def test_real_windows(kind: str, scene_tree: Path, request: pytest.FixtureRequest) -> None:
    """Patches of several kinds of TIFF come out with other pixels, or statistics that are not exact."""
    folder: Path = request.getfixturevalue(kind)
    findings = verify_store(folder, against=[scene_tree], workers=2)
    assert (findings.problems, findings.patches, findings.compared) == ([], 300, 300)
    with shards.open(folder) as store:
        for split, info in store.manifest.splits.items():
            records = np.stack([store.read(row).s2 for row in store.index.rows(split).tolist()])
            for band, place in shards.layout.bands.BAND_SLICES.items():
                values = records[:, place].astype(np.float64)
                found = info.statistics[band]
                assert (found.count, found.min, found.max) == (values.size, values.min(), values.max())
                assert found.mean == pytest.approx(values.mean(), rel=1e-12)
                assert found.std == pytest.approx(values.std(), rel=1e-12)
                expected = np.percentile(values, [float(percent) for percent in found.percentiles])
                assert list(found.percentiles.values()) == pytest.approx(expected.tolist(), rel=1e-12)


def test_histograms_beside_the_manifest(tar_store: Path) -> None:
    """The histogram file does not hold the pixels of its split."""
    import pyarrow.parquet as pq

    table = pq.read_table(tar_store / "histograms.parquet")
    splits = np.asarray(table["split"].to_pylist())
    with shards.open(tar_store) as store:
        for split, info in store.manifest.splits.items():
            counts = histogram_counts(table.filter(splits == split))
            assert counts[0].sum() == info.statistics["B02"].count == 14_400 * info.count


@pytest.mark.long
@FORMATS
def test_same_bytes_whatever_the_workers(scene_tree: Path, scheduler: str, tmp_path: Path, store_format: str) -> None:
    """Two builds of the same source differ in a byte."""
    options = {"patches_per_shard": 16, "format": store_format, "rules": Rules(limit=90, seed=5)}
    build_store(tmp_path / "cluster", scene_tree, scheduler=scheduler, **options)
    build_store(tmp_path / "local", scene_tree, **options)
    assert contents(tmp_path / "cluster") == contents(tmp_path / "local")
    # Zarr metadata and small arrays included: nothing depends on time, place or process.
    assert len(contents(tmp_path / "local")) > 10


def test_a_build_leaves_the_environment_alone(scene_tree: Path, tmp_path: Path) -> None:
    """Code that runs after a build in the same process, such as training, is left with one thread."""
    before = dict(os.environ)
    build_store(tmp_path / "s", scene_tree, rules=Rules(limit=20))
    assert dict(os.environ) == before


def _repeat_patches(tree: Path, times: int) -> None:
    """Let every patch of a v1 tree occur so often, under other names; the files are the same."""
    for folder in [folder for folder in tree.glob("*/*") if folder.is_dir()]:
        for number in range(1, times):
            # The last two parts of a name are its column and row.
            product, column, row = folder.name.rsplit("_", 2)
            name = f"{product}_{int(column) + 1000 * number}_{row}"
            (folder.parent / name).mkdir()
            for path in folder.iterdir():
                os.link(path, folder.parent / name / path.name.replace(folder.name, name))


def _highest_memory(process: int) -> int:
    """Return the most memory that a process has had, in bytes; 0 of one that has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


@pytest.mark.long
def test_workers_stay_small(tmp_path: Path) -> None:
    """A worker holds a whole shard in memory, and many of them exhaust the machine."""
    write_dataset(tmp_path / "tree", patches=100, layout="v1", seed=3, workers=1)
    for table in (tmp_path / "tree").glob("*.csv"):
        table.unlink()
    _repeat_patches(tmp_path / "tree", 21)
    options = ["--workers", 1, "--split-by", "hash:100/0/0"]
    build = commands.start(
        "build-shards", tmp_path / "tree", "--out", tmp_path / "s", *options, stdout=subprocess.DEVNULL
    )
    peak = 0
    while build.poll() is None:
        peak = max(peak, *map(_highest_memory, [build.pid, *(process.pid for process in descendants(build.pid))]))
        time.sleep(0.1)
    assert build.returncode == 0
    with shards.open(tmp_path / "s") as store:
        assert store.manifest.shards[0].count == 2048
    assert 50 << 20 < peak < 1 << 30


def test_relative_paths_reach_workers_elsewhere(
    small_tree: Path, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers look for relative paths in a folder of their own."""
    monkeypatch.chdir(small_tree.parent)
    out = Path(os.path.relpath(tmp_path / "s"))
    summary = build_store(out, Path(small_tree.name), scheduler=scheduler)
    monkeypatch.chdir(tmp_path)
    assert verify_store(Path("s"), against=[small_tree]).problems == []
    assert summary.manifest.count == 12
