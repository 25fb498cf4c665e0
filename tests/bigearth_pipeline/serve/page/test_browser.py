"""The page in a browser, against a real server with a real store and runs: each way that a person goes through it."""

import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bigearth_pipeline.synth.dataset import write_dataset
from shards.storage.lock import exclusive
from tests.bigearth_pipeline.serve.conftest import serving
from tests.bigearth_pipeline.serve.test_uploads import geotiff

pytestmark = pytest.mark.long
AXE = "axe-core@4.14.1"
VIEWS = {
    "map": "#/map",
    "patch": "#/patch/s0/test_1?run=0&run2=1&label=2&method=grad-cam",
    "runs": "#/runs",
    "run": "#/runs/0",
    "check": "#/check",
    "upload": "#/upload",
    "docs": "docs",
}


def until(page: Any, condition: str) -> None:
    """Wait until an expression is true; `wait_for_function` would need a script that the policy of the page refuses."""
    end = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def wait_for_map(page: Any) -> None:
    """Wait until the map has drawn its tiles."""
    page.wait_for_selector("#map[data-idle]")


def broken(page: Any) -> list[str]:
    """Return the pictures that have not been loaded."""
    until(page, "[...document.images].every(each => each.loading === 'lazy' || each.complete)")
    found: list[str] = page.evaluate(
        "[...document.images].filter(each => each.loading !== 'lazy' && !each.naturalWidth).map(each => each.alt)"
    )
    return found


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program of axe-core, from the npm registry."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm, which fetches axe-core")
    folder = tmp_path_factory.mktemp("axe")
    told = subprocess.run(["npm", "pack", AXE, "--silent"], cwd=folder, capture_output=True, text=True, timeout=120)
    if told.returncode:
        pytest.skip(f"{AXE} cannot be fetched from the npm registry")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_every_view_fits_and_is_accessible(
    look: Callable[..., Any], axe: str, view: str, width: int, scheme: str
) -> None:
    """A view is wider than the screen, or breaks a rule of WCAG 2.2 AA that axe-core knows."""
    page = look(VIEWS[view], width=width, scheme=scheme)
    page.wait_for_load_state("networkidle")
    page.wait_for_selector("h1")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("(main => main.scrollWidth <= main.clientWidth)(document.getElementById('view'))")
    assert broken(page) == []
    assert "[object" not in page.inner_text("body")
    assert "undefined" not in page.inner_text("body")
    # The policy of the page lets no script in, so axe-core comes by the debugger.
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": axe})
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(tags)}}})")
    lines = [f"{each['id']}: {node['html'][:120]}" for each in found["violations"] for node in each["nodes"]]
    assert lines == []


def test_the_map_leads_to_a_patch(look: Callable[..., Any]) -> None:
    """Squares are not drawn, filters do not change them, or a click does not open the patch below it."""
    page = look("#/map")
    wait_for_map(page)
    counted = """() => document.getElementById('map').map.queryRenderedFeatures({layers: ['patches']})
        .reduce((sum, each) => sum.add(each.properties.k), new Set()).size"""
    assert page.evaluate(counted) == 88
    assert page.inner_text(".panel").count("test_") + page.inner_text(".panel").count("train_") > 30
    page.get_by_label("Split", exact=True).select_option("test")
    until(page, f"({counted})() === 40")
    until(page, "document.querySelector('[aria-live] p')?.textContent === '40 patches'")
    assert "split=test" in page.url
    page.get_by_label("Colour by run", exact=True).select_option("0")
    page.get_by_label("Predictions", exact=True).select_option("wrong")
    until(page, f"({counted})() < 40")
    page.get_by_label("Predictions", exact=True).select_option("")
    until(page, f"({counted})() === 40")
    wait_for_map(page)
    place = page.evaluate(
        """() => { const map = document.getElementById('map').map;
        const [found] = map.queryRenderedFeatures({layers: ['patches']}); const ring = found.geometry.coordinates[0];
        const middle = [0, 1].map(i => (ring[0][i] + ring[2][i]) / 2); const at = map.project(middle);
        const box = map.getCanvas().getBoundingClientRect(); return [box.left + at.x, box.top + at.y]; }"""
    )
    page.mouse.click(*place)
    page.wait_for_selector("#scores table")
    assert "#/patch/s0/test_" in page.url


