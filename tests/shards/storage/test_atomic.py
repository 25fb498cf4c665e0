"""Files that are written whole, and what lies in their place."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.storage.atomic import atomic_write

SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a named pipe, expected a regular file"),
    "link to a device": (lambda path: path.symlink_to("/dev/null"), "it is a character device"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_stays(kind: str, tmp_path: Path) -> None:
    """`/dev/null` becomes a regular file for the whole machine, or a pipe that others wait at is gone."""
    make, message = SPECIAL[kind]
    path = tmp_path / "out"
    make(path)
    before = os.lstat(path)
    with pytest.raises(OSError, match=message) as caught, atomic_write(path) as file:
        file.write(b"x")
    assert caught.value.filename == str(path)
    after = os.lstat(path)
    assert (after.st_ino, stat.S_IFMT(after.st_mode)) == (before.st_ino, stat.S_IFMT(before.st_mode))
    assert os.listdir(tmp_path) == ["out"]


def test_a_link_that_leads_nowhere_may_be_replaced(tmp_path: Path) -> None:
    """A link whose target is gone stops a command that would write a file of its own."""
    path = tmp_path / "out"
    path.symlink_to(tmp_path / "absent")
    with atomic_write(path) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"
