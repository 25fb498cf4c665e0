"""The files that are mutated, and the tests that should notice."""

from typing import Final

_LAYOUT: Final = tuple(
    f"tests/shards/layout/test_{name}.py" for name in ("bands_and_classes", "patch", "record", "facts", "shuffle")
)

TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "shards/layout/bands.py": _LAYOUT,
    "shards/layout/classes.py": _LAYOUT,
    "shards/layout/facts.py": _LAYOUT,
    "shards/layout/patch.py": _LAYOUT,
    "shards/layout/record.py": _LAYOUT,
    "shards/layout/shuffle.py": (*_LAYOUT, "tests/bigearth_pipeline/build/test_plan.py"),
    "shards/layout/statistics.py": ("tests/shards/layout/test_statistics.py",),
    "shards/read/extents.py": ("tests/shards/read/test_extents.py",),
    "shards/metadata/index.py": (
        "tests/shards/metadata/test_index.py",
        "tests/shards/metadata/test_tables.py",
        "tests/shards/layout/test_facts.py",
    ),
    "bigearth_pipeline/build/plan.py": ("tests/bigearth_pipeline/build/test_plan.py",),
    "bigearth_pipeline/build/select.py": ("tests/bigearth_pipeline/build/test_select.py",),
    "trainer/data/order.py": ("tests/trainer/data/test_order.py",),
}
"""Tests by file; they need no cluster and no real data."""

_SLOTS: Final = "slots save memory only"

EQUIVALENT: Final[dict[tuple[str, str], str]] = {
    ("shards/read/extents.py", "@dataclass(frozen=True, slots=False, eq=False)"): _SLOTS,
    ("shards/layout/facts.py", "@dataclass(frozen=True, slots=False)"): _SLOTS,
    ("shards/layout/record.py", "@dataclass(frozen=True, slots=False)"): _SLOTS,
    ("shards/layout/statistics.py", "@dataclass(frozen=True, slots=False)"): _SLOTS,
    (
        "shards/layout/statistics.py",
        'nodata = fields.integer("nodata", 1, count) if low <= NODATA else fields.integer("nodata", 0, 0)',
    ): "the number was read as 0 or more in the line before",
    ("bigearth_pipeline/build/plan.py", "@dataclass(frozen=True, slots=False)"): _SLOTS,
    ("bigearth_pipeline/build/select.py", "@dataclass(frozen=True, slots=False)"): _SLOTS,
    ("bigearth_pipeline/build/select.py", "@dataclass(slots=False)"): _SLOTS,
}
"""Reasons, by file and line as it was changed, without indentation, why the change cannot be noticed."""
