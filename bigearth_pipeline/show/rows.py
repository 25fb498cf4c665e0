"""Patches as rows of a sheet: pictures in some compositions, and what is known of the patch."""

from collections.abc import Sequence
from typing import Final

from bigearth_pipeline.pictures.compose import MISSING_WORD, Composition, Stretch, colours
from bigearth_pipeline.pictures.sheet import Row
from shards import Patch, Store
from shards.layout.statistics import NODATA

LOW, HIGH = "1", "99"
"""Percentiles of each band that become black and full brightness."""
_FLAGS: Final = {"seasonal_snow": "seasonal snow", "cloud_or_shadow": "cloud or shadow"}


def stretch_of(store: Store) -> Stretch:
    """Return the stretch for all patches of a store: percentiles of its training split, or of its first."""
    first = next(iter(store.manifest.splits.values()))
    return Stretch.of_statistics(first.statistics, LOW, HIGH)


def row_of(patch: Patch, compositions: Sequence[Composition], stretch: Stretch) -> Row:
    """Return a patch as a row of a sheet."""
    facts = [patch.split, patch.country or "country unknown", f"{patch.date:%Y-%m-%d}"]
    facts += [words for name, words in _FLAGS.items() if getattr(patch, name)]
    lines = [patch.key, ", ".join(facts), *(f"- {label}" for label in patch.labels)]
    if not patch.labels:
        lines.append("no label")
    if patch.names43:
        lines.append(f"v1: {'; '.join(patch.names43)}")
    if missing := int((patch.s2 == NODATA).sum()):
        lines.append(f"{missing:,} missing values, shown in {MISSING_WORD}")
    return Row(
        pictures=[colours(patch.s2, composition, stretch) for composition in compositions],
        titles=[composition.words for composition in compositions],
        lines=lines,
    )
