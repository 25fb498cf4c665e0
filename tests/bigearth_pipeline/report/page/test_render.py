"""Blocks as HTML."""

import base64
import hashlib
import math
from pathlib import Path

import pytest

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.report.page.blocks import Cell, Code, Figure, Page, Picture, Section, Table, Text, Tiles
from bigearth_pipeline.report.page.file import check_out, write_page
from bigearth_pipeline.report.page.numbers import count_cell, number_cell, share
from bigearth_pipeline.report.page.render import render
from shards.text.words import counted, listed
from tests.bigearth_pipeline.report.pages import Html, words

BAD = "<img src=x onerror=alert(1)>\"'&"


def page(*blocks: object) -> Html:
    """Return a page of one section."""
    return Html.of(render(Page(BAD, BAD, [Section("s", BAD, blocks)], BAD)))  # type: ignore[arg-type]


def test_a_number_and_its_percent_sign_stay_on_one_line() -> None:
    """A line of a page begins with a percent sign."""
    text = render(Page("t", "", [Section("s", "S", [Text("33.3 % of 2 %, a % b")])], "")).decode()
    assert "33.3\N{NO-BREAK SPACE}% of 2\N{NO-BREAK SPACE}%, a % b" in text
    command = render(Page("t", "", [Section("s", "S", [Code("c", "bep show store --where '<month> + 2 % 3'")])], ""))
    assert "&lt;month&gt; + 2 % 3" in command.decode()


def test_all_texts_are_escaped() -> None:
    """Text of some block becomes markup."""
    found = page(
        Text(BAD),
        Code(BAD, BAD),
        Tiles([(BAD, BAD)]),
        Table("t", BAD, [BAD], [[BAD]], [Cell(BAD, 1)]),
        Table("u", BAD, [BAD], [[Cell(BAD, 2)]], folded=True),
        Figure("f", BAD, [Picture(b"x", BAD, BAD)], legend=[(BAD, 0)]),
    )
    assert [image.attrib["src"] for image in found.all("img")] == ["data:image/png;base64,eA=="]
    assert found.all("img")[0].attrib["alt"] == BAD
    assert words(found.by_id("s")).count(BAD) == 16
    assert words(found.all("title")[0]) == BAD


def test_control_characters_are_shown() -> None:
    """Characters that no HTML may have, or that turn the text after them around, get into a page."""
    found = page(Code("\x1b[2J", "one \\\n  two\u202e"), Text("a\x00\u2066b"))
    assert found.all("pre")[0].text == "one \\\n  two\\u202e"
    assert words(found.by_id("s")).endswith("a\\x00\\u2066b")


def test_only_the_script_of_the_page_may_run() -> None:
    """A browser refuses the sorting of tables, or runs what somebody else wrote."""
    found = page(Text("x"))
    [script] = found.all("script")
    [policy] = [meta.attrib["content"] for meta in found.all("meta") if meta.get("http-equiv")]
    digest = base64.b64encode(hashlib.sha256((script.text or "").encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not [name for element in found.root.iter() for name in element.attrib if name.startswith("on")]


def test_numbers_sort_as_numbers() -> None:
    """A table sorts 1,000 before 9."""
    found = page(Table("t", "c", ["a", "b"], [["x", count_cell(1000)], ["y", count_cell(None)]]))
    cells = [cell.get("data-order") for cell in found.by_id("t").iter("td")]
    assert cells == [None, "1000", None, "-Infinity"]
    assert [head.get("data-number") for head in found.by_id("t").iter("th")] == [None, "1"]


def test_numbers_as_text() -> None:
    """A caption or a cell tells a number that reads as another."""
    assert number_cell(-0.001, 2).text == "0.00"
    assert number_cell(-1234.5, 1) == Cell("−1,234.5", -1234.5)
    assert number_cell(math.nan) == Cell("–", -math.inf)
    assert share(1, 0) == "–"
    assert (share(1, 3), counted(1, "file"), counted(2000, "file")) == ("33.3 %", "1 file", "2,000 files")
    assert [listed(list(names)) for names in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    assert listed(list("abcd"), most=2) == "a, b and 2 more"


def test_a_page_replaces_pages_only(tmp_path: Path) -> None:
    """`--out` destroys a file of another kind, or becomes one among the files of a store that are checked."""
    out, folder = tmp_path / "page.html", tmp_path / "store"
    folder.mkdir()
    check_out(out, [folder])
    write_page(out, render(Page("a", "b", [], "c")))
    check_out(out, [folder])
    out.write_text("<!DOCTYPE html><p>mine")
    with pytest.raises(PipelineError, match="is no report"):
        check_out(out, [folder])
    with pytest.raises(PipelineError, match=r"lies in .*store"):
        check_out(folder / "page.html", [folder])
    with pytest.raises(PipelineError, match="is no folder"):
        check_out(tmp_path / "absent" / "page.html", [folder])
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(PipelineError, match="lies in"):
        check_out(tmp_path / "link" / "page.html", [folder])
    assert out.read_text() == "<!DOCTYPE html><p>mine"
