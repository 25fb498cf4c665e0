"""Charts that lie in one page together."""

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from bigearth_pipeline.report.figure.bars import lying_bars, standing_bars
from bigearth_pipeline.report.figure.distribution import Mark, distribution
from bigearth_pipeline.report.figure.heat import heat_map
from bigearth_pipeline.report.figure.look import VARIABLES


def charts(name: str) -> dict[str, str]:
    """Return one drawing of each kind."""
    values = np.array([[5.0, 0.0], [np.nan, 200.0]])
    labels = ["a <b> & $\\frac{$", "\u4e2d"]
    marks = [Mark("one", 3, 1, 0), Mark("published", 4, 2, None)]
    edges = np.arange(4.0)
    return {
        "lying": lying_bars(name, 'say "<i>"', labels, {"x": [1, 2], "y": [3, 4]}, "patches"),
        "standing": standing_bars(name, "t", labels, {"x": [0.5, 2]}, "patches", "below"),
        "heat": heat_map(name, "t", labels, values, "patches"),
        "lift": heat_map(name, "t", labels, values, "lift", ratio=True),
        "distribution": distribution(name, "t", edges, {"x": np.array([1.0, 2, 0])}, marks, "B02"),
    }


def test_a_chart_is_the_same_each_time_whatever_the_settings() -> None:
    """Reports of one store differ, or look as the settings of the user's notebooks do."""
    first = charts("c")
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30, "svg.fonttype": "none", "text.usetex": True}):
        assert charts("c") == first
    assert not [name for name, text in first.items() if re.search(r"\d{4}-\d\d-\d\d|<metadata|<!--|<style", text)]


def test_a_chart_is_markup_of_its_own() -> None:
    """A drawing breaks the page that it lies in, or takes the parts of another one."""
    for kind, text in charts("c").items():
        root = ElementTree.fromstring(text)
        assert (root.attrib["role"], "width" in root.attrib) == ("img", False), kind
        names = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        assert names, kind
        assert all(name.startswith("c-") for name in names), kind
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
        assert used, kind
        assert used <= set(names), kind
    assert ElementTree.fromstring(charts("c")["lying"]).attrib["aria-label"] == 'say "<i>"'


def test_colours_are_those_of_the_page() -> None:
    """Text is black on a black page."""
    for kind, text in charts("c").items():
        assert "var(--ink)" in text, kind
        assert not set(VARIABLES) & set(re.findall(r"#[0-9a-f]{6}", text)), kind
        # Heat maps have colours of their own, and what is clear has white.
        if "heat" not in kind and "lift" not in kind:
            assert not re.findall(r"(?:fill|stroke): #(?!ffffff)", text), kind


@pytest.mark.parametrize("most", [1.0, 64.0, 1e5])
def test_ratios_are_even_about_one(most: float) -> None:
    """Twice as often and half as often have different strengths of colour, or an extreme value hides all others."""
    values = np.array([[most, 2.0, 1.0], [0.5, 1 / most, 1.0], [1.0, 1.0, np.nan]])
    found = re.findall(r"fill: (#[0-9a-f]{6})", heat_map("c", "t", ["a", "b", "c"], values, "lift", ratio=True))
    palette = matplotlib.colormaps["PuOr_r"]
    # Colours end at 64 and 1/64, and there are at least those of 2 and 1/2.
    end = min(max(np.log2(most), 1.0), 6.0)
    for value in values.ravel()[:-1]:
        place = 0.5 + np.clip(np.log2(value) / end, -1, 1) / 2
        assert matplotlib.colors.to_hex(palette(place)) in found