def test_the_map_follows_the_scheme(look: Callable[..., Any]) -> None:
    """Patches are lost when the scheme of the system changes."""
    page = look("#/map")
    wait_for_map(page)
    colour = "document.getElementById('map').map.getPaintProperty('sea', 'background-color')"
    before = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    until(page, f"{colour} !== {json.dumps(before)}")
    until(page, "document.getElementById('map').map.queryRenderedFeatures({layers: ['patches']}).length > 80")


def test_the_map_moves_by_keys_and_the_address_keeps_the_place(look: Callable[..., Any]) -> None:
    """Somebody without a mouse cannot move the map, or a link opens another place."""
    page = look("#/map")
    wait_for_map(page)
    page.focus("canvas")
    before = page.evaluate("document.getElementById('map').map.getZoom()")
    page.keyboard.press("Equal")
    until(page, f"document.getElementById('map').map.getZoom() > {before} + 0.9")
    until(page, "location.hash.includes('at=')")
    page.wait_for_timeout(400)
    other = look(page.url.removeprefix(page.url.split("#")[0]))
    wait_for_map(other)
    zoom = other.evaluate("document.getElementById('map').map.getZoom()")
    assert zoom == pytest.approx(page.evaluate("document.getElementById('map').map.getZoom()"), abs=0.01)
    other.keyboard.press("Tab")
    assert other.evaluate("document.activeElement.textContent") == "To the content"


def test_a_patch_is_explained_and_its_link_shows_the_same(look: Callable[..., Any]) -> None:
    """Probabilities, explanations or pictures are absent, or a link loses the settings."""
    page = look("#/patch/s0/test_2")
    page.wait_for_selector("#scores tbody tr")
    assert page.locator("#scores tbody tr").count() == 19
    page.get_by_label("Beside it", exact=True).select_option("1")
    until(page, "document.querySelectorAll('#scores thead th').length === 5")
    page.get_by_role("button", name="why? Arable land").click()
    page.get_by_label("Method", exact=True).select_option("integrated-gradients")
    until(page, "document.querySelectorAll('#explanation dl').length === 2")
    page.get_by_label("Red", exact=True).select_option("B12")
    page.get_by_label("White at", exact=True).fill("3000")
    page.get_by_label("White at", exact=True).press("Enter")
    assert broken(page) == []
    words = page.inner_text("#explanation")
    other = look(page.url.removeprefix(page.url.split("#")[0]))
    until(other, "document.querySelectorAll('#explanation dl').length === 2")
    assert other.inner_text("#explanation") == words
    assert "bands=B12%2CB08%2CB02" in other.url
    assert "high=3000" in other.locator("#own-bands img").get_attribute("src")
    first = other.locator(".around a").first
    name = first.get_attribute("href")
    first.click()
    until(other, f"location.hash.startsWith({json.dumps(name.split('?')[0])})")


def test_labels_are_judged_by_keys(runs_folder: Path, tmp_path: Path, look: Callable[..., Any]) -> None:
    """A key gives no verdict, or the wrong one."""
    verdicts = tmp_path / "v.csv"
    with serving(runs_folder, "--verdicts", verdicts) as (address, _):
        page = look("#/check", base=address)
        page.wait_for_selector(".verdicts")
        keys = []
        for key in "wru":
            link = page.locator("#pair p a")
            keys.append(link.inner_text())
            title = page.inner_text("#pair")
            page.keyboard.press(key)
            until(page, f"document.getElementById('pair').innerText !== {json.dumps(title)}")
        page.keyboard.press("b")
        page.wait_for_selector("button[aria-pressed=true]")
        assert page.locator("button[aria-pressed=true]").inner_text() == "Unsure (u)"
        lines = [line.split(",") for line in verdicts.read_text().splitlines()[1:]]
        assert [line[0] for line in lines] == keys
        assert [line[-2] for line in lines] == ["wrong", "right", "unsure"]
        assert page.inner_text("#progress").endswith("left, 3 have a verdict.")
        page.wait_for_selector("textarea")
        assert page.locator("textarea").input_value() == f"key not in ('{keys[0]}')"
        page.close()


