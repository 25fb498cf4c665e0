"""The command `bep evaluate`. Importing this file costs no more than click; the rest is imported when it runs."""

import json
from pathlib import Path

import click

from trainer.cli.errors import reported


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--split", default="test", show_default=True, type=click.Choice(["train", "validation", "test"]))
@click.option("--shards", "data", metavar="DIR", type=click.Path(path_type=Path),
              help="Shards to evaluate on.  [default: those of the run]")  # fmt: skip
@click.option("--where", metavar="SQL", help="Only patches for which this holds, as \"country = 'Ireland'\".")
@click.option("--patches", metavar="FILE", type=click.Path(path_type=Path), help="Only patches whose names are in it.")
@click.option("--batch-size", type=click.IntRange(1), help="Patches at a time.  [default: that of the run]")
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--threads", type=click.IntRange(1), help="Decode threads.  [default: the cores]")
@click.option("--verify", is_flag=False, flag_value="always", default="first", show_default=True,
              type=click.Choice(["first", "always", "never"]),
              help="Compare each record with its checksum: when it is first read, or every time.")  # fmt: skip
@click.option("--map/--no-map", "mapped", default=True, show_default=True,
              help="Decode shards on a tmpfs where they lie. If one is cut off, that ends the process.")  # fmt: skip
@click.option("--allow-mixed-version", is_flag=True, help="Evaluate on the other version of BigEarthNet.")
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON instead of a table.")
def evaluate(run: Path, as_json: bool, **options: object) -> None:
    """Evaluate the best checkpoint of RUN on a split.

    The results are also written to RUN/metrics-SPLIT.json. Thresholds are those that training tuned on the validation
    split.
    """
    with reported():
        from trainer.cli.results import print_results
        from trainer.cli.terminal import Console, echo
        from trainer.training.display import open_progress
        from trainer.training.evaluation import EvaluationConfig, evaluate_run

        with open_progress(Console(stderr=True)) as progress:
            found = evaluate_run(EvaluationConfig(run=run, **options), progress)  # type: ignore[arg-type]
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    print_results(f"{options['split']}, epoch {found.epoch}", found.metrics)
    echo(f"written to {found.path}")
