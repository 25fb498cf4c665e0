"""The command `bep evaluate`. Importing this file costs no more than click; the rest is imported when it runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bigearth_pipeline.cli.errors import reported
from bigearth_pipeline.cli.places import PLACE, Local
from bigearth_pipeline.cli.run_options import run_option
from trainer.definition.choices import TTAS
from trainer.definition.tables import OPTIONS

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
)
"""Options that say what the weights of others are; of a run all that is known."""


@click.command()
@click.argument("run", metavar="[RUN]", required=False, type=_path)
@click.option(
    "--split",
    help="Split to evaluate on.",
    default="test",
    show_default=True,
    type=click.Choice(["train", "validation", "test"]),
)
@click.option("--shards", metavar="DIR", type=PLACE, help="Shards to evaluate on.  [default: those of the run]")
@run_option("data.where")
@run_option("data.patches")
@click.option("--weights", metavar="FILE", type=_path,
              help="Evaluate published weights, a file or a folder, in place of a run.")  # fmt: skip
@run_option("model.model", help="Their network: bepnet-s, bepnet-m, bepnet-l, or any network of timm.",
            default="as config.json in their folder says")  # fmt: skip
@run_option("data.bands", help="Bands that the network takes; the weights must have filters for them.",
            default="those of --weights-bands, or of config.json")  # fmt: skip
@run_option("model.weights_bands", help="Channels of the weights, as for bep train.")
@run_option("model.weights_classes", help="Order of their 19 classes, if they do not name them.",
            type=click.Choice(["alphabetical", "paper"]))  # fmt: skip
@click.option("--statistics", metavar="FILE|published", type=_path,
              help="Mean and std by band: a JSON file, or published.  [default: the shards' train split]")  # fmt: skip
@run_option("data.interpolation")
@click.option(
    "--out", metavar="FILE", type=Local(), help="New file for the results of weights or of an export.  [default: none]"
)
@click.option("--checkpoint", metavar="FILE", type=_path,
              help="Another checkpoint: a path, or a name in RUN/checkpoints.  [default: best.pt]")  # fmt: skip
@click.option("--with", "ensemble", metavar="RUN", multiple=True, type=_path,
              help="Average the probabilities with those of this run; can be repeated.")  # fmt: skip
@click.option("--tta", default="none", show_default=True, type=click.Choice(TTAS),
              help="Average the probabilities over the eight flips and turns of each patch (d4).")  # fmt: skip
@run_option("optimisation.batch_size", help="Patches of a batch.", default="that of the run, or 256")
@run_option("machine.device", help="Device to evaluate on.")
@run_option("machine.threads", help="Decode threads.", default="the cores")
@run_option("machine.verify", help="Compare each record with its checksum: when it is first read, or every time.")
@run_option("machine.cache_dir")
@run_option("machine.cache_bytes")
@click.option("--map/--no-map", "mapped", default=None, help=OPTIONS["machine.mapped"].option.help)
@click.option("--allow-mixed-version", is_flag=True, help="Evaluate on the other version of BigEarthNet.")
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON instead of a table.")
def evaluate(run: Path | None, as_json: bool, **options: Any) -> None:
    """Evaluate on a split the best checkpoint of RUN, another one (--checkpoint), or the weights of a file.

    The results of a run are also written to RUN/metrics-SPLIT.json, or to RUN/metrics-SPLIT-DIGEST.json if they are of
    other patches than those that the run had of the split, averages (--with, --tta), or of another checkpoint.
    Thresholds are those that training tuned on the validation split; of several runs, their mean.

    With --weights, network and weights are used as they are published: each band must have filters, and the classifier
    rows for the 19 classes. Channels that are no band of Level-2A are dropped, as if all their pixels were the mean.
    """
    if run is None and options["weights"] is None:
        raise click.UsageError("Missing argument 'RUN', the folder of a run; or --weights FILE.")
    if run is not None and options["weights"] is not None:
        raise click.UsageError("RUN and --weights exclude each other.")
    with reported():
        from bigearth_pipeline.cli.display.console import echo, notes_console
        from bigearth_pipeline.cli.display.training import open_progress
        from shards.reporting import RESULTS_KEPT
        from trainer.runs.results import NotWritten

        try:
            with open_progress(notes_console()) as progress:
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

    if run is not None:
        for name in _OF_WEIGHTS:
            if options.pop(name) is not None:
                raise InvalidValue(f"--{name.replace('_', '-')} is for --weights; a run knows it")
        return evaluation.evaluate_run(evaluation.EvaluationConfig(run=run, **_given(options)), progress)
    for name, flag in (("ensemble", "--with"), ("checkpoint", "--checkpoint")):
        if options.pop(name):
            raise InvalidValue(f"{flag} is for a run, expected none beside --weights")
    if options["shards"] is None:
        raise InvalidValue("the shards to evaluate the weights on, --shards DIR, are missing")
    given = _given(options)
    if "bands" in given:
        given["bands"] = BandSelection.parse(given["bands"]).names
    config = weights_evaluation.WeightsEvaluationConfig(**given)
    return weights_evaluation.evaluate_weights(config, progress), config.out


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
