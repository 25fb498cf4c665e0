"""Published figures."""

from collections import Counter

import pyarrow.parquet as pq
import pytest

from shards import BANDS, CLASSES, SPLITS
from shards.metadata.published import published
from tests.conftest import real


@pytest.mark.long
@pytest.mark.real
def test_counts_are_those_of_the_official_table() -> None:
    """A whole store looks as if it lacked patches, for the published counts are others."""
    table = pq.read_table(real("v2/metadata.parquet"), columns=["split", "labels"])
    splits, labels = table["split"].to_pylist(), table["labels"].to_pylist()
    counts = Counter((label, split) for split, names in zip(splits, labels, strict=True) for label in names)
    known = published("v2")
    assert known.patches == dict(Counter(splits))
    assert {(name, split): known.class_counts[name][split] for name in CLASSES for split in SPLITS} == dict(counts)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_band_has_figures_with_a_source(version: str) -> None:
    """A band has no published mean, or nobody knows whose figures these are."""
    known = published(version)
    assert set(known.bands) == set(BANDS)
    assert all(200 < mean < 3000 and 200 < std < 2000 for mean, std in known.bands.values())
    assert "BigEarthNet" in known.counts_source
    assert version in known.bands_source
    assert bool(known.class_counts) is (version == "v2")
