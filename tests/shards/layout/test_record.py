"""Groups and layouts: what follows from them, and which there cannot be."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.errors import InvalidValue
from shards.layout.bands import BANDS, GROUPS, LAYOUT
from shards.layout.record import MAX_BANDS, MAX_GROUPS, RecordGroup, RecordLayout
from shards.reporting import printable
from tests.support.strategies import RESERVED, record_groups

GROUP: dict[str, Any] = {"name": "clc", "metres": 10, "bands": ("CLC",), "dtype": "uint16", "role": "codes"}


@given(record_groups(max_size=5))
def test_further_groups_change_nothing_of_the_record(groups: list[RecordGroup]) -> None:
    """A further group moves bands of the Sentinel-2 record, or gets a place in it."""
    layout = LAYOUT.with_groups(groups)
    assert layout.record == GROUPS
    assert layout.extras == tuple(groups)
    assert (layout.bands, layout.band_slices) == (BANDS, LAYOUT.band_slices)
    for group in layout.extras:
        assert group.slice == slice(0, np.prod(group.shape))
        assert group.bytes == np.empty(group.shape, group.dtype).nbytes


@given(st.lists(st.tuples(st.sampled_from([10, 20, 60, 300]), st.integers(1, 5)), min_size=1, max_size=5))
def test_places_in_the_record_are_contiguous(sizes: list[tuple[int, int]]) -> None:
    """Bands overlap, or values belong to none."""
    groups = [
        RecordGroup(f"g{i}", metres, tuple(f"{i}_{band}" for band in range(count)), role="s2")
        for i, (metres, count) in enumerate(sizes)
    ]
    layout = RecordLayout(tuple(groups))
    end = 0
    for place, band in zip(layout.band_slices.values(), layout.bands, strict=True):
        assert place.start == end
        end = place.stop
        group = layout.group_of[band]
        assert place.stop - place.start == (1200 // group.metres) ** 2
        assert group.slice.start <= place.start < place.stop <= group.slice.stop
    assert end == layout.record_values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            ({"name": name}, "group name")
            for name in ("", "Clc", "1a", "a.b", "a/b", "..", "a" * 33, "é", "a\n", None, 7)
        ),
        *(({"name": name}, "group name") for name in (None, 7, "s2", "labels", "key", "json", "zarr")),
        *(({"metres": metres}, "a divisor of 1200") for metres in (0, -10, 7, 2400, 10.0, True, "10")),
        *(({"dtype": dtype}, "dtype of group clc") for dtype in ("float16", "<u2", "object", "", "complex64")),
        ({"role": "mask"}, "role of group clc is 'mask', expected one of s2, values, codes"),
        ({"bands": ()}, "bands of group clc"),
        ({"bands": tuple(f"B{i}" for i in range(MAX_BANDS + 1))}, "bands of group clc"),
        ({"bands": ("VV", "VV")}, "two bands of group clc"),
        *(({"bands": (band,)}, "band 0 of group clc") for band in ("", "V V", "\x1b[2J", "x" * 33, None, 3)),
        ({"metres": 1, "dtype": "float64", "bands": tuple("abcdef")}, "69,120,000 bytes a patch, expected at most 67"),
    ],
)
def test_a_group_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    """Such a group is written, and its store cannot be read."""
    RecordGroup(**GROUP)
    with pytest.raises(InvalidValue) as caught:
        RecordGroup(**(GROUP | change))
    assert message in str(caught.value)
    assert printable(str(caught.value)) == str(caught.value)


def test_a_layout_that_cannot_be_is_refused() -> None:
    """Two groups share columns of the index, or the record of a patch has holes."""
    clc = RecordGroup(**GROUP)
    for name in ("clc", *(group.name for group in GROUPS)):
        with pytest.raises(InvalidValue, match=f"two groups of the layout are named {name}"):
            LAYOUT.with_groups([clc, RecordGroup(name, 10, ("x",))])
    many = [RecordGroup(f"g{i}", 1200, ("x",)) for i in range(MAX_GROUPS)]
    LAYOUT.with_groups(many[: MAX_GROUPS - len(GROUPS)])
    with pytest.raises(InvalidValue, match=f"{MAX_GROUPS + 1} groups, expected 1 to {MAX_GROUPS}"):
        LAYOUT.with_groups(many[: MAX_GROUPS - len(GROUPS) + 1])
    with pytest.raises(InvalidValue, match="not the first ones"):
        RecordLayout((clc, *GROUPS))
    for change in ({"dtype": "int16"}, {"codec": "raw"}):
        with pytest.raises(InvalidValue, match=r"group clc of s2 is .*, expected uint16 and None"):
            RecordLayout((RecordGroup(**(GROUP | {"role": "s2"} | change)),))


def test_the_longest_key_fits_with_any_group() -> None:
    """A key that is allowed has a member whose name is too long for a tar, or the limit without groups changes."""
    assert LAYOUT.max_key >= 92
    for length in range(1, 33):
        longest = LAYOUT.with_groups([RecordGroup("g" * length, 10, ("x",))]).max_key
        assert max(longest + 1 + length, longest + 1 + len("labels")) == 100
    assert "b10" in RESERVED
