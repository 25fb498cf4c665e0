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
