"""Files of a store that its manifest does not list, and files that are not of the store."""

from collections.abc import Callable
from pathlib import Path

import pytest

import shards
from bigearth_pipeline.build.select import NO_FOLDER, NO_ROW
from bigearth_pipeline.verify.tables import check_lists
from bigearth_pipeline.verify.unlisted import notes_on_unlisted
from tests.bigearth_pipeline.verify.damage import KINDS
from tests.support.data import faults


@pytest.fixture
def folder(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the store of that kind."""
    return faults.copy(request.getfixturevalue(kind), tmp_path / "store")


def notes(folder: Path) -> list[str]:
    """Return what is said of files that the manifest does not list."""
    with shards.open(folder) as store:
        return notes_on_unlisted(store)


@KINDS
def test_a_store_as_built_has_none(folder: Path) -> None:
    """Files of every store are called strange."""
    assert notes(folder) == []


def _unfinished(folder: Path) -> str:
    path = folder / ".index.parquet.host-1.77.0123abcd.part"
    path.write_bytes(b"x")
    return path.name


def _work(folder: Path) -> str:
    (folder / ".build").mkdir()
    (folder / ".build/train-00000.json").write_text("{}")
    return ".build/train-00000.json"


def _shard(folder: Path) -> str:
    (folder / "train-00077.tar").write_bytes(b"x")
    return "train-00077.tar"


def _link(folder: Path) -> str:
    (folder / "elsewhere").symlink_to("/etc")
    return "elsewhere"


def _folder(folder: Path) -> str:
    (folder / "notes").mkdir()
    (folder / "notes/a.txt").write_text("x")
    return "notes"


def _odd_name(folder: Path) -> str:
    (folder / "a\x1b[2Jb").write_text("x")
    return "a\\x1b[2Jb"


@KINDS
@pytest.mark.parametrize("add", [_shard, _link, _folder, _odd_name])
def test_strange_files_are_named(folder: Path, add: Callable[[Path], str]) -> None:
    """The verifier says that every file is checked, but never looks at some."""
    name = add(folder)
    assert notes(folder) == [f"1 path not of the store, and not checked: '{name}'"]


@KINDS
@pytest.mark.parametrize("add", [_unfinished, _work])
def test_rests_of_a_build_are_named(folder: Path, add: Callable[[Path], str]) -> None:
    """Rests of a killed build fill the disk unseen, or count as somebody's files."""
    name = add(folder)
    assert notes(folder) == [f"1 path left by a build that was ended: '{name}'"]


@pytest.mark.parametrize("kind", ["tar_store"])
@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("unmatched.csv", "what,patch\n" + NO_ROW + ",a_1_2\n", f"says 1 × {NO_ROW}, manifest.json says 0"),
        ("unmatched.csv", "what,patch\nother,a_1_2\n", f"has 'other', expected {NO_ROW} or {NO_FOLDER}"),
        ("unmatched.csv", "what,patch\n" + NO_FOLDER + ",KEY\n", "lists 'KEY', which the store holds"),
        ("unmatched.csv", "what\n", "has columns"),
        ("unmatched-products.csv", "what,product,patches\n" + NO_ROW + ",a,3\n", f"3 × {NO_ROW}, manifest.json says 0"),
        ("quarantine.jsonl", '{"key": "a", "folder": "b", "reason": "c"}\n', "lists 1 patch, manifest.json says 0"),
        ("quarantine.jsonl", "{", "is no JSON"),
    ],
)
def test_lists_that_do_not_fit_are_problems(folder: Path, name: str, content: str, problem: str) -> None:
    """A list that was changed, or is of another store, passes for that of this one."""
    with shards.open(folder) as store:
        assert list(check_lists(store)) == []
        key = store.index.key(0)
        (folder / name).write_text(content.replace("KEY", key))
        (found,) = check_lists(store)
    assert problem.replace("KEY", key) in found
    assert str(folder / name.replace("-products", "")) in found
