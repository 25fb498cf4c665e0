"""Archives in object storage: the store of their tree, whatever the network does."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bigearth_pipeline.build.archive.spool_folder import SpoolFolder
from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import build
from bigearth_pipeline.download import objects
from bigearth_pipeline.download.disk import OnDisk
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.workers import InProcess
from shards.errors import InvalidValue
from shards.storage.remote.address import place_of
from shards.storage.remote.client import Client
from shards.testing.network import Weather
from shards.write import publish
from tests.bigearth_pipeline.build.archive.test_same_store import assert_same
from tests.bigearth_pipeline.remote.test_build import objects as objects_at
from tests.bigearth_pipeline.remote.test_build import place, stopped_uploads
from tests.support.data.archives import files_below, write_archive
from tests.support.data.building import Recorder, contents
from tests.support.data.small_tree import build_here, write_small_tree
from tests.support.network.shelves import Shelf

STORMY = Weather(refused=0.1, reset=0.08, short=0.08, seed=3)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A v2 tree of 8 patches."""
    return write_small_tree(tmp_path_factory.mktemp("tree"), 8)


@pytest.fixture(scope="module")
def archives(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with archives of the tree."""
    folder = tmp_path_factory.mktemp("web") / "archives"
    folder.mkdir()
    for name in ("a.tar", "a.tar.zst"):
        write_archive(folder / name, files_below(tree))
    return folder


def _build(out: Path, url: str, tree: Path, **options: object) -> list[str]:
    progress = Recorder()
    options = {"metadata": (tree / "metadata.parquet",), "patches_per_shard": 2} | options
    build(BuildConfig((), out, urls=(url,), **options), progress=progress, pool=InProcess())
    return progress.lines


def _build_local(out: Path, archive: Path, tree: Path, **options: object) -> list[str]:
    progress = Recorder()
    options = {"metadata": (tree / "metadata.parquet",), "patches_per_shard": 2} | options
    build(BuildConfig((archive,), out, **options), progress=progress, pool=InProcess())
    return progress.lines


@pytest.mark.parametrize("name", ["a.tar", "a.tar.zst"])
def test_an_archive_in_a_bucket_gives_the_store_of_its_tree(
    bucket: Shelf, archives: Path, tree: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`s3://` is no place for an archive, or bytes are lost where answers are cut; a kept archive is another one."""
    monkeypatch.setattr(objects, "_BLOCK", 100_000)
    url = f"{bucket.store(archives)}/{name}"
    build_here(tmp_path / "tree", tree)
    bucket.proxy.weather = STORMY
    _build(tmp_path / "out", url, tree, keep=tmp_path / "kept")
    assert_same(tmp_path / "tree", tmp_path / "out")
    assert (tmp_path / "kept" / name).read_bytes() == (archives / name).read_bytes()
    bucket.proxy.weather = Weather()
    _build(tmp_path / "again", url, tree)
    assert_same(tmp_path / "tree", tmp_path / "again")


@pytest.mark.long
def test_an_archive_is_built_to_an_address(
    bucket: Shelf, archives: Path, tree: Path, tmp_path: Path, request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Other bytes come than into a folder, a build that was stopped sends or encodes all again, or its spool stays."""
    address, archive = place(request), archives / "a.tar"
    _build_local(tmp_path / "local", archive, tree)
    left, runs = stopped_uploads(monkeypatch), 0
    bucket.proxy.weather = STORMY
    lines: list[list[str]] = []
    while True:
        left[0], runs = 9, runs + 1
        assert runs < 20
        try:
            lines.append(_build_local(address, archive, tree, spool=tmp_path / "spool"))
        except KeyboardInterrupt:
            continue
        break
    assert runs > 2
    assert any("the archives were read by an earlier run" in line for line in lines[-1])
    bucket.proxy.weather = Weather()
    assert objects_at(address) == contents(tmp_path / "local")
    assert os.listdir(tmp_path / "spool") == []
    _build_local(address, archive, tree, spool=tmp_path / "spool")
    assert os.listdir(tmp_path / "spool") == []


def test_a_spool_is_of_one_build(s3: Shelf, archives: Path, tree: Path, tmp_path: Path) -> None:
    """Two builds to one address write into one spool, or a spool of tens of gigabytes lies where nobody named it."""
    address = place_of("s3://shelf/spools")
    with pytest.raises(PipelineError, match="to s3://shelf/spools needs a folder for its spool"):
        _build_local(address, archives / "a.tar", tree)
    spool = SpoolFolder(tmp_path, address, {})
    with spool.held(lambda text: None), pytest.raises(PipelineError, match=r"spools\.\w+\.spool is in use by another"):
        _build_local(address, archives / "a.tar", tree, spool=tmp_path)
    assert objects_at(address) == {}
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_is_named(
    s3: Shelf, archives: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spool or temporary folder on a full disk ends in a traceback, though the store lies elsewhere."""

    def put(client: Client, name: str, path: Path, *check: Any) -> str | None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "disk" / "file"))

    monkeypatch.setattr(publish, "put_file", put)
    with pytest.raises(PipelineError, match=r"no space left on the disk of .*/disk; make room and run the same"):
        _build_local(place_of("s3://shelf/filled"), archives / "a.tar", tree, spool=tmp_path)


