"""The files that are mutated, and the tests that should notice."""

from typing import Final

TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "shards/layout/bands.py": ("tests/shards/layout",),
    "shards/layout/classes.py": ("tests/shards/layout",),
    "shards/layout/facts.py": ("tests/shards/layout",),
    "shards/layout/patch.py": ("tests/shards/layout",),
    "shards/layout/record.py": ("tests/shards/layout",),
    "shards/layout/shuffle.py": ("tests/shards/layout", "tests/bigearth_pipeline/build/test_plan.py"),
    "shards/layout/statistics.py": ("tests/shards/layout/test_statistics.py",),
    "shards/read/extents.py": ("tests/shards/read/test_extents.py",),
    "shards/metadata/index.py": ("tests/shards/metadata/test_index.py", "tests/shards/layout/test_facts.py"),
    "bigearth_pipeline/build/plan.py": ("tests/bigearth_pipeline/build/test_plan.py",),
    "bigearth_pipeline/build/select.py": ("tests/bigearth_pipeline/build/test_select.py",),
    "trainer/data/order.py": ("tests/trainer/data/test_order.py",),
}
"""Tests by file; they need no cluster and no real data."""

EQUIVALENT: Final[dict[tuple[str, str], str]] = {
    ("shards/read/extents.py", "@dataclass(frozen=True, slots=False, eq=False)"): "slots save memory only",
}
"""Reasons, by file and line as it was changed, without indentation, why the change cannot be noticed."""
