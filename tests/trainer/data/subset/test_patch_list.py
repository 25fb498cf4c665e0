"""Lists of patches in text files."""

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shards
from shards.testing.stores import make_store
from tests.support.strategies import keys
from trainer.data.subset.patch_list import listed_rows, read_keys
from trainer.errors import BadPatchList


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file where a list can be written again and again."""
    return tmp_path_factory.mktemp("lists") / "list.csv"


@given(
    st.lists(keys.filter(lambda key: key not in ("key", "name", "patch_id")), min_size=1, unique=True),
    st.sampled_from(["\n", "\r\n", "\n\n", "\n# remark, and more\n", "  \n\t", ",train,3\n"]),
    st.sampled_from(["", "\n", "# a list\n", "patch_id,split\n", "name\n", "\ufeff"]),
    st.booleans(),
)
def test_lists_are_read_as_they_come(file: Path, names: list[str], end: str, head: str, quoted: bool) -> None:
    """A remark, a heading or a further column counts as a patch, or a patch is lost beside them."""
    cells = [f'"{name}"' if quoted else name for name in names]
    file.write_bytes((head + end.join(cells) + end).encode())
    assert read_keys(file) == names


def test_repeated_keys_count_once(file: Path) -> None:
    """A patch that is listed twice is trained on twice."""
    file.write_text("b\na\nb\n")
    assert read_keys(file) == ["b", "a"]


@pytest.mark.parametrize(("suffix", "compress"), [(".bz2", bz2.compress), (".gz", gzip.compress)])
def test_compressed_lists_are_whole_or_refused(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    """A damaged list is read in part, or as something else, or ends in a traceback."""
    names = [f"patch_{i}" for i in range(500)]
    content = compress("\n".join(names).encode())
    path = tmp_path / f"list.csv{suffix}"
    path.write_bytes(content)
    assert read_keys(path) == names
    for size in range(0, len(content), 7):
        path.write_bytes(content[:size])
        with pytest.raises(BadPatchList, match=r"patch list .*list.csv\.\w+ (cannot be read|names no patch)"):
            read_keys(path)
    for place in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[place] ^= 4
        path.write_bytes(flipped)
        try:
            assert read_keys(path) == names
        except BadPatchList:
            continue


@pytest.mark.parametrize(("name", "count"), [("train", 269_695), ("val", 123_723), ("test", 125_866)])
def test_official_lists_are_read(v1_splits: Path, name: str, count: int) -> None:
    """The published lists have to be rewritten before they can be used."""
    found = read_keys(v1_splits / f"{name}.csv.bz2")
    assert len(found) == count
    assert all(key.startswith("S2") for key in found)


@pytest.mark.parametrize("content", [b"", b"\n# nothing\n", b"patch_id\n"])
def test_empty_lists_are_refused(file: Path, content: bytes) -> None:
    """A list that lost its content selects nothing, without saying why."""
    file.write_bytes(content)
    with pytest.raises(BadPatchList, match=r"list\.csv names no patch"):
        read_keys(file)


def test_unreadable_lists_are_named(tmp_path: Path, file: Path) -> None:
    """A wrong path ends in a traceback."""
    with pytest.raises(BadPatchList, match=r"absent\.csv cannot be read: No such file or directory"):
        read_keys(tmp_path / "absent.csv")
    with pytest.raises(BadPatchList, match="cannot be read: it is a folder, expected a regular file"):
        read_keys(tmp_path)
    for content, fact in ((b"\x80\x00", "'utf-8' codec"), (b"\xff\xfe\x00", "it is UTF-16, expected text in UTF-8")):
        file.write_bytes(content)
        with pytest.raises(BadPatchList, match=f"cannot be read: {fact}"):
            read_keys(file)


def test_rows_are_those_of_the_keys(tmp_path: Path) -> None:
    """Another patch is taken than the list names, or one that the store lacks is passed over in silence."""
    path = tmp_path / "list.txt"
    with shards.open(make_store(tmp_path / "store", {"train": 70, "test": 9})) as store:
        wanted = np.array([78, 3, 64, 0])
        names = [store.index.key(row) for row in wanted]
        path.write_text("\n".join([*names, *names]))
        rows = listed_rows(path, store.index)
        assert rows.dtype == np.int64
        assert rows.tolist() == sorted(wanted.tolist())
        path.write_text("x0\nx1\n")
        with pytest.raises(
            BadPatchList, match=f"none of its 2 names is in the store: .*x0, x1; .*{store.index.key(0)}"
        ):
            listed_rows(path, store.index)
        for count, some in ((1, "x0"), (3, "x0, x1, x2"), (1200, "x0, x1, x2, …")):
            path.write_text("\n".join([*names, *(f"x{i}" for i in range(count))]))
            with pytest.raises(BadPatchList, match=f"store lacks {count:,} of its {count + 4:,} patches: {some}$"):
                listed_rows(path, store.index)
