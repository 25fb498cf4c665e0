"""Lists of what a build could not use."""

from pathlib import Path

import pytest

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.reports import write_quarantine, write_unmatched
from bigearth_pipeline.build.select import NO_FOLDER, NO_ROW, Quarantined, Selection
from bigearth_pipeline.report.store.left_out import read_left_out
from shards import CorruptShard

ODD = 'a "quoted", name\nof two lines; é'


def test_lists_are_read_as_a_build_writes_them(tmp_path: Path) -> None:
    """A report loses patches, or reasons, that the build has listed."""
    bad = [Quarantined("b", "/x/b", ODD), Quarantined("a", ODD, "cut off")]
    write_quarantine(tmp_path, bad)
    unmatched = [(NO_ROW, "c"), (NO_FOLDER, ODD)]
    write_unmatched(BuildConfig(sources=(), out=tmp_path), Selection(unmatched=unmatched))
    found = read_left_out(tmp_path)
    assert found.quarantine == [("a", ODD, "cut off"), ("b", "/x/b", ODD)]
    assert found.unmatched == unmatched


def test_absent_lists_are_empty(tmp_path: Path) -> None:
    """A store in which all patches were used has no report."""
    found = read_left_out(tmp_path)
    assert (found.quarantine, found.unmatched) == ([], [])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("quarantine.jsonl", b'{"key": "a", "folder": "b"}\n'),
        ("quarantine.jsonl", b'{"key": "a", "folder": "b", "reason": 3}\n'),
        ("quarantine.jsonl", b"[1, 2, 3]\n"),
        ("quarantine.jsonl", b"{\n"),
        ("quarantine.jsonl", b"\xff\n"),
        ("unmatched.csv", b"what,patch\na\n"),
        ("unmatched.csv", b"what,patch\na,b,c\n"),
        ("unmatched.csv", b'what,patch\n"a,b'),
    ],
)
def test_damaged_lists_are_named(name: str, content: bytes, tmp_path: Path) -> None:
    """A damaged list ends in a traceback, or passes for a shorter one."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorruptShard, match=name.replace(".", r"\.")):
        read_left_out(tmp_path)


def test_a_list_that_is_no_file_is_named(tmp_path: Path) -> None:
    """A pipe in the place of a list is waited for, or a link leads out of the store."""
    (tmp_path / "unmatched.csv").symlink_to("/etc/hostname")
    with pytest.raises(CorruptShard, match="symbolic link"):
        read_left_out(tmp_path)
