"""From which countries and times of the year the patches are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.bars import lying_bars, standing_bars
from bigearth_pipeline.report.page.blocks import Cell, Drawing, Figure, Section, Table
from bigearth_pipeline.report.page.numbers import count_cell, share, share_cell
from bigearth_pipeline.report.store.contents import UNKNOWN, Contents
from shards.reporting import printable
from shards.text.words import counted, patches

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SEASONS: Final = ("winter", "spring", "summer", "autumn")
_MOST: Final = 30
"""Countries that the chart shows; the table has all."""
_LONGEST: Final = 28


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Patches by group and split: names of the groups, and (groups, splits) int64."""

    names: Sequence[str]
    counts: NDArray[np.int64]

    def of(self, groups: Sequence[int]) -> "Counts":
        """Return those of some groups, in that order."""
        return Counts([self.names[i] for i in groups], self.counts[list(groups)])

    def series(self, contents: Contents) -> dict[str, list[int]]:
        """Return a value for each group, by split."""
        return {split: self.counts[:, s].tolist() for s, split in enumerate(contents.splits)}


def count_countries(contents: Contents) -> Counts:
    """Return the patches of each country, from the most; those without one come last."""
    codes, names = contents.store.index.codes("country")
    counts = contents.by_split(np.where(codes < 0, len(names), codes), len(names) + 1)
    order = sorted((i for i in range(len(names)) if counts[i].any()), key=lambda i: (-counts[i].sum(), names[i]))
    order += [len(names)] if counts[-1].any() else []
    return Counts([*(printable(name) for name in names), UNKNOWN], counts).of(order)


def count_months(contents: Contents) -> Counts:
    """Return the patches of each month of each year in which there are some, in order."""
    months, number = np.unique(contents.dates.astype("datetime64[M]"), return_inverse=True)
    return Counts([str(month) for month in months], contents.by_split(number.ravel(), len(months)))


def count_calendar(contents: Contents) -> Counts:
    """Return the patches of the twelve months, of all years together."""
    month = contents.dates.astype("datetime64[M]").astype(np.int64) % 12
    return Counts(MONTHS, contents.by_split(month, 12))


def count_seasons(calendar: Counts) -> Counts:
    """Return the patches of the four meteorological seasons: winter is December to February."""
    by_season = np.roll(calendar.counts, 1, axis=0).reshape(4, 3, -1).sum(axis=1)
    return Counts(_SEASONS, by_season)


def origin(contents: Contents) -> Section:
    """Return the section."""
    countries, months, calendar = count_countries(contents), count_months(contents), count_calendar(contents)
    blocks = (
        _countries(contents, countries),
        _months(contents, calendar),
        _seasons(contents, count_seasons(calendar)),
        _table("countries-table", "Patches by country and split", "country", contents, countries),
        _table("months-table", "Patches by month and split", "month", contents, months),
    )
    return Section("origin", "Countries, months and seasons", blocks)


def _countries(contents: Contents, countries: Counts) -> Figure:
    shown = countries.of(range(min(_MOST, len(countries.names))))
    labels = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in shown.names]
    drawing = lying_bars(
        "countries-bars",
        "Patches by country and split",
        labels,
        shown.series(contents),
        "patches",
        colours=contents.colours,
    )
    total = countries.counts.sum(axis=1)
    unknown = contents.num_null("country")
    named = len(countries.names) - bool(unknown)
    words = "The source does not tell countries."
    if named:
        shares = [f"{name}: {total[i]:,} ({share(total[i], total.sum())})" for i, name in enumerate(countries.names)]
        words = f"{counted(named, 'country', 'countries')}. " + (
            f"Most patches are from {shares[0]}; fewest from {shares[named - 1]}." if named > 1 else f"{shares[0]}."
        )
    if named and unknown:
        words += f" Of {patches(unknown)} the source does not tell."
    if len(shown.names) < len(countries.names):
        words += f" Shown are the {_MOST} with most patches."
    return Figure("countries-figure", words, (Drawing(drawing),))


def _months(contents: Contents, calendar: Counts) -> Figure:
    drawing = standing_bars(
        "months-bars",
        "Patches by month",
        calendar.names,
        calendar.series(contents),
        "patches",
        colours=contents.colours,
    )
    total = calendar.counts.sum(axis=1)
    most = int(total.argmax())
    empty = [name for name, count in zip(calendar.names, total, strict=True) if not count]
    first, last = str(contents.dates.min())[:10], str(contents.dates.max())[:10]
    words = f"All on {first} (UTC). " if first == last else f"From {first} to {last} (UTC), all years together. "
    words += f"{calendar.names[most]} has most patches: {total[most]:,} ({share(total[most], total.sum())})."
    words += f" No patches: {', '.join(empty)}." if empty else ""
    return Figure("months-figure", words, (Drawing(drawing),))


def _seasons(contents: Contents, seasons: Counts) -> Figure:
    drawing = standing_bars(
        "seasons-bars",
        "Patches by season",
        seasons.names,
        seasons.series(contents),
        "patches",
        colours=contents.colours,
    )
    total = seasons.counts.sum(axis=1)
    numbers = [
        f"{name} {count:,} ({share(count, total.sum())})"
        for name, count in zip(seasons.names, total.tolist(), strict=True)
    ]
    words = f"Meteorological seasons, winter is December to February: {', '.join(numbers)}."
    return Figure("seasons-figure", words, (Drawing(drawing),))


def _table(name: str, caption: str, first: str, contents: Contents, found: Counts) -> Table:
    total = found.counts.sum(axis=0)
    rows = [
        [
            Cell(label),
            *(count_cell(int(n)) for n in row),
            count_cell(int(row.sum())),
            share_cell(row.sum(), total.sum()),
        ]
        for label, row in zip(found.names, found.counts, strict=True)
    ]
    last = [Cell("all"), *map(count_cell, total.tolist()), count_cell(len(contents)), share_cell(1, 1)]
    return Table(name, caption, [first, *contents.splits, "all", "share"], rows, last, folded=True)
