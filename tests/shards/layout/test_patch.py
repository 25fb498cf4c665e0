"""A patch in memory: views of its record, and further groups."""

from dataclasses import fields, replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from shards.errors import InvalidValue
from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF, RECORD_VALUES
from shards.layout.facts import NAMES
from shards.layout.patch import Patch


def patch_of(**groups: np.ndarray[Any, Any]) -> Patch:
    """Return a patch whose value at each place of the record is the place, as far as 16 bits go."""
    return Patch(
        key="a_1", split="train", label_mask=1, country=None, date=datetime(2017, 6, 13), epsg=32629, ulx=600_000.0,
        uly=5_900_000.0, seasonal_snow=None, cloud_or_shadow=None, s2=np.arange(RECORD_VALUES).astype(np.uint16),
        groups=groups,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shape", "start"), [("b10", (4, 120, 120), 0), ("b20", (6, 60, 60), 57_600), ("b60", (2, 20, 20), 79_200)]
)
def test_groups_are_views_of_the_record(name: str, shape: tuple[int, ...], start: int) -> None:
    """A group is a copy, or of other bands."""
    patch = patch_of()
    for found in (getattr(patch, name), patch.group(name)):
        assert found.shape == shape
        assert found.base is not None
        assert np.shares_memory(found, patch.s2)
        np.testing.assert_array_equal(found.ravel(), patch.s2[start : start + found.size])


def test_bands_are_views_of_the_record() -> None:
    """A band is that of another name, or upside down."""
    patch = patch_of()
    sizes = {10: 120, 20: 60, 60: 20}
    for name in BANDS:
        band = patch.band(name)
        assert band.shape == (sizes[GROUP_OF[name].metres],) * 2
        assert np.shares_memory(band, patch.s2)
        np.testing.assert_array_equal(band.ravel(), patch.s2[BAND_SLICES[name]])
    with pytest.raises(InvalidValue, match=r"^no band 'B10'; there are B02, B03, .*, B09$"):
        patch.band("B10")


def test_further_groups_are_found_by_name() -> None:
    """A further group is looked for in the record, or the error does not say what there is."""
    clc = np.zeros((1, 120, 120), np.uint8)
    patch = patch_of(clc=clc, s1=np.ones((2, 120, 120), np.float32))
    assert patch.group("clc") is clc
    np.testing.assert_array_equal(patch.group("b60"), patch.b60)
    for name in ("zz", "a", "b30"):
        with pytest.raises(InvalidValue, match=f"^patch a_1 has no group '{name}'; there are b10, b20, b60, clc, s1$"):
            patch.group(name)


def test_a_patch_is_compared_by_identity_and_stays_as_it_is() -> None:
    """Patches in a set or a dictionary end in an error of NumPy, or one of them changes under its reader."""
    patch = patch_of()
    assert patch != replace(patch)
    assert {patch: 1}[patch] == 1
    for name in ("key", "s2"):
        with pytest.raises(AttributeError):
            setattr(patch, name, None)
    assert not hasattr(patch, "__dict__")
    assert [field.name for field in fields(Patch)] == [*NAMES, "s2", "groups"]
    assert patch_of().groups == {}
