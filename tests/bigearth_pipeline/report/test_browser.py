"""The report in a browser, where there is one: on a phone and on a screen, light and dark."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bigearth_pipeline.report.runs.report import runs_report
from tests.support.network.chromium import chromium

pytestmark = pytest.mark.long


BROKEN_WORDS = """[...document.querySelectorAll('td')].flatMap(cell => {
    const text = cell.firstChild, found = []
    for (const word of text ? text.data.matchAll(/[^ -]+/g) : []) {
        const range = document.createRange()
        range.setStart(text, word.index)
        range.setEnd(text, word.index + word[0].length)
        const parts = [...range.getClientRects()]
        if (parts.length > 1 && parts.reduce((sum, part) => sum + part.width, 0) < 150) found.push(word[0])
    }
    return found
})"""
"""Words of cells that are broken although they are narrower than 150 pixels."""


CUT = """[...document.querySelectorAll('svg')].flatMap(svg => {
    const frame = svg.getBoundingClientRect()
    return [...svg.querySelectorAll('use')].filter(each => {
        const box = each.getBoundingClientRect()
        return !each.closest('[clip-path]') && box.width
            && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1
                || box.bottom > frame.bottom + 1)
    }).map(each => svg.getAttribute('aria-label'))
})"""
"""Names of the drawings that cut letters, or marks, off."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def file(content: bytes, tmp_path: Path) -> Path:
    """The report of a store as a file."""
    path = tmp_path / "report.html"
    path.write_bytes(content)
    return path


@pytest.fixture(params=["content", "run_content", "runs_content", "explain_content"])
def any_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A page of each kind as a file: of a store, a run, several runs, and explanations."""
    path = tmp_path / "report.html"
    path.write_bytes(request.getfixturevalue(request.param))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_the_page_fits_and_asks_for_nothing(browser: Any, any_file: Path, width: int, scheme: str) -> None:
    """The page makes a request, reports an error, or is wider than the screen."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(any_file.as_uri())
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.wait_for_timeout(100)
    assert [url for url in requests if not url.startswith("data:")] == [any_file.as_uri()]
    assert errors == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    beyond = """[...document.querySelectorAll('body *')].filter(
        each => !each.closest('.scroll, pre, svg') && each.getBoundingClientRect().right > innerWidth + 1
    ).map(each => each.outerHTML.slice(0, 99))"""
    assert page.evaluate(beyond) == []
    # Text that is wider than its cell lies over the next one.
    cells = "[...document.querySelectorAll('td, th')].filter(each => each.scrollWidth > each.clientWidth + 1)"
    assert page.evaluate(f"{cells}.map(each => each.textContent)") == []
    # A column is too narrow for its words, which are no names, paths or checksums.
    assert page.evaluate(BROKEN_WORDS) == []
    assert page.evaluate(CUT) == []
    broken = "[...document.images].filter(each => !each.naturalWidth).map(each => each.alt)"
    assert page.evaluate(broken) == []
    # Screen readers read what a picture shows.
    unnamed = """[...document.querySelectorAll('img, svg')].filter(
        each => !(each.alt || each.getAttribute('aria-label') || each.closest('[aria-hidden=true]'))
    ).map(each => each.outerHTML.slice(0, 99))"""
    assert page.evaluate(unnamed) == []
    assert page.evaluate("document.querySelectorAll('img, svg').length") > 1
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"dark": "rgb(18, 22, 27)", "light": "rgb(255, 255, 255)"}[scheme]
    context.close()


def test_long_names_of_runs_fit_their_charts(browser: Any, trained: Path, other: Path, tmp_path: Path) -> None:
    """Words at an axis are cut off, or two runs whose names end alike are one in a chart."""
    names = [f"{letter * 12}-{'W' * 30}" for letter in "WVM"]
    folders = [
        Path(shutil.copytree(run, tmp_path / name)) for run, name in zip((trained, other, other), names, strict=True)
    ]
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    (tmp_path / "report.html").write_bytes(runs_report(folders))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate(CUT) == []
    # A legend is drawn where there are two series.
    assert page.locator("#differences-chart-legend_1").count() == 1
    page.close()


def test_a_click_sorts_a_table(browser: Any, file: Path) -> None:
    """Tables do not sort, sort numbers as texts, or move the row of totals."""
    page = browser.new_page()
    page.goto(file.as_uri())
    head = page.locator("#classes-table th", has_text="all")
    texts = "[...document.querySelectorAll('#classes-table tbody tr')].map(row => row.cells[0].textContent)"
    values = """[...document.querySelectorAll('#classes-table tbody tr')].map(
        row => +row.cells[row.cells.length - 2].dataset.order
    )"""
    before = page.evaluate(texts)
    head.locator("button").click()
    assert page.evaluate(values) == sorted(page.evaluate(values), reverse=True)
    assert page.evaluate(texts) != before
    head.locator("button").click()
    assert page.evaluate(values) == sorted(page.evaluate(values))
    assert head.get_attribute("aria-sort") == "ascending"
    page.locator("#classes-table th", has_text="class").locator("button").click()
    assert page.evaluate(texts) == before
    assert head.get_attribute("aria-sort") is None
    assert page.locator("#classes-table tfoot td").first.inner_text() == "patches"
    page.close()


def test_numbers_that_there_are_not_come_last(browser: Any, run_content: bytes, tmp_path: Path) -> None:
    """The lowest score is below all classes that have none."""
    (tmp_path / "report.html").write_bytes(run_content)
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    button = page.locator("#scores-table th button", has_text="F1, 95 % interval")
    cells = "[...document.querySelectorAll('#scores-table tbody tr')].map(row => row.cells[6].textContent)"
    missing = page.evaluate(cells).count("–")
    assert 0 < missing < len(page.evaluate(cells))
    orders = []
    for _ in range(2):
        button.click()
        found = page.evaluate(cells)
        assert found[-missing:] == ["–"] * missing
        orders.append(found[:-missing])
    assert orders[0] != orders[1]
    page.close()


def test_tables_are_whole_on_paper(browser: Any, file: Path) -> None:
    """The head of a table is not repeated on its second page, or its first column covers the lines between rows."""
    page = browser.new_page()
    page.goto(file.as_uri())
    style = """([name, selector]) =>
        [...new Set([...document.querySelectorAll(selector)].map(each => getComputedStyle(each)[name]))]"""
    assert page.evaluate(style, ["position", "td:first-child"]) == ["sticky"]
    page.emulate_media(media="print")
    # Chromium repeats words, and no buttons.
    assert page.evaluate(style, ["display", "th button"]) == ["contents"]
    assert page.evaluate(style, ["position", "td:first-child"]) == ["static"]
    page.close()
