"""Band order, label order and the mapping from 43 to 19 classes."""

import json
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given

from shards import Patch
from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF, GROUPS, RECORD_BYTES, RECORD_VALUES
from shards.layout.classes import (
    CLASSES,
    CLC43_TO_19,
    decode_labels,
    encode_clc_labels,
    encode_labels,
    label_bytes,
    multi_hot,
)
from tests.support.paths import DATA
from tests.support.strategies import label_masks


def test_the_bands_fill_a_record_without_gap_or_overlap() -> None:
    """Two bands share pixels, or some values of a record belong to no band."""
    places = [place for band in BANDS for place in range(BAND_SLICES[band].start, BAND_SLICES[band].stop)]
    assert places == list(range(RECORD_VALUES))
    assert RECORD_BYTES == 160_000
    assert " ".join(BANDS) == "B02 B03 B04 B08 B05 B06 B07 B8A B11 B12 B01 B09"
    assert [group.shape for group in GROUPS] == [(4, 120, 120), (6, 60, 60), (2, 20, 20)]


def test_bands_of_a_patch_are_views() -> None:
    """Looking at a band copies it, or shows another one."""
    record = np.arange(RECORD_VALUES, dtype=np.uint32).astype(np.uint16)
    patch = Patch(
        key="k", s2=record, label_mask=0, split="train", country=None, date=datetime(2017, 6, 13), epsg=32633, ulx=0.0,
        uly=0.0, seasonal_snow=None, cloud_or_shadow=None,
    )  # fmt: skip
    for band in BANDS:
        view = patch.band(band)
        assert view.base is not None
        assert view.shape == (GROUP_OF[band].size,) * 2
        assert view[0, 0] == record[BAND_SLICES[band].start]
    np.testing.assert_array_equal(np.concatenate([patch.b10.ravel(), patch.b20.ravel(), patch.b60.ravel()]), record)
    assert np.shares_memory(patch.b60, record)
    with pytest.raises(ValueError, match="no band 'B10'"):
        patch.band("B10")


@given(label_masks)
def test_label_masks_round_trip(mask: int) -> None:
    """Labels change between mask, names and multi-hot form."""
    names = decode_labels(mask)
    assert encode_labels(names) == mask
    assert [CLASSES[i] for i in np.flatnonzero(multi_hot(mask))] == list(names)


def test_nomenclature_is_the_published_one() -> None:
    """A class is misspelt or out of order, or a v1 label maps to the wrong class."""
    path = DATA.parent / "design" / "facts.json"
    if not path.exists():
        pytest.skip("the published tables are absent")
    facts = json.loads(path.read_text())
    assert facts["classes19"] == list(CLASSES) == sorted(CLASSES)
    assert facts["clc43_to_19"] == CLC43_TO_19


def test_labels_outside_the_nomenclature_are_refused() -> None:
    """A label nobody knows is dropped in silence."""
    assert encode_clc_labels(["Airports"]) == 0
    assert encode_clc_labels(["Airports", "Salines"]) == encode_labels(["Coastal wetlands"])
    with pytest.raises(ValueError, match="'Moon' is not in the 43"):
        encode_clc_labels(["Moon"])
    with pytest.raises(ValueError, match="'Airports' is not in the 19"):
        encode_labels(["Airports"])


@pytest.mark.parametrize("mask", [0, 1, 2, 5, 1 << 18, (1 << 19) - 1, 0b1010101010101010101])
def test_bytes_of_labels_are_the_bits_of_the_mask(mask: int) -> None:
    """The labels beside a record are those of other classes, or in another order."""
    assert label_bytes(mask) == bytes(int(bit) for bit in reversed(f"{mask:019b}"))
    assert list(label_bytes(mask)) == multi_hot(mask).tolist()
