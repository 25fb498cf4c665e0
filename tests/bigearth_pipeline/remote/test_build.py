"""Building to an address: the same objects as files of a folder, in any weather, after any interruption."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.verify.store import verify_store
from bigearth_pipeline.workers import InProcess
from shards.errors import InUse
from shards.metadata.manifest import BUILD_NOTE, MANIFEST
from shards.storage.remote import attempts, upload
from shards.storage.remote.address import Address, place_of
from shards.storage.remote.attempts import attempt
from shards.storage.remote.client import Client
from shards.testing.network import Weather
from shards.write import publish
from tests.support.data.building import contents
from tests.support.data.small_tree import build_here, write_small_tree
from tests.support.network.shelves import Shelf

STORMY = Weather(refused=0.05, reset=0.04, short=0.04, lost=0.04, seed=3)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A v2 tree of 12 patches."""
    return write_small_tree(tmp_path_factory.mktemp("tree"), 12)


def place(request: pytest.FixtureRequest) -> Address:
    """Return an address of this test alone."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    found = place_of(f"s3://shelf/{name}")
    assert isinstance(found, Address)
    return found


def objects(address: Address) -> dict[str, bytes]:
    """Return all objects below an address by their names."""
    client = Client(address)
    names = [entry.name for entry in attempt(partial(client.list, ""))]
    return {name: bytes(attempt(partial(client.get_whole, name, 1 << 30)).content) for name in names}


def put(client: Client, name: str, content: bytes) -> None:
    """Write an object. A server may close a connection that was idle just as it is used again."""
    attempt(partial(client.put, name, content))


def delete(client: Client, name: str) -> None:
    """Delete an object."""
    attempt(partial(client.delete, name))


def stopped_uploads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let Ctrl-C come at the next upload once as many files were sent as the list that is returned says."""
    send, left = publish.put_file, [0]

    def put(client: Client, name: str, path: Path, *check: Any) -> str | None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return send(client, name, path, *check)

    monkeypatch.setattr(publish, "put_file", put)
    return left


@pytest.mark.long
@pytest.mark.parametrize("store_format", ["webdataset", "zarr"])
def test_a_build_in_bad_weather_gives_the_bytes_of_one_into_a_folder(
    bucket: Shelf, tree: Path, tmp_path: Path, store_format: str, request: pytest.FixtureRequest
) -> None:
    """Also where answers to writes are lost, that of the manifest too; the same command again finds it finished."""
    address = place(request)
    build_here(tmp_path / "local", tree, format=store_format)
    bucket.proxy.weather = STORMY
    assert build_here(address, tree, format=store_format).built == 12
    bucket.proxy.weather = Weather()
    assert objects(address) == contents(tmp_path / "local")
    assert build_here(address, tree, format=store_format).finished_before
    findings = verify_store(address, against=[tree], pool=InProcess())
    assert findings.problems == []
    assert (findings.patches, findings.compared) == (12, 12)


