"""Band statistics as a table for people."""

from rich.table import Table

from shards.metadata.entries import SplitInfo


def statistics_table(name: str, split: SplitInfo) -> Table:
    """Return the statistics of a split: a row for each band."""
    table = Table(title=f"{name}: native pixels, digital numbers")
    table.add_column("band")
    percents = list(next(iter(split.statistics.values())).percentiles)
    for heading in ("mean", "std", "min", *(f"{percent} %" for percent in percents), "max", "nodata"):
        table.add_column(heading, justify="right")
    for band, values in split.statistics.items():
        table.add_row(
            band,
            f"{values.mean:.2f}",
            f"{values.std:.2f}",
            f"{values.min}",
            *(f"{value:g}" for value in values.percentiles.values()),
            f"{values.max}",
            f"{values.nodata:,}",
        )
    return table
