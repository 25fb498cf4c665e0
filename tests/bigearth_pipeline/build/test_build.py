"""Building stores from real data: bit for bit, whatever happens on the way."""

import csv
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from distributed import LocalCluster

import shards
from bigearth_pipeline.build.run import QUARANTINE, UNMATCHED
from bigearth_pipeline.build.select import BAD, NO_FOLDER, SNOW, Rules
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.synth.dataset import write_dataset
from bigearth_pipeline.verify.store import verify_store
from bigearth_pipeline.workers import remote
from shards.layout.statistics import histogram_counts
from shards.write.contents import UNMATCHED_PRODUCTS
from tests import commands, faults
from tests.building import build_store, contents
from tests.scene import PRODUCT, scene_records, write_patch, write_table

FORMATS = pytest.mark.parametrize("store_format", ["webdataset", "zarr"])


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


@pytest.mark.parametrize(
    "kind", ["tar_store", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("zarr_store", "packed_store"))]
)
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


def _start(tree: Path, out: Path, *more: str, **options: Any) -> commands.Command:
    """Start a build of two workers."""
    size = ("--patches-per-shard", 16, "--workers", 2)
    return commands.start("build-shards", tree, "--out", out, *size, *more, **options)


def _processes_of(folder: Path) -> list[int]:
    """Return processes that have a file below a folder open, or name it on their command line."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        try:
            names = [os.readlink(descriptor) for descriptor in (process / "fd").iterdir()]
            if (
                any(name.startswith(str(folder)) for name in names)
                or str(folder).encode() in (process / "cmdline").read_bytes()
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def _descendants(process: int) -> list[psutil.Process]:
    """Return the processes that one has started, and those that these have started."""
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@pytest.mark.long
@FORMATS
def test_killed_at_random_and_resumed_gives_the_same_bytes(
    scene_tree: Path, scheduler: str, tmp_path: Path, store_format: str
) -> None:
    """A build that was killed resumes to other bytes, or looks finished when it is not."""
    build_store(tmp_path / "whole", scene_tree, scheduler=scheduler, patches_per_shard=16, format=store_format)
    out = tmp_path / "killed"
    rng = random.Random(17)
    kills = 0
    for _ in range(4):
        build = _start(scene_tree, out, "--format", store_format, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Wait for the first shards, or go on from those that are there, and kill a moment later.
        before = len(list(out.glob(".build/*.json")))
        commands.while_running(build, lambda before=before: len(list(out.glob(".build/*.json"))) == before)
        time.sleep(rng.random() * 0.06)
        workers = _descendants(build.pid)
        build.send_signal(signal.SIGKILL)
        kills += build.wait() == -signal.SIGKILL
        # A dying worker may sit in an fsync of a busy disk.
        assert psutil.wait_procs(workers, timeout=60)[1] == []
        if not (out / "manifest.json").exists():
            with pytest.raises(shards.UnfinishedStore):
                shards.open(out)
    assert kills
    # What a kill between write and rename leaves behind.
    (out / ".train-00001.tar.host.99999.0123abcd.part").write_bytes(b"half a shard")
    summary = build_store(out, scene_tree, scheduler=scheduler, patches_per_shard=16, format=store_format)
    assert summary.built < 300
    assert contents(out) == contents(tmp_path / "whole")


def test_ctrl_c_stops_everything_and_says_how_to_go_on(scene_tree: Path, tmp_path: Path) -> None:
    """Ctrl-C leaves workers running, or a user without a hint."""
    out = tmp_path / "s"
    # A session of its own is what a terminal's foreground group is: the signal goes to all its processes.
    # A new interpreter: a fork would have the command line of another process, which is looked at below.
    build = _start(scene_tree, out, own_session=True, fresh=True)
    commands.while_running(build, lambda: not list(out.glob("*.tar")))
    os.killpg(build.pid, signal.SIGINT)
    printed, errors = build.communicate(timeout=60)
    assert build.returncode == 130, errors
    assert "the same command resumes" in errors
    assert "Traceback" not in printed + errors
    assert _processes_of(out) == []
    assert not list(out.rglob("*.part"))
    assert not (out / "manifest.json").exists()


def test_a_lost_worker_is_replaced(scene_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """One worker that dies, for instance because memory runs out, ends the build or leaves other bytes."""
    out = tmp_path / "s"
    build = _start(scene_tree, out)
    killed = 0
    while build.poll() is None and not killed:
        time.sleep(0.005)
        if not list(out.glob("*.part")):
            continue
        for process in _descendants(build.pid):
            with suppress(psutil.Error):
                if any(file.path.endswith(".part") for file in process.open_files()):
                    process.kill()
                    killed += 1
                    break
    printed, errors = build.communicate(timeout=120)
    assert killed
    assert build.returncode == 0, errors
    assert "Traceback" not in printed + errors
    build_store(tmp_path / "whole", scene_tree, scheduler=scheduler, patches_per_shard=16)
    assert contents(out) == contents(tmp_path / "whole")


def test_tasks_end_with_the_build_on_an_external_scheduler(scene_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """After Ctrl-C the workers of a shared scheduler go on writing a large shard."""
    out = tmp_path / "s"
    build = commands.start(
        "build-shards", scene_tree, "--out", out, "--scheduler", scheduler, stdout=subprocess.DEVNULL
    )
    commands.while_running(build, lambda: not list(out.rglob("*.part")))
    build.send_signal(signal.SIGINT)
    _, errors = build.communicate(timeout=60)
    assert build.returncode == 130, errors
    assert "the same command resumes" in errors
    deadline = time.monotonic() + 120
    while list(out.rglob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not list(out.rglob("*.part"))


def test_a_lost_scheduler_is_one_clear_error(scene_tree: Path, tmp_path: Path) -> None:
    """A scheduler that goes away ends in a traceback or in waiting for ever."""
    out = tmp_path / "s"
    with LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
    ) as cluster:
        build = _start(scene_tree, out, "--scheduler", cluster.scheduler_address)
        commands.while_running(build, lambda: not list(out.glob("*.tar")))
    _, errors = build.communicate(timeout=60)
    assert build.returncode == 1
    assert errors.splitlines()[-1] == (
        "Error: the connection to the Dask scheduler was lost; run the same command again"
    )
    assert "Traceback" not in errors


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
        peak = max(peak, *map(_highest_memory, [build.pid, *(process.pid for process in _descendants(build.pid))]))
        time.sleep(0.1)
    assert build.returncode == 0
    with shards.open(tmp_path / "s") as store:
        assert store.manifest.shards[0].count == 2048
    assert 50 << 20 < peak < 1 << 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": Rules(seed=1)}, "`seed=` was 0, now 1"),
        ({"codec": "raw"}, "`codec=` was blosc-lz4, now raw"),
        ({"format": "zarr"}, "`format=` was webdataset, now zarr"),
        ({"patches_per_shard": 32}, "`patches_per_shard=` was 64, now 32"),
        ({"rules": Rules(limit=10)}, "`limit=` was none, now 10"),
        ({"rules": Rules(include_snow_cloud=True)}, "`include_snow_cloud=` was False, now True"),
    ],
)
def test_another_build_in_the_same_place_is_refused(
    tar_store: Path, scene_tree: Path, scheduler: str, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    """A store ends up with shards of two different builds."""
    out = faults.copy(tar_store, tmp_path / "s")
    before = contents(out)
    with pytest.raises(PipelineError, match=message):
        build_store(out, scene_tree, scheduler=scheduler, **({"patches_per_shard": 64} | change))
    assert contents(out) == before


@pytest.mark.long
def test_options_may_change_before_anything_is_built(scene_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A first attempt that built nothing keeps a user from mending its options."""
    with pytest.raises(PipelineError, match="scheduler"):
        build_store(tmp_path / "s", scene_tree, scheduler="tcp://127.0.0.1:9", codec="raw")
    assert build_store(tmp_path / "s", scene_tree, scheduler=scheduler).manifest.codec == "blosc-lz4"


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """Twelve patches with a table, to be damaged."""
    from tests.conftest import real

    tree = tmp_path / "tree"
    keys = [f"{PRODUCT}_00_{i:02d}" for i in range(12)]
    records = scene_records(real("scenes/199U_1099R"), len(keys))
    for i, (key, record) in enumerate(zip(keys, records, strict=True)):
        write_patch(tree / "BigEarthNet-S2" / PRODUCT, key, record, 1200.0 * i, 0.0)
    write_table(tree / "metadata.parquet", keys)
    return tree


