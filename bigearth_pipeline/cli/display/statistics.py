"""Band statistics as a table for people."""

from rich.table import Table

from bigearth_pipeline.cli.display.fitting import Column, fitting_table
from shards.metadata.entries import SplitInfo


def statistics_table(name: str, split: SplitInfo, width: int) -> Table:
    """Return the statistics of a split, a row for each band; percentiles are left out where the width is short."""
    bands = split.statistics.values()
    columns = [
        Column("band", list(split.statistics), is_number=False),
        Column("mean", [f"{values.mean:.2f}" for values in bands]),
        Column("std", [f"{values.std:.2f}" for values in bands]),
        Column("min", [f"{values.min}" for values in bands], importance=9),
    ]
    percents = list(next(iter(bands)).percentiles)
    for percent in percents:
        # Whole, as the digital numbers that they lie between; `--json` has the decimals.
        shown = [f"{values.percentiles[percent]:.0f}" for values in bands]
        columns.append(Column(f"{percent} %", shown, importance=_importance(percent)))
    columns += [
        Column("max", [f"{values.max}" for values in bands], importance=9),
        Column("nodata", [f"{values.nodata:,}" for values in bands], importance=8),
    ]
    return fitting_table(f"{name}: native pixels, digital numbers", columns, width)


def _importance(percent: str) -> int:
    """Return how long a percentile stays: the median longest, then 1 and 99, then those nearer to the middle."""
    distance = min(float(percent), 100 - float(percent))
    return 7 if distance == 50 else 6 if distance == 1 else 5 if distance > 1 else 4
