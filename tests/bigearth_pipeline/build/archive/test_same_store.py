"""The store of an archive is that of the tree which it was made of, byte for byte."""

import shutil
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import build
from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive import gather
from bigearth_pipeline.source.tree import SYNTHETIC
from bigearth_pipeline.workers import InProcess
from tests.support.data.archives import COMPRESSIONS, files_below, member, write_archive
from tests.support.data.building import Recorder, contents
from tests.support.data.scene import PRODUCT
from tests.support.data.small_tree import build_here

_STYLES = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}


def assert_same(store: Path, other: Path) -> None:
    """Assert that all files are equal but the note, which names the source."""
    ours, theirs = contents(store), contents(other)
    assert ours.pop("build.json") != theirs.pop("build.json")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.mark.long
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    compression=st.sampled_from(sorted(COMPRESSIONS)),
    style=st.sampled_from(sorted(_STYLES)),
    prefix=st.sampled_from(["", "./", "data/", "data/.//", "home/me/data/sets/"]),
    order=st.none() | st.integers(0, 1000),
    memory=st.sampled_from([0, 100_000, 1 << 30]),
    compiled_after=st.sampled_from([0, 4, gather.COMPILED_AFTER]),
)
def test_any_archive_gives_the_store_of_its_tree(
    files: dict[str, bytes], store: Path, beside: Path, compression: str, style: str, prefix: str, order: int | None,
    memory: int, compiled_after: int,
) -> None:  # fmt: skip
    """The order of members, their names' style or the compression changes bytes of the store, or loses patches."""
    # What an example that failed has left is not in the way of the next one.
    for path in beside.glob("*out*"):
        shutil.rmtree(path)
    archive = write_archive(beside / f"a.{compression}", files, style=_STYLES[style], prefix=prefix, order=order)
    with pytest.MonkeyPatch.context() as patch:
        # What waits in memory, so that the rest goes to disk.
        patch.setattr(gather.Gatherer.__init__, "__defaults__", (memory,))
        patch.setattr(gather, "COMPILED_AFTER", compiled_after)
        build_here(beside / "out", archive)
    assert_same(store, beside / "out")
    assert sorted(path.name for path in beside.iterdir()) == sorted([archive.name, "metadata.parquet", "out"])
    archive.unlink()


def test_patches_spread_over_archives_are_one_store(files: dict[str, bytes], store: Path, beside: Path) -> None:
    """Several archives give another store than the tree, or one is left out."""
    keys = sorted({name.split("/")[2] for name in files})
    halves = [{name: content for name, content in files.items() if name.split("/")[2] in keys[i::2]} for i in (0, 1)]
    paths = tuple(write_archive(beside / f"{i}.tar.gz", half) for i, half in enumerate(halves))
    build(BuildConfig(sources=paths, out=beside / "out", patches_per_shard=2), progress=Recorder(), pool=InProcess())
    assert_same(store, beside / "out")


@pytest.mark.parametrize("options", [{"format": "zarr"}, {"codec": "blosc-zstd"}, {"codec": "raw"}, {"seed": 5}])
def test_options_mean_what_they_mean_for_a_tree(
    files: dict[str, bytes], tree: Path, beside: Path, options: dict[str, object]
) -> None:
    """An option is lost on the way through the spool."""
    build_here(beside / "tree", tree, **options)
    build_here(beside / "out", write_archive(beside / "a.tar", files), **options)
    assert_same(beside / "tree", beside / "out")


def test_the_mark_of_synthetic_patches_is_seen(files: dict[str, bytes], tree: Path, beside: Path) -> None:
    """A store of an archive of synthetic patches passes for one of real ones."""
    shutil.copytree(tree, beside / "marked")
    (beside / "marked" / "BigEarthNet-S2" / SYNTHETIC).write_text("x")
    build_here(beside / "tree", beside / "marked")
    manifest = build_here(
        beside / "out", write_archive(beside / "a.tar", {**files, f"BigEarthNet-S2/{SYNTHETIC}": b"x"}, order=1)
    ).manifest
    assert manifest.synthetic
    assert_same(beside / "tree", beside / "out")


@pytest.mark.parametrize("order", range(3))
def test_a_limit_takes_the_same_sample(files: dict[str, bytes], tree: Path, beside: Path, order: int) -> None:
    """A sample depends on the order of the members, or the patches that are encoded on the way are counted."""
    rules = Rules(limit=3, seed=1)
    for name, source in (("tree", tree), ("out", write_archive(beside / "a.tar", files, order=order))):
        config = BuildConfig(sources=(source,), out=beside / name, rules=rules, patches_per_shard=2)
        assert build(config, progress=Recorder(), pool=InProcess()).built == 3
    assert_same(beside / "tree", beside / "out")