def test_pieces_of_an_object_are_resumed(s3: Shelf, archives: Path, tree: Path, tmp_path: Path) -> None:
    """A killed build that keeps its archive asks for all of it again, or mixes two versions of an object."""
    url = f"{s3.store(archives)}/a.tar"
    client = objects.client_of(url)
    file = client.describe(url)
    disk = OnDisk(tmp_path / "kept.tar", file)
    disk.put(0, iter([*client.read(file, 0, 1000), *client.read(file, 1000, min(file.size, 8 << 20))]))
    disk.close()
    again = OnDisk(tmp_path / "kept.tar", file)
    assert again.has(0)
    assert again.take(0) == (archives / "a.tar").read_bytes()[: 8 << 20]
    again.close()


def test_an_object_that_changes_is_noticed(s3: Shelf, archives: Path, tree: Path, tmp_path: Path) -> None:
    """Two versions end up in one store."""
    folder = shutil.copytree(archives, tmp_path / "changing")
    url = f"{s3.store(folder)}/a.tar"
    client = objects.client_of(url)
    file = client.describe(url)
    (folder / "a.tar").write_bytes((folder / "a.tar").read_bytes()[:-1] + b"x")
    s3._stored.discard("changing")
    s3.store(folder)
    with pytest.raises(PipelineError, match=r"changing/a\.tar has changed while it was read"):
        list(client.read(file, 0, 1000))
    (folder / "a.tar").write_bytes(b"x")
    s3._stored.discard("changing")
    s3.store(folder)
    with pytest.raises(PipelineError, match=r"changing/a\.tar has changed"):
        list(client.read(file, 5000, 6000))


def test_an_object_that_cannot_be_had_is_one_line(s3: Shelf, archives: Path, tree: Path, tmp_path: Path) -> None:
    """A slip in an address, or a missing object, ends in a traceback."""
    s3.store(archives)
    for url, message in [
        ("s3://shelf/archives/none.tar", r"s3://shelf/archives/none\.tar cannot be read: it is absent"),
        ("s3://nowhere/none.tar", "it is absent; check the address"),
        ("s3://shelf", "names no object"),
    ]:
        with pytest.raises(PipelineError, match=message):
            _build(tmp_path / "out", url, tree)
    with pytest.raises(InvalidValue, match="credentials are taken from the environment") as caught:
        _build(tmp_path / "out", "s3://me:secret@shelf/a.tar", tree)
    assert "secret" not in str(caught.value)
    assert os.listdir(tmp_path) == []
