"""Files and folders are small enough to be read, and to be found in."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SOURCES = ("bigearth_pipeline", "shards", "tests", "tools", "trainer")
MOST_LINES, MOST_FILES = 300, 12
CODE = (".py", ".js", ".c")


def folders(top: Path) -> Iterator[Path]:
    """Yield a folder and those below it that hold files of ours."""
    if top.name != "vendor" and not top.name.startswith(("__", ".")):
        yield top
        for below in top.iterdir():
            if below.is_dir():
                yield from folders(below)


def too_long(top: Path) -> dict[str, int]:
    """Return the files of code that have too many lines, and how many."""
    return {
        path.name: lines
        for folder in folders(top)
        for path in folder.iterdir()
        if path.suffix in CODE and (lines := len(path.read_text().splitlines())) > MOST_LINES
    }


def too_full(top: Path) -> dict[str, int]:
    """Return the folders with too many files of code, and how many; the file that describes a folder does not count."""
    return {
        str(folder.relative_to(top.parent)): count
        for folder in folders(top)
        if (count := sum(path.suffix in CODE and path.name != "__init__.py" for path in folder.iterdir())) > MOST_FILES
    }


@pytest.mark.parametrize("source", SOURCES)
def test_no_file_is_too_long(source: str) -> None:
    """A file holds several subjects, of which its name says one."""
    assert not too_long(ROOT / source)


@pytest.mark.parametrize("source", SOURCES)
def test_no_folder_is_too_full(source: str) -> None:
    """A folder holds several subjects, and nobody finds one among them."""
    assert not too_full(ROOT / source)


def test_what_is_too_large_is_seen(tmp_path: Path) -> None:
    """The limits hold for nothing."""
    folder = tmp_path / "part" / "within"
    (folder / "vendor").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "vendor" / "long.js").write_text("x\n" * 301)
    for number in range(12):
        (folder / f"{number}.py").write_text("x\n" * 300)
    (folder / "data.json").write_text("x\n" * 301)
    assert too_long(tmp_path / "part") == too_full(tmp_path / "part") == {}
    (folder / "one.py").write_text("x\n" * 301)
    assert too_long(tmp_path / "part") == {"one.py": 301}
    assert too_full(tmp_path / "part") == {"part/within": 13}


PERCENT = re.compile(r"\d%|%\}")
"""A percent sign without a space in front of it, and Python's format, which writes none."""


@pytest.mark.parametrize("source", ["bigearth_pipeline", "shards", "trainer"])
def test_percent_signs_have_a_space_in_front(source: str) -> None:
    """A page has 50% beside 95 %."""
    files = list((ROOT / source).rglob("*.py"))
    assert len(files) > 50
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if PERCENT.search(line)
    ]
    assert found == []


def test_a_percent_sign_without_a_space_is_seen() -> None:
    """The check finds nothing, whatever there is."""
    assert PERCENT.search("guessing has 50%")
    assert PERCENT.search('f"{share:.0%}"')
    assert not PERCENT.search('f"{share:.0f} %"')