def test_bad_patches_are_left_out_as_from_a_tree(files: dict[str, bytes], beside: Path) -> None:
    """A damaged, incomplete or unknown patch shifts others elsewhere, or passes."""
    key = [f"{PRODUCT}_00_{i:02d}" for i in range(8)]
    path = {i: f"BigEarthNet-S2/{PRODUCT}/{key[i]}/{key[i]}" for i in range(8)}
    changed = dict(files)
    changed[f"{path[1]}_B05.tif"] = changed[f"{path[1]}_B05.tif"][:-7]
    del changed[f"{path[4]}_B8A.tif"]
    changed[f"{path[6]}_B8A.TIFF"] = changed[f"{path[6]}_B8A.tif"]
    changed[f"{path[7]}_B01.TIFF"] = changed.pop(f"{path[7]}_B01.tif")
    changed["BigEarthNet-S2/@eaDir/x.txt"] = b"x"
    tree = beside / "changed"
    for name, content in changed.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    shutil.copy(beside / "metadata.parquet", tree)
    for order in (None, 1, 2):
        archive = write_archive(beside / "a.tar", changed, order=order)
        with pytest.raises(PipelineError, match="3 bad patches"):
            build_here(beside / "out", archive)
        summaries = [build_here(beside / out, source, allow_bad=3) for out, source in (("t", tree), ("out", archive))]
        ours, theirs = contents(beside / "t"), contents(beside / "out")
        assert summaries[0].foreign == summaries[1].foreign == ("@eaDir",)
        assert summaries[0].bad == summaries[1].bad == 3
        # What is wrong is said in the same words, but for where it is.
        reasons = [named.pop("quarantine.jsonl") for named in (ours, theirs)]
        assert reasons[0].replace(str(tree).encode(), b"") == reasons[1].replace(str(archive).encode(), b"")
        assert {name for name in ours if ours[name] != theirs[name]} == {"build.json"}
        assert ours.keys() == theirs.keys()
        shutil.rmtree(beside / "t")
        shutil.rmtree(beside / "out")


@pytest.mark.long
def test_a_real_v1_archive_as_it_was_published(v1_tree: Path, v1_splits: Path, tmp_path: Path) -> None:
    """The labels of v1, which lie in the archive, are not those of the unpacked files."""
    from tests.conftest import real

    archive = real("v1/BigEarthNet-S2-Example.tar.bz2")
    for name, source in (("tree", v1_tree), ("out", archive)):
        options = {"splits": v1_splits, "patches_per_shard": 2}
        config = BuildConfig((source,), tmp_path / name, rules=Rules(True, (80, 10, 10)), **options)
        build(config, progress=Recorder(), pool=InProcess())
    assert_same(tmp_path / "tree", tmp_path / "out")


@pytest.mark.long
def test_real_v2_patches_of_an_archive(v2_tree: Path, tmp_path: Path) -> None:
    """The real patch and the official tables give another store from an archive."""
    archive = write_archive(tmp_path / "a.tar.zst", files_below(v2_tree))
    tables = tuple(sorted(v2_tree.glob("*.parquet")))
    for name, source in (("tree", v2_tree), ("out", archive)):
        config = BuildConfig((source,), tmp_path / name, metadata=tables)
        build(config, progress=Recorder(), pool=InProcess())
    assert_same(tmp_path / "tree", tmp_path / "out")


def test_worker_processes_give_the_same_store(files: dict[str, bytes], store: Path, beside: Path) -> None:
    """Patches that travel through memory to other processes arrive damaged, or not at all."""
    archive = write_archive(beside / "a.tar.zst", files)
    build(BuildConfig((archive,), beside / "out", patches_per_shard=2), progress=Recorder(), workers=2)
    assert_same(store, beside / "out")


def test_sources_that_do_not_go_together(files: dict[str, bytes], tree: Path, beside: Path) -> None:
    """Folders are mixed with archives, or an archive is read twice, without a word."""
    archive = write_archive(beside / "a.tar", files)
    for sources, message in [
        ((archive, tree), "is an archive and"),
        ((archive, archive), "named twice"),
        ((write_archive(beside / "maps.tar", {"Reference_Maps/p/p_reference_map.tif": b"x"}),), "no BigEarthNet tree"),
        ((beside / "metadata.parquet",), "it holds Parquet"),
        ((beside / "none.tar.zst",), "does not exist"),
        ((write_archive(beside / "one.tar", {}, more=(member("a/"),)),), "no BigEarthNet tree"),
    ]:
        with pytest.raises(PipelineError, match=message):
            build(BuildConfig(sources, beside / "out"), progress=Recorder(), pool=InProcess())
        assert not (beside / "out").exists()