def patch_folder(tree: Path, number: int) -> Path:
    return tree / "BigEarthNet-S2" / PRODUCT / f"{PRODUCT}_00_{number:02d}"


def test_another_source_is_refused(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A source that has changed, or a different one, continues or replaces a build in silence."""
    out = tmp_path / "s"
    build_store(out, small_tree, scheduler=scheduler)
    moved = faults.copy(small_tree, tmp_path / "moved")
    with pytest.raises(PipelineError, match=r"source was .*tree/BigEarthNet-S2.*, now .*moved/BigEarthNet-S2"):
        build_store(out, moved, scheduler=scheduler)
    write_patch(patch_folder(small_tree, 0).parent, f"{PRODUCT}_00_99", np.ones(80_000, np.uint16), 0, 0)
    with pytest.raises(PipelineError, match="number of patch folders in the source was 12, now 13"):
        build_store(out, small_tree, scheduler=scheduler)
    assert build_store(out, small_tree, scheduler=scheduler, overwrite=True).manifest.count == 12


def test_a_finished_build_is_left_alone(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """Running the command again builds everything again."""
    build_store(tmp_path / "s", small_tree, scheduler=scheduler)
    before = contents(tmp_path / "s")
    assert build_store(tmp_path / "s", small_tree, scheduler=scheduler).finished_before
    assert contents(tmp_path / "s") == before


@pytest.mark.long
@FORMATS
def test_bad_patches_are_quarantined_and_mended(
    small_tree: Path, scheduler: str, tmp_path: Path, store_format: str
) -> None:
    """A bad patch is stored, or lost in silence, or keeps the good ones from being stored."""
    from bigearth_pipeline.build.select import NO_ROW

    options = {"scheduler": scheduler, "patches_per_shard": 3, "format": store_format}
    missing = patch_folder(small_tree, 4) / f"{PRODUCT}_00_04_B11.tif"
    kept = missing.read_bytes()
    missing.unlink()
    corrupt = patch_folder(small_tree, 8) / f"{PRODUCT}_00_08_B02.tif"
    sound = corrupt.read_bytes()
    faults.truncate(corrupt, 5000)
    (small_tree / "BigEarthNet-S2" / PRODUCT / "bad.name").mkdir()
    out = tmp_path / "s"
    with pytest.raises(PipelineError, match=r"3 bad patches, and none is allowed.*`allow_bad=3`"):
        build_store(out, small_tree, **options)
    with pytest.raises(shards.UnfinishedStore, match="has not finished"):
        shards.open(out)
    lines = [json.loads(line) for line in (out / QUARANTINE).read_text().splitlines()]
    assert [line["key"] for line in lines] == [f"{PRODUCT}_00_04", f"{PRODUCT}_00_08", "bad.name"]
    assert "B11.tif is missing" in lines[0]["reason"]
    assert "B02.tif ends after 5000 bytes, expected 29" in lines[1]["reason"]
    assert "unsafe patch name" in lines[2]["reason"]
    with pytest.raises(PipelineError, match="more than `allow_bad=2`"):
        build_store(out, small_tree, allow_bad=2, **options)

    allowed = build_store(out, small_tree, allow_bad=3, **options)
    assert allowed.manifest.left_out == {BAD: 3}
    assert (allowed.manifest.count, allowed.bad) == (10, 3)
    assert verify_store(out, against=[small_tree]).problems == []
    # The same patches in one go: the way there leaves no trace.
    direct = build_store(tmp_path / "direct", small_tree, allow_bad=3, **options)
    assert direct.manifest == allowed.manifest
    assert contents(tmp_path / "direct") == contents(out)
    # All shards but a split's last are full, so a Zarr array has no hole.
    for split in allowed.manifest.splits:
        counts = [shard.count for shard in allowed.manifest.shards if shard.split == split]
        assert all(count == 3 for count in counts[:-1])

    missing.write_bytes(kept)
    corrupt.write_bytes(sound)
    mended = build_store(tmp_path / "mended", small_tree, allow_bad=1, **options)
    assert (mended.manifest.count, mended.bad) == (12, 1)
    assert NO_ROW not in mended.manifest.left_out


def test_mended_patches_complete_an_unfinished_build(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """After a repair everything is built again, or the repaired patch is not."""
    broken = patch_folder(small_tree, 5) / f"{PRODUCT}_00_05_B09.tif"
    sound = broken.read_bytes()
    broken.write_bytes(b"")
    with pytest.raises(PipelineError, match="1 bad patch, "):
        build_store(tmp_path / "s", small_tree, scheduler=scheduler, patches_per_shard=2)
    broken.write_bytes(sound)
    summary = build_store(tmp_path / "s", small_tree, scheduler=scheduler, patches_per_shard=2)
    assert (summary.manifest.count, summary.built) == (12, 2)
    assert not (tmp_path / "s" / QUARANTINE).exists()
    build_store(tmp_path / "whole", small_tree, scheduler=scheduler, patches_per_shard=2)
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_duplicate_keys_are_bad(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A patch that occurs in two sources is stored twice."""
    other = faults.copy(small_tree, tmp_path / "other")
    with pytest.raises(PipelineError, match=r"12 bad patches.*duplicate of"):
        build_store(tmp_path / "s", small_tree, other, scheduler=scheduler)


def test_require_all(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A table that does not match the files passes although that was not to be."""
    write_table(small_tree / "metadata.parquet", [f"{PRODUCT}_00_{i:02d}" for i in range(1, 14)])
    summary = build_store(tmp_path / "s", small_tree, scheduler=scheduler)
    assert (summary.manifest.count, sum(summary.unmatched.values())) == (11, 3)
    with pytest.raises(PipelineError, match=r"2 × table row without a folder, 1 × folder without a table row"):
        build_store(tmp_path / "t", small_tree, scheduler=scheduler, require_all=True)
    assert len((tmp_path / "t" / UNMATCHED).read_text().splitlines()) == 4
    assert not (tmp_path / "t" / "manifest.json").exists()


def test_nothing_left_to_store_is_an_error(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """An empty store is called finished."""
    keys = [f"{PRODUCT}_00_{i:02d}" for i in range(12)]
    write_table(small_tree / "metadata.parquet", keys, contains_seasonal_snow=[True] * 12)
    with pytest.raises(PipelineError, match=f"no patch is left to store: 12 {SNOW}"):
        build_store(tmp_path / "s", small_tree, scheduler=scheduler)


def test_only_one_build_at_a_time(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """Two builds write into one directory."""
    import fcntl

    (tmp_path / "s" / ".build").mkdir(parents=True)
    with open(tmp_path / "s" / ".build" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PipelineError, match="in use by another build"):
            build_store(tmp_path / "s", small_tree, scheduler=scheduler)


def test_a_directory_of_something_else_is_refused(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """Shards are strewn among other files, or --overwrite deletes them."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(PipelineError, match="is not empty"):
            build_store(tmp_path / "s", small_tree, scheduler=scheduler, overwrite=overwrite)
    assert contents(tmp_path / "s") == {"thesis.tex": b"years of work"}


def test_unwritable_directory_is_one_clear_error(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A place that cannot be written to ends in a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match=r"file.* cannot be written: Not a directory"):
        build_store(tmp_path / "file" / "s", small_tree, scheduler=scheduler)


@FORMATS
def test_a_full_disk_is_one_clear_error_and_resumes(
    small_tree: Path, scheduler: str, tmp_path: Path, store_format: str
) -> None:
    """A full disk leaves half a shard that looks whole, or cannot be resumed from."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        with pytest.raises(PipelineError, match=r"no space left on the disk of .*/s.* again to resume"):
            build_store(disk / "s", small_tree, scheduler=scheduler, patches_per_shard=2, format=store_format)
        assert not (disk / "s" / "manifest.json").exists()
        # The other worker of this scheduler may be in the middle of a shard; it ends and cleans up by itself.
        deadline = time.monotonic() + 120
        while list((disk / "s").rglob("*.part")) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not list((disk / "s").rglob("*.part"))
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        summary = build_store(disk / "s", small_tree, scheduler=scheduler, patches_per_shard=2, format=store_format)
        assert 0 < summary.built < 12
        build_store(tmp_path / "whole", small_tree, scheduler=scheduler, patches_per_shard=2, format=store_format)
        assert contents(disk / "s") == contents(tmp_path / "whole")
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.long
def test_an_absent_scheduler_is_one_clear_error(
    small_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong scheduler address ends in a traceback after minutes."""
    monkeypatch.setattr(remote, "_CONNECT_SECONDS", 1.0)
    with pytest.raises(PipelineError, match=r"scheduler tcp://127\.0\.0\.1:9 cannot be reached"):
        build_store(tmp_path / "s", small_tree, scheduler="tcp://127.0.0.1:9")


_SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize("number", _SIGNALS)
@pytest.mark.parametrize("stage", ["start", "work"])
def test_a_signal_ends_a_build_in_order(scene_tree: Path, tmp_path: Path, number: signal.Signals, stage: str) -> None:
    """A signal leaves processes, half files or semaphores, or prints more than a line."""
    out = tmp_path / "s"
    build = _start(scene_tree, out, own_session=True)
    family: set[psutil.Process] = set()
    semaphores: set[str] = set()

    def is_early() -> bool:
        family.update(_descendants(build.pid))
        semaphores.update(_semaphores(family))
        return not (list(out.rglob("*.part")) if stage == "work" else len(family) >= 3)

    commands.while_running(build, is_early)
    os.killpg(build.pid, number)
    _, errors = build.communicate(timeout=60)
    assert build.returncode == _SIGNALS[number], errors
    lines = [line for line in errors.splitlines() if line and not line.startswith(("found ", "building: "))]
    assert lines == [f"interrupted; finished shards are kept: the same command resumes the build in {out}"]
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert not list(out.rglob("*.part"))
    assert not (out / "manifest.json").exists()
    assert not semaphores


def _semaphores(processes: Iterable[psutil.Process]) -> set[str]:
    """Return the named semaphores that processes have open and that a kill would leave behind."""
    found: set[str] = set()
    for process in processes:
        with suppress(OSError):
            maps = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
            found.update(line for line in maps if "/dev/shm/sem." in line and not line.endswith("(deleted)"))
    return found


def test_a_second_signal_does_not_cut_off_the_end(scene_tree: Path, tmp_path: Path) -> None:
    """Ctrl-C twice leaves half files, or ends in a traceback."""
    out = tmp_path / "s"
    build = _start(scene_tree, out)
    commands.while_running(build, lambda: not list(out.rglob("*.part")))
    while build.poll() is None:
        build.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, errors = build.communicate(timeout=60)
    assert build.returncode == 130, errors
    assert "Traceback" not in errors
    assert not list(out.rglob("*.part"))


def test_verify_ends_in_order(tar_store: Path, scene_tree: Path) -> None:
    """A signal leaves the processes of `bep verify`, or prints more than a line."""
    verify = commands.start("verify", tar_store, "--against", scene_tree, "--workers", 2, stdout=subprocess.DEVNULL)
    family: set[psutil.Process] = set()

    def is_early() -> bool:
        family.update(_descendants(verify.pid))
        return len(family) < 4

    commands.while_running(verify, is_early)
    verify.send_signal(signal.SIGTERM)
    _, errors = verify.communicate(timeout=60)
    assert verify.returncode == 143, errors
    assert errors.strip() == "interrupted"
    assert psutil.wait_procs(family, timeout=60)[1] == []


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
