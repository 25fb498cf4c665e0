"""Hypothesis strategies for the values that flow through the system."""

from datetime import datetime

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from shards.codec.registry import GROUP_CODECS
from shards.layout.bands import GROUPS, RECORD_VALUES
from shards.layout.classes import CLASSES
from shards.layout.facts import Facts
from shards.layout.record import DTYPES, S2, RecordGroup
from shards.metadata.entries import SPLITS


@st.composite
def records(draw: st.DrawFn) -> NDArray[np.uint16]:
    """Records from constant through smooth to incompressible, with values up to 65535."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    low = draw(st.integers(0, 65_535))
    high = draw(st.integers(low, 65_535))
    record = rng.integers(low, high, RECORD_VALUES, np.uint16, endpoint=True)
    return np.sort(record) if draw(st.booleans()) else record


def record_groups(max_size: int = 3) -> st.SearchStrategy[list[RecordGroup]]:
    """Further groups of any name, type, role and codec; of 40 m and more, so that stores are small, one of odd size."""
    group = st.builds(
        RecordGroup,
        name=st.from_regex("[a-z][a-z0-9_]{0,31}", fullmatch=True).filter(lambda name: name not in RESERVED),
        metres=st.sampled_from([40, 48, 100, 240, 400, 1200]),
        bands=st.lists(st.from_regex("[A-Za-z0-9_-]{1,32}", fullmatch=True), min_size=1, max_size=3, unique=True).map(
            tuple
        ),
        dtype=st.sampled_from(DTYPES),
        role=st.sampled_from(["values", "codes"]),
        codec=st.sampled_from([None, *GROUP_CODECS]),
    )
    return st.lists(group, max_size=max_size, min_size=1, unique_by=lambda group: group.name)


RESERVED = (S2, "labels", "key", "json", "zarr", *(group.name for group in GROUPS))
"""Names that no further group can have."""

keys = st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True)
label_masks = st.integers(1, (1 << len(CLASSES)) - 1)


def facts() -> st.SearchStrategy[Facts]:
    """All that can be known of a patch; places are multiples of half a metre, as floats hold them exactly."""
    metres = st.integers(-(10**7), 10**7).map(lambda half: half / 2)
    flags = st.sampled_from([None, False, True])
    return st.builds(
        Facts,
        key=keys,
        split=st.sampled_from(SPLITS),
        label_mask=label_masks,
        country=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
        date=st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda date: date.replace(microsecond=0)),
        epsg=st.integers(1, 2**31 - 1),
        ulx=metres,
        uly=metres,
        seasonal_snow=flags,
        cloud_or_shadow=flags,
        baseline=st.none() | st.integers(0, 9999),
        nodata_pixels=st.none() | st.integers(0, RECORD_VALUES),
    )
