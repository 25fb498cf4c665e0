"""The way from view to view: late answers, addresses of others, the keyboard."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from tests.bigearth_pipeline.serve.conftest import serving
from tests.bigearth_pipeline.serve.page.test_browser import broken, until, wait_for_map

pytestmark = pytest.mark.long
LONG = "S2B_MSIL2A_20170924T093019_N9999_R136_T35VPK_63_60"


def test_a_view_that_is_left_changes_no_other(look: Callable[..., Any]) -> None:
    """An answer that comes late puts a table of runs over the view of now."""
    page = look("#/check")
    page.wait_for_selector(".verdicts")
    held: list[Any] = []
    page.route("**/api/runs", lambda route: held.append(route))
    page.evaluate("location.hash = '#/runs'")
    while not held:
        page.wait_for_timeout(20)
    page.evaluate("location.hash = '#/upload'")
    page.wait_for_selector("#drop")
    with page.expect_response("**/api/runs"):
        held[0].continue_()
    page.wait_for_timeout(300)
    assert page.evaluate("location.hash") == "#/upload"
    assert page.title() == "Your image – bep serve"
    assert page.locator("h1").all_inner_texts() == ["Your image"]


def test_an_address_with_mistakes_shows_what_can_be_shown(look: Callable[..., Any]) -> None:
    """A link that was cut off shows an empty page, blames WebGL, or asks for pictures that cannot be."""
    wait_for_map(look("#/%E0%A4%A"))
    wait_for_map(look("#/map?at=500,100,3"))
    page = look("#/patch/s0/test_2?bands=X,Y&gamma=77&low=-1")
    page.wait_for_selector("#scores tbody tr")
    assert broken(page) == []
    assert "gamma" not in page.url


def test_a_run_without_predictions_colours_patches_grey(
    runs_folder: Path, tmp_path: Path, look: Callable[..., Any]
) -> None:
    """Patches are black, and the map complains about each of its tiles."""
    run = tmp_path / "run"
    shutil.copytree(runs_folder / "first", run, ignore=shutil.ignore_patterns("predictions-*"))
    with serving(run, "--shards", runs_folder.parent / "store", "--verdicts", tmp_path / "v.csv") as (address, _):
        page = look("#/map?run=0", base=address)
        wait_for_map(page)
        assert page.evaluate("document.getElementById('map').map.queryRenderedFeatures({layers: ['patches']}).length")
        page.close()


def test_a_link_names_its_runs(runs_folder: Path, tmp_path: Path, look: Callable[..., Any]) -> None:
    """A link of yesterday shows another run, for runs are numbered anew at each start of the server."""
    page = look("#/patch/s0/test_2?run=1&run2=0&label=2&method=band-occlusion")
    page.wait_for_selector("#explanation dl")
    link = page.url.partition("#")[2]
    assert "run=1.second" in link
    assert "run2=0.first" in link
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("link", name="second", exact=True).click()
    until(page, "document.title.startsWith('second')")
    own = page.url.partition("#")[2]
    page.reload()
    until(page, "document.title.startsWith('second')")
    page.close()
    (tmp_path / "runs").mkdir()
    shutil.copytree(runs_folder / "first", tmp_path / "runs" / "a")
    shutil.copytree(runs_folder / "second", tmp_path / "runs" / "second")
    options = (tmp_path / "runs", runs_folder / "first", "--shards", runs_folder.parent / "store")
    with serving(*options, "--verdicts", tmp_path / "v.csv") as (address, _):
        page = look(f"#{link.replace('run=1.', 'run=0.')}", base=address)
        page.wait_for_selector("#explanation dl")
        chosen = "[...document.querySelectorAll('select')].map((each) => each.selectedOptions[0].textContent)"
        assert page.evaluate(chosen)[3:5] == ["second", "first"]
        page.goto(f"{address}#{own}")
        until(page, "document.title.startsWith('second')")
        page.goto(f"{address}#/map?run=0.absent")
        page.wait_for_selector("[role=alert]")
        assert page.inner_text("[role=alert]") == "no run absent is shown; start the server with it"
        page.close()


def test_a_key_that_is_held_down_gives_one_verdict(look: Callable[..., Any]) -> None:
    """All pairs that follow are judged, too, unseen."""
    page = look("#/check")
    page.wait_for_selector(".verdicts")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    before = page.inner_text("#pair h2 + p")
    for _ in range(5):
        page.keyboard.down("u")
        page.wait_for_timeout(50)
    page.keyboard.up("u")
    until(page, f"document.querySelector('#pair h2 + p').innerText !== {json.dumps(before)}")
    page.wait_for_timeout(300)
    assert len(sent) == 1


def test_the_way_to_the_content_keeps_the_address(look: Callable[..., Any]) -> None:
    """The link for the keyboard takes the place of the view in the address, which then shows nothing."""
    page = look("#/runs")
    page.wait_for_selector("#runs")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "view"
    assert page.url.endswith("#/runs")


def test_explanations_of_a_view_that_is_left_are_given_up(look: Callable[..., Any]) -> None:
    """They hold all connections of the browser, and the next patch comes once they are computed."""
    page = look("#/patch/s0/test_2")
    page.wait_for_selector("#scores tbody tr")
    ended: list[str] = []
    page.on("requestfailed", lambda request: ended.append(request.url))
    page.route("**/explanation?*", lambda route: None)
    for number in range(8):
        page.get_by_role("button", name="why?").nth(number).click()
    page.evaluate("location.hash = '#/patch/s0/test_3'")
    page.wait_for_selector("h1:has-text('test_3')")
    page.wait_for_selector("#scores tbody tr")
    assert len([each for each in ended if "/explanation?" in each]) == 8


def test_the_keyboard_stays_at_what_it_has_changed(look: Callable[..., Any]) -> None:
    """After each choice or verdict the keyboard starts at the top of the page."""
    page = look("#/patch/s0/test_2?label=2&method=grad-cam")
    page.wait_for_selector("#explanation img")
    page.get_by_label("Method", exact=True).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    until(page, "location.hash.includes('band-occlusion')")
    page.wait_for_selector("#explanation dl")
    page = look("#/check")
    page.wait_for_selector(".verdicts")
    page.get_by_role("button", name="Next (n)").focus()
    for _ in range(2):
        before = page.inner_text("#pair")
        page.keyboard.press("Enter")
        until(page, f"document.getElementById('pair').innerText !== {json.dumps(before)}")
    assert page.evaluate("document.activeElement.textContent") == "Next (n)"


def test_pairs_are_those_of_the_last_choice(look: Callable[..., Any]) -> None:
    """Pairs of a class that was chosen before come among those of the class that is chosen."""
    page = look("#/check")
    page.wait_for_selector(".verdicts")
    held: list[Any] = []
    page.route("**/check/pairs*label=2&*", lambda route: held.append(route))
    page.get_by_label("Class", exact=True).select_option("2")
    while not held:
        page.wait_for_timeout(20)
    page.get_by_label("Class", exact=True).select_option("1")
    page.wait_for_selector(".verdicts")
    words = page.inner_text("main")
    with page.expect_response("**/check/pairs*label=2&*"):
        held[0].continue_()
    page.wait_for_timeout(300)
    assert page.inner_text("main") == words


def test_names_as_long_as_those_of_bigearthnet_fit_on_a_phone(look: Callable[..., Any]) -> None:
    """The name of a patch makes the page wider than the screen."""
    page = look("#/check", width=390)
    page.wait_for_selector(".verdicts")
    page.evaluate(f"document.querySelector('#pair a').textContent = {json.dumps(LONG)}")
    assert page.evaluate("(main => main.scrollWidth <= main.clientWidth)(document.getElementById('view'))")


def test_an_image_without_the_bands_of_a_run_is_shown(browser: Any, address: str, tmp_path: Path) -> None:
    """Its pictures vanish, and with them the choice of a run that needs fewer bands; or a message names no field."""
    path = tmp_path / "rgb.tif"
    place = from_origin(400_000, 5_500_000, 10, 10)
    shape: dict[str, Any] = {"width": 120, "height": 120, "count": 3, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", driver="GTiff", transform=place, **shape) as file:
        for number, name in enumerate(("B04", "B03", "B02"), 1):
            file.write(np.full((120, 120), 800, np.uint16), number)
            file.set_band_description(number, name)
    # The browser notes each refusal in its console, so this is none of `look`.
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(f"{address}#/upload")
        page.set_input_files("#files", str(path))
        page.wait_for_selector("[role=alert]")
        text = page.inner_text("[role=alert]")
        assert "say the processing baseline (in names of products, N0509 is 05.09), or choose to use" in text
        page.get_by_label("Processing baseline, if the names do not say it").fill("02.14")
        page.set_input_files("#files", str(path))
        page.wait_for_selector("#result [role=alert]")
        until(page, "document.querySelector('#result [role=alert]')?.textContent.startsWith('the image lacks bands')")
        assert page.locator("#patches a").count() == 1
        assert page.get_by_label("Run", exact=True).locator("option").count() == 2
    finally:
        context.close()
