"""From a page to the bytes of one HTML file, which asks for nothing: no network, no other file, no foreign script."""

import base64
import hashlib
import math
import re
from importlib.resources import files
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from bigearth_pipeline.report.page.blocks import Cell, Page
from shards.reporting import printable

GENERATOR: Final = "bep report"
"""Name in the head of a page, by which it is known as one."""


_PERCENT: Final = re.compile(r"(?<=\d) %")
"""A number and its percent sign, between which no line may end."""


def render(page: Page) -> bytes:
    """Return a page as HTML in UTF-8. Equal pages give equal bytes.

    A Content-Security-Policy in it lets browsers refuse every request, and every script but its own.
    """
    environment = Environment(
        loader=FunctionLoader(_part),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "markup": Markup,
        "command": _command,
        "data_url": _data_url,
        "cell": _cell,
        "order": _order,
    }
    script = _part("sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = environment.get_template("page.html").render(
        page=page, style=Markup(_part("style.css")), script=Markup(script), digest=digest, generator=GENERATOR
    )
    return (text.rstrip() + "\n").encode()


def _shown(value: object) -> object:
    """Return a text with control characters, but for line ends, as escapes: they are no HTML, or turn text around.

    A number and its percent sign stay on one line.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _PERCENT.sub("\N{NO-BREAK SPACE}%", _printable(value))


def _printable(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _command(text: str) -> Markup:
    """Return what people paste into a terminal, whose blanks stay as they are."""
    return escape(_printable(text))


def _part(name: str) -> str:
    return files("bigearth_pipeline.report.page").joinpath(name).read_text(encoding="utf-8")


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _cell(value: Cell | str) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def _order(value: float) -> str:
    """Return a number as JavaScript reads it."""
    return f"{value!r}" if math.isfinite(value) else f"{'-' if value < 0 else ''}Infinity"
