"""Lists of what a build could not use."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.reports import MOST_UNMATCHED, read_left_out, write_quarantine, write_unmatched
from bigearth_pipeline.build.select import NO_FOLDER, NO_ROW, Quarantined, Selection
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
        ("unmatched.csv", b"a,b\n"),
        ("unmatched-products.csv", b"what,patch\na,b\n"),
        ("unmatched-products.csv", b"what,product,patches\na,b\n"),
        ("unmatched-products.csv", b"what,product,patches\na,b,0\n"),
        ("unmatched-products.csv", b"what,product,patches\na,b,1e3\n"),
        ("unmatched-products.csv", b"what,product,patches\na,b,-1\n"),
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


@pytest.mark.parametrize("more", [0, 1, 5_000])
def test_a_long_list_is_cut_and_counted(more: int, tmp_path: Path) -> None:
    """A store of a few patches holds 43 MB of names, or nothing says how many there are."""
    names = [(NO_ROW, f"S2A_one_{n:03}_7") for n in range(300)]
    names += [(NO_FOLDER, f"S2B_two_x_{n // 100}_{n % 100}") for n in range(MOST_UNMATCHED + more - 300)]
    config = BuildConfig(sources=(), out=tmp_path)
    counts = write_unmatched(config, Selection(unmatched=names))
    expected = {(NO_ROW, "S2A_one"): 300, (NO_FOLDER, "S2B_two_x"): MOST_UNMATCHED + more - 300}
    assert counts == {what: count for (what, _), count in expected.items()}
    found = read_left_out(tmp_path)
    assert found.unmatched == names[:MOST_UNMATCHED]
    assert (found.products, found.unmatched_counts()) == (expected, counts)
    assert (tmp_path / "unmatched-products.csv").exists() == (more > 0)
    write_unmatched(config, Selection(unmatched=names[:3]))
    assert [path.name for path in tmp_path.iterdir()] == ["unmatched.csv"]
    write_unmatched(config, Selection())
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=30)
@example([(NO_ROW, "\r"), (NO_FOLDER, 'a,"\r\nb'), (NO_ROW, "_1_2")])
@given(st.lists(st.tuples(st.sampled_from([NO_ROW, NO_FOLDER]), st.text(max_size=20)), max_size=20))
def test_any_name_is_read_back(tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]]) -> None:
    """A name with quotes, commas or ends of lines breaks the list, or falls out of the counts."""
    folder = tmp_path_factory.mktemp("lists")
    write_unmatched(BuildConfig(sources=(), out=folder), Selection(unmatched=names))
    found = read_left_out(folder)
    assert (found.unmatched, found.products.total()) == (names, len(names))
    assert found.unmatched_counts() == Counter(what for what, _ in names)