@pytest.mark.long
def test_a_build_that_was_interrupted_goes_on(
    bucket: Shelf, tree: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of shards, before and after the manifest: nothing that was sent is built once more."""
    address = place(request)
    build_here(tmp_path / "local", tree)
    left = stopped_uploads(monkeypatch)
    built, runs = 0, 0
    while True:
        left[0], runs = 9, runs + 1
        assert MANIFEST not in objects(address)
        try:
            built += build_here(address, tree).built
        except KeyboardInterrupt:
            continue
        break
    assert runs > 3
    assert built < 12  # Of the last run.
    assert objects(address) == contents(tmp_path / "local")


@pytest.mark.long
def test_objects_that_were_changed_meanwhile_are_built_again(
    bucket: Shelf, tree: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object is compared by size and tag."""
    address = place(request)
    build_here(tmp_path / "local", tree)
    monkeypatch.setattr(publish, "publish_store", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr("bigearth_pipeline.build.run.publish_store", publish.publish_store)
    with pytest.raises(KeyboardInterrupt):
        build_here(address, tree)
    monkeypatch.undo()
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    client = Client(address)
    put(client, "train-00000.tar", bytes(len(objects(address)["train-00000.tar"])))
    assert build_here(address, tree).built == 2
    assert objects(address) == contents(tmp_path / "local")


@pytest.mark.long
def test_another_build_and_other_objects_are_left_alone(
    bucket: Shelf, tree: Path, request: pytest.FixtureRequest
) -> None:
    """Without `overwrite` another build is refused; with it nothing is deleted beside an object of somebody else."""
    address = place(request)
    client = Client(address)
    put(client, "notes.txt", b"mine")
    with pytest.raises(PipelineError, match=r"is not empty \(notes.txt\) and holds no build"):
        build_here(address, tree)
    delete(client, "notes.txt")
    build_here(address, tree)
    with pytest.raises(PipelineError, match=r"holds another build: .*seed"):
        build_here(address, tree, seed=1)
    before = objects(address)
    for name in ("notes.txt", "train-00099.tar", "more/x"):
        put(client, name, b"mine")
        with pytest.raises(PipelineError, match=f"holds {name}, which is no part of the store"):
            build_here(address, tree, seed=1, overwrite=True)
        delete(client, name)
    assert objects(address) == before
    put(client, BUILD_NOTE, before[BUILD_NOTE].replace(b'"seed": 0', b'"seed": 1'))
    with pytest.raises(PipelineError, match=r"build\.json is damaged"):
        build_here(address, tree, seed=1)
    build_here(address, tree, seed=1, overwrite=True)
    assert objects(address) != before
    assert verify_store(address, pool=InProcess()).problems == []


def test_a_manifest_that_appears_meanwhile_is_not_replaced(
    moto_shelf: Shelf, bucket: Shelf, tree: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put only if it is absent; a server without conditional writes cannot do that."""
    if bucket is not moto_shelf:
        pytest.skip("s3rver knows no conditional writes")
    address = place(request)
    send = publish.put_file

    def put(client: Client, name: str, path: Path, *check: Any) -> str | None:
        if name == BUILD_NOTE:
            attempt(partial(client.put, MANIFEST, b"of another build"))
        return send(client, name, path, *check)

    monkeypatch.setattr(publish, "put_file", put)
    with pytest.raises(InUse, match="was finished by another build meanwhile, with another manifest"):
        build_here(address, tree)
    assert objects(address)[MANIFEST] == b"of another build"


def test_a_lost_answer_to_a_conditional_write_is_no_other_writer(
    s3: Shelf, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object is there when the write is repeated, and is read back."""
    monkeypatch.setattr(attempts, "_LONGEST_WAIT", 0.1)
    client = Client(place(request))
    faults = ["lost"]
    s3.proxy.decide = lambda method, target: faults.pop() if method == "PUT" and faults else "none"
    assert upload.put_once(client, "once", b"content")
    assert not faults
    assert upload.put_once(client, "once", b"content")
    assert not upload.put_once(client, "once", b"another")
    assert bytes(attempt(partial(client.get_whole, "once", 100)).content) == b"content"


def test_places_that_cannot_be_written_to_are_refused(s3: Shelf, tree: Path) -> None:
    """A web server, a bucket that there is not, a scheduler with workers elsewhere."""
    with pytest.raises(PipelineError, match="can only be read"):
        build_here(place_of("https://127.0.0.1/x"), tree / "absent")  # Before the source is looked at.
    with pytest.raises(PipelineError, match=r"^s3://absent/x cannot be .*no such bucket"):
        build_here(place_of("s3://absent/x"), tree)


def test_verify_finds_damage_and_unlisted_objects(
    s3: Shelf, tree: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The problems name objects by their address."""
    address = place(request)
    build_here(tmp_path / "local", tree, format="zarr")
    shutil.rmtree(tmp_path / "local" / ".build", ignore_errors=True)
    build_here(address, tree, format="zarr")
    client = Client(address)
    shard = next(name for name in objects(address) if name.startswith("train/b10/c/0/"))
    raw: Any = bytearray(objects(address)[shard])
    raw[10] ^= 1
    put(client, shard, bytes(raw))
    put(client, "train/b10/c/77/0/0/0", b"more")
    delete(client, next(name for name in objects(address) if name.startswith("test/b20/c/0/")))
    problems = verify_store(address, pool=InProcess()).problems
    assert any(line.startswith(f"{address}/{shard} has SHA-256") for line in problems)
    assert f"{MANIFEST} does not list train/b10/c/77/0/0/0" in problems
    assert any(line.startswith(f"{address}/test/b20/c/0/") and "cannot be read" in line for line in problems)
    assert not any("/tmp" in line for line in problems)
