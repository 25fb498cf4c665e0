"""Tables of rates and of predicted epochs, which the benchmarks of the trainer share."""

from collections.abc import Iterable
from typing import Final

from bigearth_pipeline.bench.loader.forecast import Epoch
from bigearth_pipeline.bench.rate import Rate
from bigearth_pipeline.cli.display.console import echo, notes_console, output_width, print_table
from bigearth_pipeline.cli.display.fitting import GAP, Column, fitting_table
from shards.runtime.filesystem import MEMORY
from shards.text.words import duration, patches

WIDTH: Final = 200
"""Columns at least that a table may take where there is no terminal."""
_REMARKS: Final = {"by", ""}
_WORDS: Final = {"page cache", "records from"} | _REMARKS
"""Headings of columns that hold no numbers."""
_IMPORTANCE: Final = {"start, s": 1, "lowest": 2, "highest": 3}
"""Columns that may be left out, those with the lowest number first."""
_NAME_WIDTH: Final = 28
"""Characters to which names of rows may be wrapped."""
_IMAGES: Final = {"stacked": "images at 10 m", "native": "native images", "steps": "steps"}


def print_epochs(epochs: list[Epoch], passes: dict[str, str], file_system: str, *, with_best: bool = True) -> None:
    """Print predictions; `passes` names the passes that they follow from, `with_best` marks the best place."""
    layouts = list(dict.fromkeys(layout for epoch in epochs for layout in epoch.seconds))
    table = RateTable("epochs, predicted", "records from", *(_IMAGES[layout] for layout in layouts), "by")
    for epoch in epochs:
        # What the page cache is for other files, these are themselves.
        warm = file_system if file_system in MEMORY else "disk, page cache"
        place = warm if epoch.place == "disk" else epoch.place
        times = [duration(epoch.seconds[layout]) for layout in layouts if layout in epoch.seconds]
        sources = "; ".join(dict.fromkeys(passes[name] for names in epoch.measured_by.values() for name in names))
        if any(len(names) > 1 for names in epoch.measured_by.values()):
            sources += " (the slower one)"
        cells = times if times else [""] * len(layouts)
        table.add_row(
            f"{epoch.dataset}, {epoch.patches:,} patches",
            f"{place} (best)" if with_best and epoch.is_best else place,
            *cells,
            epoch.why_not or sources,
        )
    table.print()


def note_smaller_batch(subject: object, found: int, wanted: int) -> None:
    """Say on stderr that batches were smaller than was asked for, if they were."""
    if found < wanted:
        line = f"{subject}: a batch has {patches(found)}, not {wanted:,}, for a lap has no more"
        notes_console().print(line, soft_wrap=True)


class RateTable:
    """A table of rates, whose words stay whole: what has no room is left out or, if it is a remark, put below.

    The first column names the rows. A last column with the heading `by` or without one has remarks.
    """

    def __init__(self, *headings: str) -> None:
        self._headings = headings
        self._rows: list[tuple[str, ...]] = []

    def add_row(self, *cells: str) -> None:
        """Add a row; cells that it has not are empty."""
        self._rows.append((*cells, *[""] * (len(self._headings) - len(cells))))

    def print(self) -> None:
        """Print it, as wide as the output is."""
        width, rows, below = output_width(WIDTH), self._rows, list[str]()
        columns = self._columns(rows)
        if self._headings[-1] in _REMARKS and sum(column.width + GAP for column in columns) > width:
            names = [i for i, heading in enumerate(self._headings) if i == 0 or heading in _WORDS - _REMARKS]
            below = [f"{', '.join(row[i] for i in names if row[i])}: {row[-1]}" for row in rows if row[-1]]
            rows = [row for row in rows if any(row[i] for i in range(len(row) - 1) if i not in names)]
            columns = self._columns(rows)[:-1]
        if rows:
            print_table(fitting_table("", columns, width), without_terminal=WIDTH)
        for line in below:
            echo(line)

    def _columns(self, rows: list[tuple[str, ...]]) -> list[Column]:
        return [
            Column(
                heading,
                [row[i] for row in rows],
                importance=_IMPORTANCE.get(heading),
                is_number=i > 0 and heading not in _WORDS,
                least=_NAME_WIDTH if i == 0 else None,
            )
            for i, heading in enumerate(self._headings)
        ]


def numbers(rate: Rate) -> Iterable[str]:
    """Return the cells of a rate: median, lowest, highest, and the start in seconds."""
    start = f"{rate.start:.3f}" if rate.start else ""
    return (*(f"{number:,.0f}" for number in (rate.median, rate.lowest, rate.highest)), start)
