"""Pictures of pages by headless Chromium, with few colours, so that they are small."""

import html
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image

import shards
from shards.errors import InvalidValue
from shards.storage.atomic import atomic_write
from tools.bench.serve.load import serving
from tools.gallery.data import Made

_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_COLOURS: Final = 256
_TEXT: Final = """<!DOCTYPE html><meta charset="utf-8"><title>bep runs</title><body style="margin:0;background:#12161b">
<pre style="display:inline-block;margin:0;padding:16px;color:#e6e9ec;font:14px/1.35 'DejaVu Sans Mono',monospace"
>{}</pre>"""
PICTURES: Final = (
    ("store-map", "store_page", "#places figure", 720, 900, "light"),
    ("store-samples", "store_page", "#samples .groups", 900, 825, "light"),
    ("run-scores", "run_page", "#scores figure", 680, 900, "light"),
    ("run-reliability", "run_page", "#calibration figure", 680, 900, "dark"),
    ("runs-differences", "runs_page", "#differences figure", 680, 900, "light"),
    ("explained", "explained_page", "#patches .group", 680, 900, "light"),
)
"""Name of the picture, page, element by a CSS selector, width of the window and greatest height of the picture in
pixels, and colour scheme."""
SERVED: Final = (
    ("serve-map", 760, "#/map", "#map[data-idle]", None),
    ("serve-patch", 1200, "#/patch/s0/{key}?run=0&run2=1&label=2&method=grad-cam", "#explanation img", 1),
)
"""Name and height of the picture in pixels, view of `bep serve`, element that it waits for, and number of explanations,
None for any."""
_WIDTH: Final = 1200
_MARGIN: Final = 14
"""Pixels around an element."""


def photograph(made: Made, out: Path, work: Path) -> list[Path]:
    """Write the pictures into a folder and return them.

    Args:
        made: what the commands wrote.
        out: folder of the pictures.
        work: folder for a temporary page.

    Raises:
        InvalidValue: there is no Chromium.
        OSError: a picture cannot be written.
    """
    text = work / "runs-text.html"
    text.write_text(_TEXT.format(html.escape(made.runs_text.rstrip())))
    shots = [(name, getattr(made, page), *rest) for name, page, *rest in PICTURES]
    shots.append(("runs-table", text, "pre", 1800, 900, "dark"))
    written = []
    # Maps need WebGL, here without a graphics card.
    with chromium("--use-angle=swiftshader", "--enable-unsafe-swiftshader") as browser:
        for name, page, selector, width, highest, scheme in shots:
            content = _shot(browser, page, selector, width, highest, scheme)
            written.append(_write(out / f"{name}.png", Image.open(io.BytesIO(content))))
        written += _served(browser, made, out)
    with Image.open(made.preview) as picture:
        written.append(_write(out / "predicted.png", picture.convert("RGB")))
    return written


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """Run a headless Chromium with further arguments while the block runs.

    Raises:
        InvalidValue: there is none.
    """
    path = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        raise InvalidValue(f"there is no {' or '.join(_BROWSERS)} on the PATH; install one")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Containers, in which this may run as root, let Chromium have no sandbox of its own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *arguments])
        try:
            yield browser
        finally:
            browser.close()


def _served(browser: Any, made: Made, out: Path) -> list[Path]:
    """Write pictures of `bep serve`, which runs meanwhile."""
    written = []
    with shards.open(made.store) as store:
        key = store.index.key(int(store.index.rows("test")[0]))
    with serving([str(made.runs)]) as (_, address):
        for name, height, view, element, number in SERVED:
            context = browser.new_context(viewport={"width": _WIDTH, "height": height}, color_scheme="light")
            try:
                page = context.new_page()
                page.goto(address + view.format(key=key))
                page.wait_for_selector(element, timeout=120_000)
                page.wait_for_load_state("networkidle")
                if number is not None:
                    page.locator(element).nth(number).wait_for(timeout=120_000)
                content = page.screenshot()
            finally:
                context.close()
            written.append(_write(out / f"{name}.png", Image.open(io.BytesIO(content))))
    return written


def _shot(browser: Any, path: Path, selector: str, width: int, highest: int, scheme: str) -> bytes:
    """Return an element of a page as PNG, its upper part where it is high."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page = context.new_page()
        page.goto(path.as_uri())
        box = page.locator(selector).first.bounding_box()
        clip = {
            "x": max(0, box["x"] - _MARGIN),
            "y": max(0, box["y"] - _MARGIN),
            "width": box["width"] + 2 * _MARGIN,
            "height": min(box["height"], highest) + 2 * _MARGIN,
        }
        content: bytes = page.screenshot(full_page=True, clip=clip)
    finally:
        context.close()
    return content


def _write(path: Path, picture: Image.Image) -> Path:
    """Write a picture with a palette of its own."""
    few = picture.convert("RGB").quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    with atomic_write(path) as file:
        few.save(file, "PNG", optimize=True)
    return path
