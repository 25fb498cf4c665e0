"""Tables that leave out their least important columns where the width does not suffice, and say which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.table import Table

GAP: Final = 3
"""Blanks between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        heading: its lines.
        values: a text for each row.
        importance: columns of the lowest one are left out first; None for a column that always stays.
        is_number: whether to align it on the right.
        least: characters to which its lines may be wrapped; None for as many as they have.
    """

    heading: str
    values: Sequence[str]
    importance: int | None = None
    is_number: bool = True
    least: int | None = None

    @property
    def width(self) -> int:
        """Characters that it takes."""
        return max(cell_len(line) for text in (self.heading, *self.values) for line in text.split("\n"))

    @property
    def least_width(self) -> int:
        """Characters that it takes at least."""
        return self.width if self.least is None else min(self.width, self.least)


def fitting_table(title: str, columns: Sequence[Column], width: int) -> Table:
    """Return a table of the columns that fit into a width, in their order; the caption names the others in theirs.

    A column without values in any row is left out.

    Args:
        title: above the table.
        columns: all with the same number of values.
        width: characters of a line.
    """
    known = [column for column in columns if column.importance is None or any(column.values)]
    shown = list(known)
    while sum(column.least_width + GAP for column in shown) > width:
        droppable = [column for column in shown if column.importance is not None]
        if not droppable:
            break
        least = min(droppable, key=lambda column: column.importance or 0)
        shown.remove(least)
    out = [column.heading.replace("\n", " ") for column in known if column not in shown]
    caption = f"too wide for {width} columns, left out: {'; '.join(out)}" if out else None
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for column in shown:
        table.add_column(
            column.heading,
            justify="right" if column.is_number else "left",
            overflow="fold",
            no_wrap=column.importance is not None,
            min_width=_min_width(column),
        )
    for values in zip(*(column.values for column in shown), strict=True):
        table.add_row(*values)
    return table


def _min_width(column: Column) -> int:
    if column.least is not None:
        return column.least_width
    return min(column.width, 12) if column.importance is None else column.width
