"""Files that describe a store are replaced, and those of other programs are not."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bigearth_pipeline.describe.write import describe
from shards.testing.stores import make_store
from tests.bigearth_pipeline.cli.calls import assert_one_error, invoke
from tests.support.data.building import contents


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store."""
    return make_store(tmp_path_factory.mktemp("describe") / "store", {"train": 3})


@pytest.fixture(scope="module")
def out(store: Path) -> Path:
    """The folder with the files that describe it."""
    describe(store, store.parent / "about")
    return store.parent / "about"


def _foreign(kind: str, ours: Path) -> bytes:
    """Return a file of a name of ours that describes no store."""
    other = json.loads((ours / "collection.json").read_bytes()) | {"title": "Forests of Finland"}
    return {"json": json.dumps(other).encode(), "text": b"years of work", "empty": b""}[kind]


@pytest.mark.product
@pytest.mark.parametrize("kind", ["json", "text", "empty", "parquet", "link", "folder"])
@pytest.mark.parametrize("name", ["patches.parquet", "croissant.json", "collection.json"])
def test_files_of_others_are_left_alone(store: Path, out: Path, tmp_path: Path, name: str, kind: str) -> None:
    """A file of somebody else is replaced because it has one of the names."""
    folder = tmp_path / "about"
    folder.mkdir()
    path = folder / name
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(out / name)
    elif kind == "parquet":
        pq.write_table(pq.read_table(out / "patches.parquet").select(["key", "geometry"]), path)
    else:
        path.write_bytes(_foreign(kind, out))
    before = contents(folder)
    errors = invoke("describe", store, "--out", folder).stderr
    assert_one_error(
        errors, f"{name} exists and describes no store; move it elsewhere, or name another folder by --out"
    )
    assert contents(folder) == before
    assert [each.name for each in folder.iterdir()] == [name]


@pytest.mark.parametrize("name", ["patches.parquet", "croissant.json", "collection.json"])
def test_files_of_an_interrupted_description_are_replaced(store: Path, out: Path, tmp_path: Path, name: str) -> None:
    """A file that a killed command has left is taken for somebody else's, which stops the next command for ever."""
    folder = out.parent / f"again-{name}"
    folder.mkdir()
    (folder / name).write_bytes((out / name).read_bytes())
    describe(store, folder)
    assert contents(folder) == contents(out)
