"""Tables of rates and of predicted epochs, which the benchmarks of the trainer share."""

from collections.abc import Iterable
from typing import Final

from rich import box
from rich.table import Table

from bigearth_pipeline.bench.loader.forecast import Epoch
from bigearth_pipeline.bench.rate import Rate
from bigearth_pipeline.cli.display.console import notes_console, print_table
from shards.runtime.filesystem import MEMORY
from shards.text.words import duration, patches

WIDTH: Final = 200
"""Columns at least that a table may take where there is no terminal."""
_IMAGES: Final = {"stacked": "images at 10 m", "native": "native images", "steps": "steps"}


def print_epochs(epochs: list[Epoch], passes: dict[str, str], file_system: str, *, with_best: bool = True) -> None:
    """Print predictions; `passes` names the passes that they follow from, `with_best` marks the best place."""
    layouts = list(dict.fromkeys(layout for epoch in epochs for layout in epoch.seconds))
    table = rate_table("epochs, predicted", "records from", *(_IMAGES[layout] for layout in layouts), "by")
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
    print_table(table, without_terminal=WIDTH)


def note_smaller_batch(subject: object, found: int, wanted: int) -> None:
    """Say on stderr that batches were smaller than was asked for, if they were."""
    if found < wanted:
        line = f"{subject}: a batch has {patches(found)}, not {wanted:,}, for a lap has no more"
        notes_console().print(line, soft_wrap=True)


def rate_table(first: str, *headings: str) -> Table:
    """Return an empty table with a column for each heading; those of numbers are aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("page cache", "records from", "by", "") else "right")
    return table


def numbers(rate: Rate) -> Iterable[str]:
    """Return the cells of a rate: median, lowest, highest, and the start in seconds."""
    start = f"{rate.start:.3f}" if rate.start else ""
    return (*(f"{number:,.0f}" for number in (rate.median, rate.lowest, rate.highest)), start)
