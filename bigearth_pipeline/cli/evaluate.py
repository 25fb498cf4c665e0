"""The command `bep evaluate`. Importing this file costs no more than click; the rest is imported when it runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bigearth_pipeline.cli.errors import reported

if TYPE_CHECKING:
    from trainer.runs.results import Evaluation
    from trainer.runtime.progress import Progress

_path = click.Path(path_type=Path)
_OF_WEIGHTS: Final = (
    "weights",
    "model",
    "bands",
    "weights_bands",
    "weights_classes",
    "statistics",
    "interpolation",
    "out",
)
"""Options that say what the weights of others are; of a run all that is known."""


@click.command()
@click.argument("run", metavar="[RUN]", required=False, type=_path)
@click.option("--split", default="test", show_default=True, type=click.Choice(["train", "validation", "test"]))
@click.option("--shards", "data", metavar="DIR", type=_path, help="Shards to evaluate on.  [default: those of the run]")
@click.option("--where", metavar="SQL", help="Only patches for which this holds, as \"country = 'Ireland'\".")
@click.option("--patches", metavar="FILE", type=_path, help="Only patches whose names are in it.")
@click.option("--weights", metavar="FILE", type=_path, help="Evaluate published weights in place of a run.")
@click.option("--model", help="Their network: bepnet-s, bepnet-m, bepnet-l, or any network of timm.")
@click.option("--bands", metavar="SET|NAMES", help="Bands that the network is to see; the weights must know them.")
@click.option("--weights-bands", metavar="PRESET|NAMES",
              help="What the channels of the weights are, as for bep train.")  # fmt: skip
@click.option("--weights-classes", type=click.Choice(["alphabetical", "paper"]),
              help="Order of their 19 classes, if they do not say.")  # fmt: skip
@click.option("--statistics", metavar="FILE", type=_path,
              help="JSON with mean and std by band.  [default: those of the shards' train split]")  # fmt: skip
@click.option("--interpolation", type=click.Choice(["nearest", "bilinear"]),
              help="How bands at 20 m and 60 m are brought to 10 m for the weights.  [default: nearest]")  # fmt: skip
@click.option("--out", metavar="FILE", type=_path, help="New file for the results of the weights.  [default: none]")
@click.option("--batch-size", type=click.IntRange(1), help="Patches at a time.  [default: that of the run, or 256]")
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--threads", type=click.IntRange(1), help="Decode threads.  [default: the cores]")
@click.option("--verify", is_flag=False, flag_value="always", default="first", show_default=True,
              type=click.Choice(["first", "always", "never"]),
              help="Compare each record with its checksum: when it is first read, or every time.")  # fmt: skip
@click.option("--map/--no-map", "mapped", default=True, show_default=True,
              help="Decode shards on a tmpfs where they lie. If one is cut off, that ends the process.")  # fmt: skip
@click.option("--allow-mixed-version", is_flag=True, help="Evaluate on the other version of BigEarthNet.")
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON instead of a table.")
def evaluate(run: Path | None, as_json: bool, **options: Any) -> None:
    """Evaluate the best checkpoint of RUN on a split, or the weights of a file.

    The results of a run are also written to RUN/metrics-SPLIT.json, or to RUN/metrics-SPLIT-DIGEST.json if they are of
    other patches than those that the run had of the split. Thresholds are those that training tuned on the validation
    split.

    With --weights, network and weights are used as they are published: each band must have filters, and the classifier
    rows for the 19 classes. Channels that are no band of ours are dropped, which is what their mean gives.
    """
    with reported():
        from bigearth_pipeline.cli.display.console import Console, echo
        from bigearth_pipeline.cli.display.training import open_progress
        from shards.reporting import RESULTS_KEPT
        from trainer.runs.results import NotWritten

        try:
            with open_progress(Console(stderr=True)) as progress:
                found, path = _evaluate(run, options, progress)
        except NotWritten as err:
            _print(err.evaluation, as_json=as_json)
            raise
        click.get_current_context().meta[RESULTS_KEPT] = path is not None
        _print(found, as_json=as_json)
        if path is not None and not as_json:
            echo(f"written to {path}")


def _print(found: "Evaluation", *, as_json: bool) -> None:
    from bigearth_pipeline.cli.display.metrics import print_metrics

    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    epoch = "" if found.epoch is None else f", epoch {found.epoch}"
    print_metrics(f"{found.about['split']}{epoch}", found.metrics)


def _evaluate(run: Path | None, options: dict[str, Any], progress: "Progress") -> "tuple[Evaluation, Path | None]":
    """Evaluate a run or weights; return the results and the file that holds them."""
    from shards.errors import InvalidValue
    from trainer.data.bands import BandSelection
    from trainer.evaluation import run as evaluation
    from trainer.evaluation import weights as weights_evaluation

    if (run is None) == (options["weights"] is None):
        raise InvalidValue("expected either the folder of a run, RUN, or a file of --weights")
    if run is not None:
        for name in _OF_WEIGHTS:
            if options.pop(name) is not None:
                raise InvalidValue(f"--{name.replace('_', '-')} is for --weights; a run knows it")
        return evaluation.evaluate_run(evaluation.EvaluationConfig(run=run, **options), progress)
    if options["data"] is None:
        raise InvalidValue("the shards to evaluate the weights on, --shards DIR, are missing")
    given = {name: value for name, value in options.items() if value is not None}
    if "bands" in given:
        given["bands"] = BandSelection.parse(given["bands"]).names
    config = weights_evaluation.WeightsEvaluationConfig(**given)
    return weights_evaluation.evaluate_weights(config, progress), config.out
