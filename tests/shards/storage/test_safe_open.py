"""Names in notes and manifests that lead out of their folder."""

from pathlib import Path

import numpy as np
import pytest

import shards
from bigearth_pipeline.verify.store import verify_store
from shards.errors import ShardError
from shards.metadata.manifest import Manifest
from shards.storage.safe_open import open_inside, resolve_inside
from tests.support.data import faults


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a file, and with links to a file and to a folder outside."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "thesis").write_bytes(b"years of work")
    folder = tmp_path / "folder"
    (folder / "part").mkdir(parents=True)
    (folder / "part" / "file").touch()
    (folder / "link").symlink_to(tmp_path / "outside" / "thesis")
    (folder / "other").symlink_to(tmp_path / "outside")
    (folder / "again").symlink_to(folder / "part" / "file")
    (folder / "circle").symlink_to("circle")
    (folder / "dangling").symlink_to(tmp_path / "outside" / "absent")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../outside/thesis", "part/../../outside/thesis", "/etc/hostname"),
        *("link", "other/thesis", "other/absent", "again", "circle", "circle/file", "dangling", "a\0b"),
    ],
)
def test_names_that_lead_out_have_no_path(folder: Path, name: str) -> None:
    """A file outside is read, hashed or deleted, because a note that anyone may have written names it."""
    assert resolve_inside(folder, name) is None
    with pytest.raises(OSError, match="leads out of"):
        open_inside(folder, name)


def test_names_within_have_one(folder: Path) -> None:
    """A store behind a link, as on clusters, cannot be read."""
    for root in (folder, folder.parent / "alias"):
        if root != folder:
            root.symlink_to(folder)
        assert resolve_inside(root, "part/file") == root / "part/file"
        assert resolve_inside(root, "absent") == root / "absent"
        open_inside(root, "part/file").close()


@pytest.mark.parametrize("store_format", ["tar", "zarr"])
def test_linked_files_of_a_store_are_refused(store_format: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A store that somebody sends makes the reader open whatever its links lead to."""
    folder = faults.copy(request.getfixturevalue(f"{store_format}_store"), tmp_path / "store")
    manifest = Manifest.read(folder)
    name = manifest.shards[0].files[0].path
    (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(ShardError, match="leads out of"), shards.open(folder, num_threads=1) as store:
        store.read_into(range(len(store)), np.empty((len(store), 80_000), np.uint16))
    assert any(name in problem and "link" in problem for problem in verify_store(folder, workers=1).problems)
