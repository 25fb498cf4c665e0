"""Runs that differ in their seed alone: `bep train --seed 0-4`. Importing this file costs no more than click."""

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from rich.table import Table

    from trainer.config.given import Given
    from trainer.config.options import TrainConfig
    from trainer.history.record import RunRecord
    from trainer.runs.state import Result
    from trainer.runtime.progress import Progress

MOST_SEEDS: Final = 100
_SEEDS: Final = re.compile(r"\s*([0-9]{1,20})\s*(?:-\s*([0-9]{1,20})\s*)?")
_SCORES: Final = {
    "ap_macro": "AP macro",
    "ap_micro": "AP micro",
    "f1_macro": "F1 macro",
    "f1_micro": "F1 micro",
}
"""Scores of a table by name in `bep runs --json`, as percentages; F1 is at the tuned thresholds."""


class SeedType(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A seed, or a range of seeds such as `0-4`, which becomes a tuple."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return an integer or a tuple of integers."""
        if not isinstance(value, str):
            return value
        found = _SEEDS.fullmatch(value)
        if found is None:
            self.fail(f"{value!r:.60} is no seed, expected an integer from 0, or a range such as 0-4", param, ctx)
        first, last = int(found[1]), found[2]
        if last is None:
            return first
        count = int(last) + 1 - first
        if count < 1:
            self.fail(f"{value!r:.60} is reversed, expected the smaller seed first: {int(last)}-{first}", param, ctx)
        if count > MOST_SEEDS:
            self.fail(f"{value!r:.60} has {count} seeds, expected 1 to {MOST_SEEDS}", param, ctx)
        return tuple(range(first, first + count))


def train_seeds(
    seeds: tuple[int, ...], configured: "Callable[[int], tuple[TrainConfig, Given]]", progress: "Progress"
) -> "Result | list[RunRecord]":
    """Train a run for each seed in a folder of its own, `seed-N`, and return what their folders hold.

    A run that is finished is left as it is, and one that was stopped is resumed, if its options are the same.

    Args:
        seeds: of the runs.
        configured: from a seed to the options of its run; the folder of the runs is `run.out`.
        progress: receives the reports.

    Returns:
        The result of the run that was stopped, which ends all; else the records of all runs.

    Raises:
        InvalidValue: a folder holds a run with other options, or there are several processes.
        RunExists: the folder of the runs is a run or a store, or lies in one.
        BepError: a run cannot be trained.
        OSError: a file cannot be read or written.
    """
    from shards.errors import InvalidValue
    from trainer.history.record import RunRecord
    from trainer.runs.beginning import check_place
    from trainer.runs.folder import LAST
    from trainer.training import start

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InvalidValue("a range of `seed=` trains in one process; start torchrun for each seed")
    planned = []
    check_place(configured(seeds[0])[0].run.out)
    for seed in seeds:
        config, given = configured(seed)
        config = config.replace(out=config.run.out / f"seed-{seed}")
        if (config.run.out / LAST).exists():
            _check_same(config, RunRecord.read(config.run.out).config)
        planned.append((config, given))
    for number, (config, given) in enumerate(planned, 1):
        out = config.run.out
        begun = (out / LAST).exists()
        is_done = begun and _is_done(RunRecord.read(out))
        progress.say(f"run {number} of {len(planned)}: {out}{', finished already' if is_done else ''}")
        if is_done:
            continue
        result = start.resume(out, progress) if begun else start.train(config, progress, given)
        if result.stopped_by is not None:
            return result
    return [RunRecord.read(config.run.out) for config, _ in planned]


def _is_done(record: "RunRecord") -> bool:
    """True if a run has ended, with its test results if it is to have some."""
    return record.state == "finished" and (not record.config.run.test or "test" in record.results)


def _check_same(config: "TrainConfig", found: "TrainConfig") -> None:
    """Check that a run that is there is the one that was asked for.

    Raises:
        InvalidValue: it has other options.
    """
    from shards.errors import InvalidValue
    from shards.reporting import shortened
    from trainer.definition.check import shown
    from trainer.definition.tables import RESUMABLE

    wanted, there = config.values(), found.values()
    other = [key for key in wanted if key not in RESUMABLE | {"run.out"} and wanted[key] != there[key]]
    if other:
        said = ", ".join(f"{key} {shown(there[key])}" for key in other)
        raise InvalidValue(
            f"{config.run.out} holds a run with {shortened(said, 300)}; name a new folder, or give the same options"
        )


def print_seeds(seeds: tuple[int, ...], records: "list[RunRecord]", folder: Path, *, as_json: bool) -> None:
    """Print the scores of runs, their mean and their standard deviation (n − 1) on stdout."""
    facts = [record.to_json() for record in records]
    if as_json:
        runs = [
            {"seed": seed, "run": fact["name"], "best_epoch": fact["best_epoch"]}
            | {split: fact[split] for split in ("validation", "test")}
            for seed, fact in zip(seeds, facts, strict=True)
        ]
        summary = {
            split: {score: _summary([fact[split][score] for fact in facts]) for score in ("loss", *_SCORES)}
            for split in ("validation", "test")
        }
        click.echo(json.dumps({"runs": runs, "summary": summary}, ensure_ascii=False))
        return
    from bigearth_pipeline.cli.display.console import print_table

    print_table(_table(seeds, facts, folder))


def _table(seeds: tuple[int, ...], facts: list[dict[str, Any]], folder: Path) -> "Table":
    from bigearth_pipeline.cli.display.console import output_width, percent
    from bigearth_pipeline.cli.display.fitting import Column, fitting_table
    from bigearth_pipeline.cli.display.metrics import TUNED_HERE

    columns = [Column("seed", [*map(str, seeds), "mean ± std"], is_number=False)]
    for importance, (split, score) in zip(range(100, 0, -1), _columns(facts), strict=False):
        values = [fact[split][score] for fact in facts]
        cells = [percent(value, absent="") for value in values]
        found = _summary(values)
        spread = "" if found["std"] is None else f" ± {100 * found['std']:.2f}"
        mean = "" if found["mean"] is None else f"{100 * found['mean']:.2f}{spread}"
        mark = "*" if split == "validation" and score.startswith("f1") else ""
        columns.append(Column(f"{split}\n{_SCORES[score]}{mark}", [*cells, mean], importance))
    table = fitting_table(f"runs in {folder}, %", columns, output_width())
    if any(column.heading.endswith("*") for column in columns):  # In the table, or named as left out of it.
        table.caption = "\n".join([TUNED_HERE, *filter(None, [str(table.caption or "")])])
    return table


def _columns(facts: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the scores that a run has, the most important first."""
    for score in _SCORES:
        for split in ("test", "validation"):
            if any(fact[split][score] is not None for fact in facts):
                yield split, score


def _summary(values: list[float | None]) -> dict[str, float | None]:
    """Return mean and standard deviation of values that are all known; None for what cannot be told."""
    from statistics import fmean, stdev

    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return {"mean": None, "std": None}
    return {"mean": fmean(known), "std": stdev(known) if len(known) > 1 else None}


def resume_hint(folder: Path) -> str:
    """Return the line that says how to continue runs that were stopped."""
    from shards.reporting import printable

    place = printable(shlex.quote(str(folder)))
    return f"the state is saved in {place}; the same command resumes it, and trains the seeds that are left"
