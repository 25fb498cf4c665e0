"""Hypothesis strategies for the values that flow through the system."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from shards.layout.bands import RECORD_VALUES
from shards.layout.classes import CLASSES


@st.composite
def records(draw: st.DrawFn) -> NDArray[np.uint16]:
    """Records from constant through smooth to incompressible, with values up to 65535."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    low = draw(st.integers(0, 65_535))
    high = draw(st.integers(low, 65_535))
    record = rng.integers(low, high, RECORD_VALUES, np.uint16, endpoint=True)
    return np.sort(record) if draw(st.booleans()) else record


keys = st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True)
label_masks = st.integers(1, (1 << len(CLASSES)) - 1)
