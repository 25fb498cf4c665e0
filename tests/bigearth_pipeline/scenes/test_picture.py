"""The picture of predicted patches."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigearth_pipeline.scenes.write import picture
from shards.layout.bands import RECORD_VALUES
from shards.layout.classes import CLASSES

KEYS = ("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_34_69", "S2A_MSIL2A_20170617T113321_4_55", "x" * 70)


@pytest.mark.parametrize("key", KEYS)
def test_the_name_of_a_patch_is_whole(key: str) -> None:
    """Two patches of one place have the same name, because the date is cut off."""
    lines = picture._title(key).splitlines()
    assert "".join(lines) == key
    assert max(map(len, lines)) <= 32


def test_names_of_classes_are_whole_and_make_the_picture_higher(tmp_path: Path) -> None:
    """Long names are cut off, or run into the patch below."""
    pytest.importorskip("matplotlib")
    records = np.ones((1, RECORD_VALUES), np.uint16)
    heights = []
    longest = sorted(range(len(CLASSES)), key=lambda i: -len(CLASSES[i]))[:5]
    for chosen in ([], longest):
        probabilities = np.zeros((1, len(CLASSES)), np.float32)
        probabilities[:, chosen] = 1
        thresholds = dict.fromkeys(CLASSES, 0.5)
        words = " ".join(picture._lines(probabilities[0], thresholds)).split()
        assert all(f"1.00 {CLASSES[i]}" in " ".join(words) for i in chosen)
        picture.write_sheet(tmp_path / "a.png", "store", records, KEYS[:1], probabilities, thresholds)
        with Image.open(tmp_path / "a.png") as found:
            heights.append(found.height)
    assert heights[1] > heights[0] + 60


@pytest.mark.parametrize("shape", [(60, 60), (120, 40), (20, 50)])
def test_the_legend_is_beside_the_map(tmp_path: Path, shape: tuple[int, int]) -> None:
    """The legend stands in the corner of the page, above the map that it is of, or is cut off at an edge."""
    best = np.repeat(np.arange(19, dtype=np.uint8), -(-shape[0] * shape[1] // 19))[: shape[0] * shape[1]].reshape(shape)
    pytest.importorskip("matplotlib")
    picture.write_map_picture(tmp_path / "picture.png", "title", None, best, CLASSES)
    with Image.open(tmp_path / "picture.png") as opened:
        ink = np.asarray(opened.convert("L")) < 250
    assert not ink[-1].any()
    assert not ink[:, -1].any()
    # The frame of the map is its longest vertical lines; what is right of them is the legend.
    columns = np.flatnonzero(ink.sum(0) > 0.95 * ink.sum(0).max())
    rows_of_map, rows = (np.flatnonzero(part) for part in (ink[:, columns[0]], ink[:, columns[-1] + 3 :].any(1)))
    assert 0 <= rows[0] - rows_of_map[0] < 20
