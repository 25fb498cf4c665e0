"""The command `bep train`. Importing this file costs no more than click; the rest is imported when it runs."""

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("data", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="RUN", type=click.Path(path_type=Path), help="New folder for the run.")
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1), help="Passes over the train split.")
@click.option("--batch-size", default=256, show_default=True, type=click.IntRange(1), help="Patches of a step.")
@click.option("--lr", default=1e-3, show_default=True, type=float, help="Highest learning rate.")
@click.option("--weight-decay", default=0.01, show_default=True, type=float, help="Weight decay of AdamW.")
@click.option("--seed", default=0, show_default=True, type=int, help="Seed of weights, order and flips.")
@click.option("--threads", type=click.IntRange(1), help="Decode threads.  [default: one a core]")
@click.option("--verify", is_flag=True, help="Compare every record that is read with its checksum.")
@click.option("--test", is_flag=True, help="Evaluate the best checkpoint on the test split at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print the final metrics as JSON instead of tables.")
@click.pass_context
def train(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """Train a ResNet-18 on the shards in DIR.

    RUN receives config.json, metrics.jsonl (a line for each epoch) and checkpoint.pt, the weights with the highest
    macro average precision on the validation split; with --test also metrics-test.json.
    """
    try:
        _train(options, as_json)
    except KeyboardInterrupt:
        checkpoint = options["out"] / "checkpoint.pt"
        left = f"{checkpoint} holds the best epoch so far" if checkpoint.exists() else "no epoch was finished"
        click.echo(f"Interrupted: {left}.", err=True)
        context.exit(130)


def _train(options: dict[str, Any], as_json: bool) -> None:
    from rich.console import Console

    from shards import ShardError
    from trainer import loop
    from trainer.config import TrainConfig
    from trainer.display import metrics_table, open_progress
    from trainer.errors import TrainError
    from trainer.run_folder import CHECKPOINT

    try:
        config = TrainConfig(**options)
    except ValueError as err:
        raise click.ClickException(str(err)) from err
    try:
        with open_progress(Console(stderr=True)) as progress:
            result = loop.train(config, progress)
    except (ShardError, TrainError) as err:
        raise click.ClickException(str(err)) from err
    except OSError as err:
        if err.filename is None:
            raise
        raise click.ClickException(f"{err.filename}: {err.strerror}") from err
    if as_json:
        splits = {"validation": result.validation.to_json(), "test": result.test and result.test.to_json()}
        click.echo(json.dumps({"run": str(config.out), "best_epoch": result.best_epoch} | splits, ensure_ascii=False))
        return
    console = Console()
    console.print(metrics_table(f"validation, epoch {result.best_epoch}", result.validation))
    if result.test is not None:
        console.print(metrics_table(f"test, epoch {result.best_epoch}", result.test))
    console.print(f"best checkpoint: {config.out / CHECKPOINT}", soft_wrap=True, highlight=False)
