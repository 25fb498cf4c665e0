"""From a figure of matplotlib to an SVG that lies in a page: its colours, unique names, equal bytes each time."""

import re
import warnings
from html import escape
from io import StringIO
from typing import Final

from matplotlib.figure import Figure

from bigearth_pipeline.report.figure.look import VARIABLES

_HEAD: Final = re.compile(r".*?(?=<svg)", re.DOTALL)
_OPEN: Final = re.compile(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>')
_DROPPED: Final = re.compile(r"\s*<metadata>.*?</metadata>|\s*<style[^>]*>.*?</style>|\s*<!--.*?-->", re.DOTALL)
_NAME: Final = re.compile(r'(\bid="|href="#|url\(#)')
_PATH: Final = re.compile(r'(?<=\bd=")[^"]*')
_DECIMALS: Final = re.compile(r"(\.\d\d)\d+")
_EMPTY: Final = re.compile(r"<defs>\s*</defs>\s*")
_INDENT: Final = re.compile(r"\n\s+")
_NO_METADATA: Final = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_COLOUR: Final = re.compile("|".join(VARIABLES))


def svg(figure: Figure, name: str, title: str, *, cropped: bool = False) -> str:
    """Return a figure as markup of an inline SVG.

    Args:
        figure: drawn within `look`.
        name: identifier that no other drawing of the page has; names within the SVG begin with it.
        title: what it shows, for who does not see it.
        cropped: cut empty margins off.
    """
    out = StringIO()
    with warnings.catch_warnings():
        # Of scripts that the font lacks: a box stands for each such letter.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(
            out, format="svg", metadata=_NO_METADATA, bbox_inches="tight" if cropped else None, pad_inches=0.02
        )
    text = _EMPTY.sub("", _DROPPED.sub("", _HEAD.sub("", out.getvalue(), count=1)))
    box = _OPEN.search(text)
    assert box is not None, "matplotlib wrote an SVG without a viewBox"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box[1]}" '
        f'role="img" aria-label="{escape(title)}">'
    )
    text = opening + text[box.end() :]
    text = _INDENT.sub("\n", _PATH.sub(_shortened, _NAME.sub(rf"\1{name}-", text)))
    return _COLOUR.sub(lambda match: f"var({VARIABLES[match[0]]})", text).strip()


def _shortened(path: re.Match[str]) -> str:
    """Return the coordinates of a path with two decimals, hundredths of a point."""
    return _DECIMALS.sub(r"\1", path[0])
