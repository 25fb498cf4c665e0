"""Stores and archives in Azure Blob Storage: the same as in a folder, whatever the network does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import shards
from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import build
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.verify.store import verify_store
from bigearth_pipeline.workers import InProcess
from shards.errors import CorruptShard
from shards.storage.remote import attempts, upload
from shards.storage.remote.address import Address, place_of
from shards.storage.remote.client import Client
from shards.testing.network import Proxy, Weather
from tests.bigearth_pipeline.build.archive.test_same_store import assert_same
from tests.bigearth_pipeline.remote.test_build import STORMY, objects
from tests.support.data.archives import files_below, write_archive
from tests.support.data.building import Recorder, contents
from tests.support.data.small_tree import build_here, write_small_tree
from tests.support.network.azure import ACCOUNT, CONTAINER, azurite, environment

pytestmark = [pytest.mark.server, pytest.mark.long]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A v2 tree of 6 patches."""
    return write_small_tree(tmp_path_factory.mktemp("tree"), 6)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The way to a server."""
    with azurite(tmp_path_factory.mktemp("azurite")) as found, Proxy(found.port) as proxy:
        yield proxy


@pytest.fixture
def proxy(server: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The way to the server, on which the weather is calm."""
    monkeypatch.setattr(attempts, "_LONGEST_WAIT", 0.1)
    for name, value in environment(server.address).items():
        monkeypatch.setenv(name, value)
    yield server
    server.weather, server.decide = Weather(), None


def address(name: str) -> Address:
    """Return an address in the container."""
    return place_of(f"az://{CONTAINER}/{name}")  # type: ignore[return-value]


@pytest.mark.parametrize("store_format", ["webdataset", "zarr"])
def test_a_store_is_that_of_a_folder(proxy: Proxy, tree: Path, tmp_path: Path, store_format: str) -> None:
    """Objects differ or are lost in bad weather, or a finished store is taken for another's."""
    place = address(store_format)
    build_here(tmp_path / "local", tree, format=store_format)
    proxy.weather = STORMY
    assert build_here(place, tree, format=store_format).built == 6
    findings = verify_store(place, against=[tree], pool=InProcess())
    proxy.weather = Weather()
    assert (findings.problems, findings.compared) == ([], 6)
    assert objects(place) == contents(tmp_path / "local")
    assert build_here(place, tree, format=store_format).finished_before


def test_an_archive_is_read_from_a_container(proxy: Proxy, tree: Path, tmp_path: Path) -> None:
    """`az://` is no place for an archive."""
    write_archive(tmp_path / "a.tar", files_below(tree))
    upload.put_file(Client(address("archives")), "a.tar", tmp_path / "a.tar")
    build_here(tmp_path / "tree", tree)
    proxy.weather = STORMY
    url = f"{address('archives')}/a.tar"
    config = BuildConfig((), tmp_path / "out", urls=(url,), metadata=(tree / "metadata.parquet",), patches_per_shard=2)
    build(config, progress=Recorder(), pool=InProcess())
    assert_same(tmp_path / "tree", tmp_path / "out")


def test_a_lost_answer_to_a_conditional_write_is_no_other_writer(proxy: Proxy) -> None:
    """The manifest that was written is taken for another's."""
    client = Client(address("once"))
    faults = ["lost"]
    proxy.decide = lambda method, target: faults.pop() if method == "PUT" and faults else "none"
    assert upload.put_once(client, "once", b"content")
    assert not faults
    assert not upload.put_once(client, "once", b"another")


def test_what_is_wrong_is_said_in_one_line(proxy: Proxy, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that there is not, or a key that is refused, ends in a traceback or shows a signature."""
    with pytest.raises(PipelineError, match=r"^az://absent/x cannot be .*no such bucket .*ContainerNotFound"):
        build_here(place_of("az://absent/x"), tree)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "aHVzaC1odXNoLWh1c2g=")
    with pytest.raises(CorruptShard, match="denied to these credentials") as caught:
        shards.open(address("webdataset"))
    assert "\n" not in str(caught.value)
    assert "aHVzaC" not in str(caught.value)
