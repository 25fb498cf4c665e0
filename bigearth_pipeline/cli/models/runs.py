"""`bep runs`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from trainer.history.record import RunRecord

_NAME: Final = 24
"""Characters to which names of runs are wrapped where scores would have no room."""


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--where", metavar="SQL",
              help="List only runs for which an expression is true, such as \"optimisation.lr < 0.01\".")  # fmt: skip
@click.option("--sort", metavar="SQL", default="-validation.ap_macro", show_default=True,
              help="Sort by an expression; with a leading - from the highest to the lowest.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the runs as JSON, with all options.")
def runs(folder: Path, where: str | None, sort: str, as_json: bool) -> None:
    """List the runs in FOLDER and below: options, progress, scores, speed.

    \b
    Expressions may use the columns
      name, state (finished, running, stopped), parameters, device, epoch,
      best_epoch, train_loss, seconds, patches_per_second, wait_share,
      validation.X and test.X with X one of loss, ap_macro, ap_micro,
      auroc_macro, f1_macro, f1_micro, patches,
    and every option by its table, as in RUN/config.toml: optimisation.lr,
    model.model, data.bands.

    Runs whose scores are of other patches, labels or classes have a table of their own, for such scores do not
    compare; in JSON, runs whose scores compare share scored_on. Scores are those of the best epoch, as
    percentages; F1 is at the thresholds tuned on the validation split, so validation.f1_macro and
    validation.f1_micro are too high for other patches.
    """  # noqa: D301
    from bigearth_pipeline.cli.errors import reported

    with reported():
        import json

        from bigearth_pipeline.cli.display.console import echo, notes_console, print_table
        from trainer.history.find import find
        from trainer.history.query import query

        console = notes_console()
        found = find(folder, lambda text: console.print(text, soft_wrap=True))
        chosen = query(found, where, sort)
        if as_json:
            click.echo(json.dumps([record.to_json() for record in chosen]))
        elif not chosen:
            echo(
                f"no run in {folder}" if not found else f"none of the {len(found)} runs in {folder} meets the condition"
            )
        else:
            for table in _tables(chosen, folder):
                print_table(table)


def _tables(records: "Sequence[RunRecord]", folder: Path) -> "Iterator[Table]":
    """Yield a table for each group of runs whose scores compare."""
    from trainer.history.groups import grouped, scored_words

    groups = grouped(records)
    for number, group in enumerate(groups, 1):
        title = f"runs in {folder}"
        if len(groups) > 1:
            title += (
                f", {number} of {len(groups)} groups whose scores do not compare:\nscores of {scored_words(group[0])}"
            )
        yield _table(group, title, folder)


def _table(records: "Sequence[RunRecord]", title: str, folder: Path) -> "Table":
    from bigearth_pipeline.cli.display.console import output_width, percent
    from bigearth_pipeline.cli.display.fitting import Column, fitting_table

    facts = [record.to_json() for record in records]

    def numbers(heading: str, importance: int, *path: str, unit: float = 1, form: str) -> Column:
        values = [_at(fact, path) for fact in facts]
        return Column(heading, ["" if v is None else f"{v / unit:{form}}" for v in values], importance)

    def scores(heading: str, importance: int, split: str, score: str) -> Column:
        return Column(heading, [percent(fact[split][score], absent="") for fact in facts], importance)

    columns = [
        Column("run", [_name(record.folder, folder) for record in records], is_number=False, least=_NAME),
        Column("model", [record.config.model.model for record in records], 90, is_number=False),
        Column("state", [record.state for record in records], 92, is_number=False),
        Column("epochs", [f"{f['epoch']}/{f['optimisation']['epochs']}" for f in facts], 80),
        numbers("best\nepoch", 20, "best_epoch", form=".0f"),
        scores("validation\nAP macro", 100, "validation", "ap_macro"),
        scores("validation\nAP micro", 30, "validation", "ap_micro"),
        scores("test\nAP macro", 95, "test", "ap_macro"),
        scores("test\nAP micro", 50, "test", "ap_micro"),
        scores("test\nF1 macro", 40, "test", "f1_macro"),
        scores("test\nAUROC", 12, "test", "auroc_macro"),
        numbers("million\nparameters", 35, "parameters", unit=1e6, form=".1f"),
        Column("bands", [str(len(record.config.data.bands)) for record in records], 15),
        numbers("learning\nrate", 45, "optimisation", "lr", form="g"),
        numbers("batch\nsize", 25, "optimisation", "batch_size", form=".0f"),
        numbers("minutes", 60, "seconds", unit=60, form=",.1f"),
        numbers("patches/s", 55, "patches_per_second", form=",.0f"),
        numbers("loader\nwait, %", 10, "wait_share", unit=0.01, form=".1f"),
    ]
    return fitting_table(title, columns, output_width())


def _name(run: Path, folder: Path) -> str:
    inside = run.relative_to(folder)
    return str(inside) if inside.parts else str(folder)


def _at(values: Any, path: "Sequence[str]") -> Any:
    for name in path:
        values = values[name]
    return values