def test_a_run_under_way_is_followed(runs_folder: Path, tmp_path: Path, look: Callable[..., Any]) -> None:
    """The page shows an epoch only when it is loaded again."""
    run = tmp_path / "live"
    shutil.copytree(runs_folder / "first", run)
    config = run / "config.toml"
    config.write_text(config.read_text().replace("epochs = 1", "epochs = 3"))
    metrics = run / "metrics.jsonl"
    line = json.loads(metrics.read_text())
    with serving(run, "--verdicts", tmp_path / "v.csv") as (address, _):
        with exclusive(run / ".lock", "in use"):
            page = look("#/runs/0", base=address)
            page.wait_for_selector("#run[data-epochs='1']")
            assert page.inner_text("#state") == "running"
            page.get_by_text("Epochs as a table").click()
            for epoch in (2, 3):
                with open(metrics, "a") as file:
                    file.write(json.dumps(line | {"epoch": epoch, "is_best": False}) + "\n")
                page.wait_for_selector(f"#run[data-epochs='{epoch}']")
                # It was unfolded above, and stays so.
                assert page.locator("details[open] tbody tr").count() == epoch
        until(page, "document.getElementById('state').textContent === 'finished'")
        page.close()


def test_an_image_of_the_user_is_classified_and_forgotten(look: Callable[..., Any], tmp_path: Path) -> None:
    """A patch folder cannot be chosen or dropped, or has no scores."""
    write_dataset(tmp_path / "data", patches=1, layout="v2", workers=1)
    files = sorted((tmp_path / "data").rglob("*_B*.tif"))[:12]
    page = look("#/upload")
    page.set_input_files("#files", [str(path) for path in files])
    page.wait_for_selector("#patches a")
    until(page, "/ %$/.test(document.querySelector('[data-key]').textContent)")
    page.locator("#patches a").click()
    page.wait_for_selector("#scores tbody tr")
    page.get_by_role("button", name="why? Pastures").click()
    page.wait_for_selector("#explanation img")
    assert broken(page) == []
    page.go_back()
    page.get_by_role("button", name="Forget this image").click()
    until(page, "document.getElementById('result').textContent === 'Forgotten.'")
    bad = tmp_path / "x.zip"
    bad.write_bytes(b"no zip")
    page.set_input_files("#files", str(bad))
    page.wait_for_selector("[role=alert]")


def test_an_image_is_decoded_again_with_what_its_names_lack(look: Callable[..., Any], tmp_path: Path) -> None:
    """Enter in the field of the baseline does nothing, and the file has to be chosen a second time."""
    page = look("#/upload")
    assert page.get_by_role("button", name="Decode again").is_disabled()
    geotiff(tmp_path / "image.tif", width=240, height=120)
    page.set_input_files("#files", str(tmp_path / "image.tif"))
    page.wait_for_selector("[role=alert]:has-text('the processing baseline')")
    page.get_by_label("Processing baseline").fill("02.14")
    page.keyboard.press("Enter")
    page.wait_for_selector("#patches a")
    page.get_by_label("Offset of 1000").select_option("none")
    page.get_by_role("button", name="Decode again").click()
    page.wait_for_selector("#result :text('as requested')")


def test_an_image_is_forgotten_while_it_is_looked_at(look: Callable[..., Any], tmp_path: Path) -> None:
    """An answer that comes after the end says that the image is not found, in place of that it is forgotten."""
    write_dataset(tmp_path / "data", patches=1, layout="v2", workers=1)
    files = sorted((tmp_path / "data").rglob("*_B*.tif"))[:12]
    page = look("#/upload")
    held: list[Any] = []
    page.route("**/scores*", lambda route: held.append(route))
    page.set_input_files("#files", [str(path) for path in files])
    page.wait_for_selector("#patches a")
    while not held:
        page.wait_for_timeout(20)
    page.get_by_role("button", name="Forget this image").click()
    until(page, "document.getElementById('result').textContent === 'Forgotten.'")
    for route in held:
        route.continue_()
    page.unroute("**/scores*")
    page.wait_for_timeout(500)
    assert page.inner_text("#result") == "Forgotten."
