"""Progress and results for people: a bar on a terminal, plain lines elsewhere, and the closing table."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from trainer.metrics import Metrics
from trainer.progress import EpochReport, Phase, Progress, StepReport

LINE_SECONDS: Final = 10.0
"""Time between two lines about steps where the output is no terminal."""


@contextmanager
def open_progress(console: Console) -> Iterator[Progress]:
    """Show progress on a console while the block runs."""
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        yield TerminalBar(bar)


class TerminalBar:
    """A bar for the phase under way and a line for each epoch behind it."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._phase: Phase | None = None

    def step(self, report: StepReport) -> None:
        """Move the bar."""
        if report.phase != self._phase or self._task is None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._phase = report.phase
            self._task = self._bar.add_task(_title(report.phase), total=report.num_steps, state="")
        self._bar.update(self._task, completed=report.step, state=_state(report))

    def epoch(self, report: EpochReport) -> None:
        """Print the line of an epoch above the bar."""
        self._bar.console.print(_epoch_line(report), highlight=False, soft_wrap=True)


class Lines:
    """A line for each epoch, and one every `LINE_SECONDS` in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()

    def step(self, report: StepReport) -> None:
        """Print a line if one is due."""
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            self._print(f"{_title(report.phase)} step {report.step}/{report.num_steps}: {_state(report)}")

    def epoch(self, report: EpochReport) -> None:
        """Print the line of an epoch."""
        self._print(_epoch_line(report))

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


def metrics_table(title: str, metrics: Metrics) -> Table:
    """Return the metrics of a split as a table: a row for each class, then macro and micro."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("class")
    for column in ("patches", "AP", "F1"):
        table.add_column(column, justify="right")
    for name, values in metrics.classes.items():
        table.add_row(name, f"{values.positives:,}", _percent(values.ap), _percent(values.f1))
    table.add_section()
    present = sum(values.positives > 0 for values in metrics.classes.values())
    table.add_row(
        f"macro, {present} classes", f"{metrics.count:,}", _percent(metrics.ap_macro), _percent(metrics.f1_macro)
    )
    table.add_row("micro", f"{metrics.count:,}", _percent(metrics.ap_micro), _percent(metrics.f1_micro))
    table.add_row("guessing (mean label frequency)", "", _percent(metrics.label_frequency), "")
    return table


def _percent(value: float | None) -> str:
    return "absent" if value is None else f"{100 * value:.1f}"


def _title(phase: Phase) -> str:
    return f"epoch {phase.epoch}/{phase.num_epochs} {phase.split}" if phase.num_epochs else phase.split


def _state(report: StepReport) -> str:
    loss = "" if report.loss is None else f"loss {report.loss:.4f}, "
    return f"{loss}{report.patches_per_second:,.0f} patches/s, loader wait {report.wait_share:.0%}"


def _epoch_line(report: EpochReport) -> str:
    validation = report.validation
    return (
        f"epoch {report.phase.epoch}/{report.phase.num_epochs}: loss {report.train_loss:.4f}, "
        f"validation AP macro {_percent(validation.ap_macro)} micro {_percent(validation.ap_micro)} "
        f"(guessing {_percent(validation.label_frequency)}), "
        f"{report.patches_per_second:,.0f} patches/s, loader wait {report.wait_share:.0%}"
        f"{', best so far' if report.is_best else ''}"
    )
