"""Stores, archives and downloads over TLS, from a server whose authority the user names."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import shards
from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import build
from bigearth_pipeline.download.files import download
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.verify.store import verify_store
from bigearth_pipeline.workers import InProcess
from shards.errors import CorruptShard
from shards.storage.remote.address import place_of
from tests.bigearth_pipeline.build.archive.test_same_store import assert_same
from tests.support.data.archives import files_below, write_archive
from tests.support.data.building import Recorder
from tests.support.data.small_tree import build_here, write_small_tree
from tests.support.network.authority import Certificate, certificate
from tests.support.network.servers import Server, nginx

UNKNOWN = "certificate of its server is not valid here .*; SSL_CERT_FILE names a file with the certificates"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A v2 tree of 4 patches."""
    return write_small_tree(tmp_path_factory.mktemp("tree"), 4)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate of an authority that nobody knows."""
    return certificate(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def address(tree: Path, files: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with that certificate, the store of the tree and its archive."""
    with nginx(tmp_path_factory.mktemp("tls"), files) as server:
        assert server.folder is not None
        build_here(server.folder / "store", tree)
        write_archive(server.folder / "a.tar", files_below(tree))
        yield server


def _build(url: str, tree: Path, out: Path) -> None:
    config = BuildConfig((), out, urls=(url,), metadata=(tree / "metadata.parquet",), patches_per_shard=2)
    build(config, progress=Recorder(), pool=InProcess())


def test_an_authority_that_the_user_names_is_trusted(
    address: Server, files: Certificate, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores, archives or downloads of a server of an organisation cannot be had, or only some of them can."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
    assert address.folder is not None
    findings = verify_store(place_of(f"{address.address}/store"), pool=InProcess())
    assert (findings.problems, findings.patches) == ([], 4)
    _build(f"{address.address}/a.tar", tree, tmp_path / "out")
    assert_same(address.folder / "store", tmp_path / "out")
    content = (address.folder / "a.tar").read_bytes()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    download(f"{address.address}/a.tar", tmp_path / "a.tar", md5=digest)
    assert (tmp_path / "a.tar").read_bytes() == content


def test_an_unknown_authority_is_one_line_at_once(address: Server, tree: Path, tmp_path: Path) -> None:
    """It passes for a network that fails, is tried for a minute, or the line does not say what to do."""
    begun = time.monotonic()
    with pytest.raises(CorruptShard, match=rf"/store/manifest\.json cannot be read: the {UNKNOWN}"):
        shards.open(f"{address.address}/store")
    with pytest.raises(PipelineError, match=rf"/a\.tar cannot be read: the {UNKNOWN}"):
        _build(f"{address.address}/a.tar", tree, tmp_path / "out")
    with pytest.raises(PipelineError, match=rf"/a\.tar cannot be read: the {UNKNOWN}") as caught:
        download(f"{address.address}/a.tar", tmp_path / "a.tar")
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begun < 20
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_that_has_expired_is_not_blamed_on_the_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line sends the user after certificates that he has."""
    files = certificate(tmp_path, days=-1)
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
    with nginx(tmp_path, files) as server:
        with pytest.raises(CorruptShard, match=r"is not valid here \(Expired\)") as caught:
            shards.open(f"{server.address}/store")
        assert "SSL_CERT_FILE" not in str(caught.value)
        with pytest.raises(PipelineError, match=r"is not valid here \(certificate has expired\)") as failed:
            download(f"{server.address}/a.tar", tmp_path / "a.tar")
        assert "SSL_CERT_FILE" not in str(failed.value)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_certificates_is_one_line(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip in SSL_CERT_FILE ends in a traceback."""
    file = tmp_path / "none.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(PipelineError, match=r"certificates of authorities cannot be read: .*; SSL_CERT_FILE names"):
        download("https://127.0.0.1:1/a.tar", tmp_path / "a.tar")
