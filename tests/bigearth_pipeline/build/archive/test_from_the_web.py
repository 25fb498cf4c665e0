"""Builds from addresses: the store of the tree, whatever the network does."""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import build
from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.stores.download import PARTS
from bigearth_pipeline.download import client
from bigearth_pipeline.download.disk import held
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive import official
from bigearth_pipeline.workers import InProcess
from shards.errors import InUse
from tests.bigearth_pipeline.build.archive.test_same_store import assert_same
from tests.support.data.archives import COMPRESSIONS, write_archive
from tests.support.data.building import Recorder
from tests.support.data.cutting import cutting_proxy
from tests.support.network.web import Web, nginx
from tests.support.running import commands


@pytest.fixture(scope="module")
def web(files: dict[str, bytes], tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server with archives of the tree in all compressions."""
    with nginx(tmp_path_factory.mktemp("web")) as web:
        for compression in COMPRESSIONS:
            write_archive(web.root / f"a.{compression}", files)
        (web.root / "metadata.parquet").write_bytes((tree / "metadata.parquet").read_bytes())
        yield web


def _build(out: Path, url: str, tree: Path, **options: object) -> None:
    options = {"metadata": (tree / "metadata.parquet",), "patches_per_shard": 2} | options
    build(BuildConfig((), out, urls=(url,), **options), progress=Recorder(), pool=InProcess())


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
def test_an_address_gives_the_store_of_the_tree(
    web: Web, tree: Path, store: Path, tmp_path: Path, compression: str
) -> None:
    """Bytes are lost between the connections, or something of the archive stays on disk."""
    for below in ("", "plain/"):
        _build(tmp_path / f"out{below}", f"{web.url}/{below}a.{compression}?download=1", tree)
        assert_same(store, tmp_path / f"out{below}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "outplain"]


def test_connections_that_are_cut_lose_nothing(web: Web, tree: Path, store: Path, tmp_path: Path) -> None:
    """A build ends, or begins anew, where a connection is cut."""
    with cutting_proxy(int(web.url.rpartition(":")[2]), 500_000, 6) as port:
        _build(tmp_path / "out", f"http://127.0.0.1:{port}/a.tar", tree)
    assert_same(store, tmp_path / "out")


def test_an_archive_is_kept_where_that_is_wanted(web: Web, tree: Path, store: Path, tmp_path: Path) -> None:
    """A kept archive is another one, or is fetched twice."""
    for out in ("out", "again"):
        before = len(web.requests())
        _build(tmp_path / out, f"{web.url}/a.tar.zst", tree, keep=tmp_path / "kept")
        assert_same(store, tmp_path / out)
        assert (tmp_path / "kept" / "a.tar.zst").read_bytes() == (web.root / "a.tar.zst").read_bytes()
    assert len(web.requests()) - before == 1
    (tmp_path / "kept" / "a.tar.zst").write_bytes(b"x")
    with pytest.raises(PipelineError, match="has 1 bytes, and "):
        _build(tmp_path / "third", f"{web.url}/a.tar.zst", tree, keep=tmp_path / "kept")


def test_two_builds_do_not_keep_one_archive(web: Web, tree: Path, tmp_path: Path) -> None:
    """A second build empties the file that the first one keeps its pieces in, and the kept archive has holes."""
    kept = tmp_path / "kept" / "a.tar.zst"
    kept.parent.mkdir()
    with held(kept), pytest.raises(InUse, match=r"a\.tar\.zst is in use by another download"):
        _build(tmp_path / "out", f"{web.url}/a.tar.zst", tree, keep=kept.parent)
    assert list(kept.parent.iterdir()) == []
    kept.write_bytes((web.root / "a.tar.zst").read_bytes())
    with held(kept):
        _build(tmp_path / "out", f"{web.url}/a.tar.zst", tree, keep=kept.parent)


@pytest.mark.parametrize("url", ["https://[bad", "http://x:99999/a", "http://x:²/a", "http://", "https:///a.tar"])
@pytest.mark.parametrize("command", ["build", "download"])
def test_what_is_no_address_is_one_line(command: str, url: str, tmp_path: Path) -> None:
    """A slip in an address ends in a traceback, or is tried for a minute."""
    arguments = {
        "build": ["build-shards", url, "--out", str(tmp_path / "out")],
        "download": ["download", "v2-metadata", "--out", str(tmp_path / "out"), "--base-url", url],
    }[command]
    told = CliRunner().invoke(main, arguments)
    assert isinstance(told.exception, SystemExit), told.exception
    (line,) = told.stderr.splitlines()
    assert " is no address: " in line


def test_a_server_that_fails_is_said(web: Web, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing archive ends in a traceback, or its address shows a password."""
    monkeypatch.setattr(client.Patience.__init__, "__defaults__", (2, 0.01, 0.01, 5.0))
    for below, message in [
        ("none.tar", "HTTP 404"),
        ("gone/a.tar", "HTTP 503"),
        ("metadata.parquet", "it holds Parquet"),
    ]:
        with pytest.raises(PipelineError, match=message) as caught:
            _build(tmp_path / "out", f"{web.url.replace('//', '//user:secret@')}/{below}?token=secret", tree)
        assert "secret" not in str(caught.value)


@pytest.mark.long
def test_a_log_has_no_secrets(web: Web, tmp_path: Path) -> None:
    """With --verbose, or in a log file, an address has its password or its signature."""
    secret = web.url.replace("//", "//me:hush@")
    for options in (
        ("build-shards", f"{secret}/a.tar?sig=hush", "--out", tmp_path / "out", "--metadata", tmp_path / "none"),
        ("build-shards", f"{secret}/a.tar", "ftp://me:hush@host/b.tar", "--out", tmp_path / "out"),
        ("build-shards", "ftp://me:hush@host/b.tar", "--out", tmp_path / "out"),
        ("build-shards", f"{secret}:99999/a.tar?sig=hush", "--out", tmp_path / "out"),
        ("download", "v2-metadata", "--base-url", secret, "--out", tmp_path / "files"),
    ):
        told = commands.run(*options, "--verbose", "--log-file", tmp_path / "log")
        assert told.returncode == 1, told.stderr
        assert "Error: " in told.stderr
        assert "hush" not in told.stdout + told.stderr + (tmp_path / "log").read_text()


def test_the_command_builds_from_an_address(web: Web, tree: Path, store: Path, tmp_path: Path) -> None:
    """The command takes an address for a path, or mixes both."""
    options = ["--metadata", str(tree / "metadata.parquet"), "--patches-per-shard", "2", "--workers", "1"]
    url = f"{web.url}/a.tar.zst"
    result = CliRunner().invoke(main, ["build-shards", url, "--out", str(tmp_path / "out"), *options])
    assert result.exit_code == 0, result.output
    assert_same(store, tmp_path / "out")
    for arguments, message in [
        ([url, str(tree), "--out", str(tmp_path / "other")], "is a path and"),
        ([str(tree), "--out", str(tmp_path / "other"), "--keep", "x"], "--keep x has no effect"),
        ([str(tree), "--out", str(tmp_path / "other"), "--base-url", "x"], "--base-url x has no effect"),
        (["v2", "--out", str(tmp_path / "other"), "--base-url", web.url], "has 3,045 bytes, expected"),
    ]:
        result = CliRunner().invoke(main, ["build-shards", *arguments])
        assert result.exit_code == 1
        assert message in result.output


def test_a_base_address_is_refused_beside_a_folder_with_an_official_name(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder called `v2` is read, and the address, from which nothing comes, is ignored without a word."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v2").symlink_to(tree)
    result = CliRunner().invoke(main, ["build-shards", "v2", "--out", "out", "--base-url", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert "--base-url http://127.0.0.1:9 has no effect: no source is `v1` or `v2`" in result.output


def test_an_interrupt_does_not_wait_for_the_server(web: Web, tree: Path, tmp_path: Path) -> None:
    """Ctrl-C while the server is silent takes as long as the patience with it."""

    class Interrupted(Recorder):
        def start(self, total: int, done: int) -> None:
            threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    (web.root / "long.tar").write_bytes((web.root / "a.tar").read_bytes()[:-1024] + bytes(64 << 20))
    config = BuildConfig(
        (), tmp_path / "out", urls=(f"{web.url}/crawl/long.tar",), metadata=(tree / "metadata.parquet",)
    )
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        build(config, progress=Interrupted(), pool=InProcess())
    assert time.monotonic() - begin < 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bep-")]


def test_official_names_stand_for_official_files(
    web: Web, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`bep download` and `bep build-shards v2` fetch other files than the published ones, or accept others."""

    def described(part: str, name: str) -> official.OfficialFile:
        content = (web.root / name).read_bytes()
        return official.OfficialFile(name, part, 1, len(content), hashlib.md5(content).hexdigest())

    found = (described("v2", "a.tar.zst"), described("v2-metadata", "metadata.parquet"))
    monkeypatch.setattr(official, "official_files", lambda: found)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, [*map(str, arguments), "--base-url", web.url])

    for again in (False, True):
        told = run("download", "v2", "v2-metadata", "--out", tmp_path / "files")
        assert told.exit_code == 0, told.output
        assert told.output.count("is there already" if again else "downloaded") == 2
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == ["a.tar.zst", "metadata.parquet"]
    (tmp_path / "stores").mkdir()
    told = run("build-shards", "v2", "--out", tmp_path / "stores/out", "--patches-per-shard", "2", "--workers", "1")
    assert told.exit_code == 0, told.output
    assert "a.tar.zst is the official archive: its MD5 is" in " ".join(told.output.split())
    assert_same(store, tmp_path / "stores" / "out")
    assert sorted(path.name for path in (tmp_path / "stores").iterdir()) == ["metadata.parquet", "out"]
    # Another content of the same length is refused, before the store is finished.
    wrong = official.OfficialFile("a.tar.zst", "v2", 1, found[0].size, "0" * 32)
    monkeypatch.setattr(official, "official_files", lambda: (wrong, found[1]))
    told = run("build-shards", "v2", "--out", tmp_path / "wrong", "--workers", "1")
    assert told.exit_code == 1
    assert "differs from the official archive" in told.output
    assert not (tmp_path / "wrong" / "manifest.json").exists()


@pytest.mark.parametrize("kept", [False, True])
def test_wrong_bytes_of_an_official_archive_are_not_built_from(
    web: Web, tree: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """The MD5 is compared as an archive comes, and no more once it lies in the folder that keeps it, or in a spool."""
    content = (web.root / "a.tar").read_bytes()
    right = official.OfficialFile("b.tar", "v2", 1, len(content), hashlib.md5(content).hexdigest())
    monkeypatch.setattr(official, "official_files", lambda: (right,))
    at = content.index(b"_B02.tif") + 30_000  # In the pixels of a band.
    wrong = content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]
    (web.root / "b.tar").write_bytes(wrong)
    os.utime(web.root / "b.tar", (1, 1))
    keep = tmp_path / "kept"
    for _ in range(2):
        with pytest.raises(PipelineError, match=r"b\.tar differs from the official archive"):
            _build(tmp_path / "out", f"{web.url}/b.tar", tree, keep=keep if kept else None, allow_bad=8)
        assert not (tmp_path / "out" / "manifest.json").exists()
        assert not list(tmp_path.glob("*.spool"))
        assert not keep.exists()
    if kept:
        keep.mkdir()
        (keep / "b.tar").write_bytes(wrong)
        with pytest.raises(PipelineError, match=r"kept/b\.tar differs from the official archive"):
            _build(tmp_path / "out", f"{web.url}/b.tar", tree, keep=keep, allow_bad=8)
        (keep / "b.tar").unlink()
    (web.root / "b.tar").write_bytes(content)
    os.utime(web.root / "b.tar", (1, 1))
    _build(tmp_path / "out", f"{web.url}/b.tar", tree, keep=keep if kept else None, allow_bad=8)
    assert_same(store, tmp_path / "out")


def test_what_came_of_a_damaged_archive_can_be_got_rid_of(web: Web, tree: Path, store: Path, tmp_path: Path) -> None:
    """Pieces that a proxy has damaged are kept, and each further run ends at the same error without a way out."""
    content = (web.root / "a.tar.zst").read_bytes()
    path = web.root / "c.tar.zst"
    path.write_bytes(content[: len(content) // 4 * 3] + bytes(500) + content[len(content) // 4 * 3 + 500 :])
    os.utime(path, (1, 1))
    with pytest.raises(
        PipelineError, match=r"cannot be decoded.*; \S*kept/c\.tar\.zst\.part holds .*: delete that file"
    ):
        _build(tmp_path / "out", f"{web.url}/c.tar.zst", tree, keep=tmp_path / "kept")
    path.write_bytes(content)
    os.utime(path, (1, 1))
    (tmp_path / "kept" / "c.tar.zst.part").unlink()
    _build(tmp_path / "out", f"{web.url}/c.tar.zst", tree, keep=tmp_path / "kept")
    assert_same(store, tmp_path / "out")
    assert [each.name for each in (tmp_path / "kept").iterdir()] == ["c.tar.zst"]


def test_the_official_files_are_those_of_the_published_records() -> None:
    """A name, a size or a checksum of an official file is mistyped."""
    from tests.conftest import real

    for file in official.files_of("v2-metadata"):
        content = real(f"v2/{file.name}").read_bytes()
        assert (len(content), hashlib.md5(content).hexdigest()) == (file.size, file.md5)
    assert [file.url() for file in official.files_of("v2")] == [
        "https://zenodo.org/records/10891137/files/BigEarthNet-S2.tar.zst?download=1"
    ]
    parts = [file.part for file in official.official_files()]
    assert parts == ["v2", "v2-s1", "v2-maps", "v2-metadata", "v2-metadata", "v1", "v1-s1"]
    assert set(parts) == set(PARTS)
