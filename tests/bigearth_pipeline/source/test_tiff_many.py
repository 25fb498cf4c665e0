"""Files that are read in one call are those that are read one by one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigearth_pipeline.source.tiff.many import read_files
from bigearth_pipeline.source.tiff.names import BandFile
from tests.support.running.descriptors import opened_files, opened_since

ROOM = 4096
NAME = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


@given(
    contents=st.dictionaries(NAME, st.binary(max_size=300), min_size=1, max_size=12),
    mtime_ns=st.integers(-(10**18), 4 * 10**18),
)
def test_contents_and_times_are_those_of_the_files(
    contents: dict[str, bytes], mtime_ns: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An offset into the names, the pixels or the structure of the kernel is wrong."""
    folder = tmp_path_factory.mktemp("files")
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, ns=(mtime_ns, mtime_ns))
    files = _read(folder, list(contents), ROOM)
    assert files is not None
    assert {name: bytes(file.content) for name, file in files.items()} == contents
    assert all(file.mtime_ns == (folder / name).stat().st_mtime_ns for name, file in files.items())


@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        lambda path: path.mkdir(),
        lambda path: os.mkfifo(path),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("/proc/version"),
        lambda path: path.symlink_to("absent"),
        lambda path: path.write_bytes(bytes(ROOM - 2)),
        lambda path: (path.touch(), os.truncate(path, 1 << 40)),
    ],
    ids=["absent", "folder", "pipe", "device", "no size", "broken link", "too long together", "sparse"],
)
def test_what_is_no_file_that_fits_is_left_to_others(make: Callable[[Path], object], tmp_path: Path) -> None:
    """A call waits for a pipe, writes past the end of its memory, or leaves a descriptor open."""
    for name in "ac":
        (tmp_path / name).write_bytes(b"xyz")
    make(tmp_path / "b")
    before = opened_files()
    assert _read(tmp_path, ["a", "b", "c"], ROOM) is None
    assert _read(tmp_path, ["a", "c"], ROOM) is not None
    assert not [path for path in opened_since(before).values() if path.startswith(str(tmp_path))]


@pytest.mark.parametrize("room", [5, 6, 7])
def test_room_counts_to_the_byte(room: int, tmp_path: Path) -> None:
    """Files of exactly the room are refused, or one byte more is taken for them."""
    for name in "ab":
        (tmp_path / name).write_bytes(b"xyz")
    assert (_read(tmp_path, ["a", "b"], room) is not None) == (room >= 6)


def _read(folder: Path, names: list[str], room: int) -> dict[str, BandFile] | None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return read_files(descriptor, names, room)
    finally:
        os.close(descriptor)
