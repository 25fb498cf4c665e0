"""Progress of training and evaluation: a bar on a terminal, a line every ten seconds elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bigearth_pipeline.cli.display.console import Console, LineClock, percent
from bigearth_pipeline.cli.errors import with_flags
from shards.text.words import percentage, rate
from trainer.runtime.progress import EpochReport, Phase, Progress, Silent, StepReport


@contextmanager
def open_progress(console: Console, *, quiet: bool = False) -> Iterator[Progress]:
    """Show progress on a console, or nowhere, while the block runs."""
    if quiet:
        yield Silent()
        return
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

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(with_flags(text), soft_wrap=True)

    def epoch(self, report: EpochReport) -> None:
        """Print the line of an epoch above the bar."""
        self._bar.console.print(_epoch_line(report), soft_wrap=True)


class Lines:
    """A line for each epoch, and one about steps every ten seconds in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._line = LineClock()

    def step(self, report: StepReport) -> None:
        """Print a line if one is due."""
        if self._line.is_due():
            self._print(f"{_title(report.phase)} step {report.step}/{report.num_steps}: {_state(report)}")

    def say(self, text: str) -> None:
        """Print a line."""
        self._print(with_flags(text))

    def epoch(self, report: EpochReport) -> None:
        """Print the line of an epoch."""
        self._print(_epoch_line(report))

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


def _title(phase: Phase) -> str:
    return f"epoch {phase.epoch}/{phase.num_epochs} {phase.split}" if phase.num_epochs else phase.split


def _state(report: StepReport) -> str:
    loss = "" if report.loss is None else f"loss {report.loss:.4f}, "
    return loss + _speed(report).removeprefix(", ")


def _speed(report: StepReport | None) -> str:
    if report is None:
        return ""
    return f", {rate(report.patches_per_second)} patches/s, loader wait {percentage(report.wait_share)}"


def _epoch_line(report: EpochReport) -> str:
    validation = report.validation
    if validation is None:
        epoch = f"epoch {report.phase.epoch}/{report.phase.num_epochs}: loss {report.train_loss:.4f}"
        return f"{epoch}, not validated{_speed(report.speed)}"
    return (
        f"epoch {report.phase.epoch}/{report.phase.num_epochs}: loss {report.train_loss:.4f}, "
        f"validation AP macro {percent(validation.ap_macro)} micro {percent(validation.ap_micro)} "
        f"(guessing: {percent(validation.label_frequency)}, {percent(validation.label_frequency_micro)})"
        f"{_speed(report.speed)}{', best so far' if report.is_best else ''}"
    )
