"""The reference of the public modules."""

import html
import importlib
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from shards.errors import InvalidValue
from tests.support.paths import ROOT
from tools.docs.generate import PUBLIC, generate
from trainer.definition.tables import TABLES


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference as HTML."""
    out = tmp_path_factory.mktemp("docs") / "reference"
    # By itself: while another thread of this process parses Python, too, CPython 3.11 may refuse to.
    subprocess.run([sys.executable, "-m", "tools.docs", str(out)], cwd=ROOT, check=True)
    return out


def text_of(page: Path) -> str:
    """Return the text of a page, without tags."""
    content = re.sub(r"<(script|style).*?</\1>", "", page.read_text(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", content)).split())


@pytest.mark.long
def test_each_public_name_is_there(pages: Path) -> None:
    """A page is missing, or a name that programs import is not on it."""
    names = 0
    for module in PUBLIC:
        content = (pages / f"{module.replace('.', '/')}.html").read_text()
        for name in getattr(importlib.import_module(module), "__all__", ()):
            assert f'<section id="{name}">' in content, f"{module}.{name}"
            names += 1
    assert names > 40
    assert (pages / "index.html").exists()


@pytest.mark.long
def test_options_say_what_they_do(pages: Path) -> None:
    """A page has the names of the options of a run, and not what they do; or the classes are left changed."""
    found = 0
    for table in TABLES.values():
        told = text_of(pages / f"{table.__module__.replace('.', '/')}.html")
        for field in fields(table):
            if "option" in field.metadata and "Attributes:" not in str(table.__doc__):
                words = " ".join(field.metadata["option"].help.split()[:3])
                assert words.replace("`", "") in told.replace(" , ", ", "), field.name
                found += 1
    assert found > 40


@pytest.mark.long
def test_private_names_and_modules_are_not_there(pages: Path) -> None:
    """Somebody takes what may change any day for a promise."""
    found = {str(page.relative_to(pages).with_suffix("")).replace("/", ".") for page in pages.rglob("*.html")}
    assert found == {*PUBLIC, "index"}
    for page in pages.rglob("*.html"):
        assert re.findall(r'<section id="(_\w+)"', page.read_text()) == []


def test_a_name_that_is_not_there_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A public name was removed, and the reference is written without a word."""
    import shards.write

    monkeypatch.setattr(shards.write, "__all__", [*shards.write.__all__, "gone"])
    with pytest.raises((UserWarning, AttributeError), match="gone"):
        generate(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    """The pages are written among other files, or over them."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InvalidValue, match="is not an empty folder"):
        generate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
