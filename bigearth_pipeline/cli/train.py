"""The command `bep train`. Importing this file costs no more than click; the rest is imported when it runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bigearth_pipeline.cli.errors import reported
from bigearth_pipeline.cli.sections import SectionedCommand, section

if TYPE_CHECKING:
    from trainer.config.options import TrainConfig
    from trainer.runs.state import Result

_data, _augment, _model = section("Data"), section("Augmentation"), section("Model")
_optimisation, _run, _machine = section("Optimisation"), section("Run"), section("Machine")
_path = click.Path(path_type=Path)

_AUGMENTATION = ("turn", "crop", "gain", "offset", "band_dropout", "erase", "mixup", "cutmix")
"""Options that change one field of the augmentation's recipe."""


@click.command(cls=SectionedCommand)
@click.argument("data", metavar="[DIR]", type=_path, required=False)
@_run("--out", metavar="RUN", type=_path, help="New folder for the run.")
@_run("--resume", metavar="RUN", type=_path, help="Go on with a run where its last state was saved.")
@_run(
    "--recipe", type=click.Choice(["reben"]), help="Settings of a published result; options given beside it go first."
)
@_run("--epochs", default=10, show_default=True, type=click.IntRange(1), help="Passes over the train split.")
@_run("--max-steps", type=click.IntRange(1), help="End after so many steps, whatever the epochs.")
@_run("--max-minutes", type=float, help="Stop after so many minutes, to be resumed.")
@_run("--patience", type=click.IntRange(1), help="End after so many epochs without a better validation score.")
@_run("--seed", default=0, show_default=True, type=int, help="Seed of weights, order and augmentation.")
@_run("--test", is_flag=True, help="Evaluate the best checkpoint on the test split at the end.")
@_run("--save-minutes", default=10.0, show_default=True, help="Minutes between two saved states within an epoch.")
@_run("--save-steps", type=click.IntRange(1), help="Also save the state every so many steps.")
@_run("--json", "as_json", is_flag=True, help="Print the final metrics as JSON instead of tables.")
@_data("--bands", default="all", show_default=True, metavar="SET|NAMES",
       help="all, s2-10, rgb, rgb-nir, rgb-swir, or names such as B04,B03,B02; in channel order.")  # fmt: skip
@_data(
    "--where", metavar="SQL", help="Only patches for which this holds, as \"country = 'Ireland' and month in (6, 7)\"."
)
@_data("--fraction", type=float, help="Use this share of the train split, chosen class by class.")
@_data("--patches", metavar="FILE", type=_path, help="Only patches whose names are in this file.")
@_data("--normalise", default="standard", show_default=True, type=click.Choice(["standard", "percentile"]),
       help="By mean and standard deviation, or from the 2nd to the 98th percentile to 0…1.")  # fmt: skip
@_data("--interpolation", default="nearest", show_default=True, type=click.Choice(["nearest", "bilinear"]),
       help="How bands at 20 m and 60 m are brought to 10 m, for networks that want them so.")  # fmt: skip
@_data("--order", default="auto", show_default=True, type=click.Choice(["auto", "global", "block"]),
       help="Exact shuffle, or windows of whole shards; auto takes block for network file systems.")  # fmt: skip
@_data("--verify", is_flag=False, flag_value="always", default="first", show_default=True,
       type=click.Choice(["first", "always", "never"]),
       help="Compare each record with its checksum: when a run first reads it, or every time.")  # fmt: skip
@_augment("--augment", default="standard", show_default=True,
          type=click.Choice(["none", "flips", "standard", "strong"]),
          help="Recipe; the options below change parts of it.")  # fmt: skip
@_augment("--turn", type=click.Choice(["none", "flips", "d4"]), help="Mirroring, or all flips and right-angle turns.")
@_augment("--crop", type=click.Choice(["none", "pad", "resized"]), help="Shift by up to 120 m, or enlarge a part.")
@_augment("--gain", type=float, help="Amplitude of a factor for each band.")
@_augment("--offset", type=float, help="Amplitude of an addition to each band, in standard deviations.")
@_augment("--band-dropout", type=float, help="Probability with which a band is blanked.")
@_augment("--erase", type=float, help="Probability with which a box of the patch is blanked.")
@_augment("--mixup", type=float, help="Alpha of MixUp; 0 for none.")
@_augment("--cutmix", type=float, help="Alpha of CutMix; 0 for none.")
@_model("--model", default="bepnet-s", show_default=True, help="bepnet-s, bepnet-m, bepnet-l, or any network of timm.")
@_model("--pretrained", is_flag=True, help="Begin with the weights that timm publishes; bands by name.")
@_model("--weights", metavar="FILE", type=_path, help="Begin with the weights of a file, ours or timm's.")
@_model("--weights-bands", metavar="PRESET|NAMES",
        help="What the channels of that file are, if it does not say: reben-s2-v0.2.0, reben-all-v0.2.0, "
        "reben-s2-v0.1.1, reben-all-v0.1.1, configilm-s2, configilm-all, s2-l1c, s2-l2a, rgb, or names such as "
        "VV,VH,B02,B03.")  # fmt: skip
@_model("--weights-classes", type=click.Choice(["alphabetical", "paper", "none"]),
        help="Order of its 19 classes, if it does not say; none leaves its classifier out.")  # fmt: skip
@_model("--drop-rate", default=0.0, show_default=True, help="Dropout before the classifier.")
@_model("--drop-path-rate", default=0.0, show_default=True, help="Stochastic depth.")
@_model("--ema", type=float, help="Decay of a moving average of the weights, which is then what is evaluated.")
@_model("--allow-mixed-version", is_flag=True, help="Take weights trained on the other version of BigEarthNet.")
@_optimisation("--batch-size", default=256, show_default=True, type=click.IntRange(1),
               help="Patches of a step, over all processes.")  # fmt: skip
@_optimisation("--accumulate", default=1, show_default=True, type=click.IntRange(1),
               help="Parts that a step is computed in, to save memory.")  # fmt: skip
@_optimisation("--optimizer", default="adamw", show_default=True, type=click.Choice(["adamw", "sgd", "lamb"]))
@_optimisation("--lr", default=1e-3, show_default=True, type=float, help="Highest learning rate.")
@_optimisation("--weight-decay", default=0.01, show_default=True, type=float)
@_optimisation("--decay", default="weights", show_default=True, type=click.Choice(["weights", "all"]),
               help="What decays: weights, or norms and biases too.")  # fmt: skip
@_optimisation("--momentum", default=0.9, show_default=True, type=float, help="Momentum of SGD.")
@_optimisation("--clip", type=float, help="Highest norm of the gradients.")
@_optimisation("--schedule", default="cosine", show_default=True, type=click.Choice(["cosine", "constant", "step"]))
@_optimisation("--warmup-steps", type=click.IntRange(0),
               help="Steps up to the highest learning rate.  [default: 1000, or a tenth of a shorter run]")  # fmt: skip
@_optimisation("--step-epochs", default=30, show_default=True, type=click.IntRange(1),
               help="Epochs between two steps of --schedule step.")  # fmt: skip
@_optimisation("--step-gamma", default=0.1, show_default=True, type=float, help="Factor of each of them.")
@_optimisation("--loss", default="bce", show_default=True, type=click.Choice(["bce", "asymmetric", "focal"]))
@_optimisation("--label-smoothing", default=0.0, show_default=True, type=float)
@_optimisation("--positive-weights", is_flag=True, help="Weight positive labels by their rarity in the train split.")
@_optimisation("--max-positive-weight", default=10.0, show_default=True, type=float, help="Highest of these weights.")
@_machine("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@_machine("--precision", default="auto", show_default=True, type=click.Choice(["auto", "bf16", "fp16", "fp32"]),
          help="auto: bf16 on a GPU, fp32 on a CPU.")  # fmt: skip
@_machine("--compile", is_flag=False, flag_value="default",
          type=click.Choice(["default", "reduce-overhead", "max-autotune", "cuda-graph"]),
          help="Compile the network. Two modes record CUDA graphs; cuda-graph records steps uncompiled.")  # fmt: skip
@_machine("--loader", default="auto", show_default=True,
          type=click.Choice(["auto", "dali", "numba", "torch", "triton"]),
          help="What prepares the batches; a resumed run keeps it unless given anew.")  # fmt: skip
@_machine("--cache", default="none", show_default=True, type=click.Choice(["none", "ram", "gpu", "auto"]),
          help="Keep records in memory: the host's or the GPU's.")  # fmt: skip
@_machine("--threads", type=click.IntRange(1), help="Decode threads of a process.  [default: the cores, shared out]")
@_machine("--map/--no-map", "mapped", default=True, show_default=True,
          help="Decode shards on a tmpfs where they lie. If one is cut off, that ends the process.")  # fmt: skip
@click.pass_context
def train(context: click.Context, /, **options: Any) -> None:
    """Train a CNN on the shards in DIR.

    RUN receives config.json, metrics.jsonl (a line for each epoch), TensorBoard events, checkpoints/last.pt (to resume)
    and checkpoints/best.pt (the highest macro average precision on the validation split); with --test also
    metrics-test.json. Ctrl-C saves the state and stops.

    Several GPUs: torchrun --nproc-per-node 8 -m bigearth_pipeline train DIR --out RUN
    """
    as_json = options.pop("as_json")
    # A command that calls this one gives all options, and no source.
    given = {name for name in options if context.get_parameter_source(name) not in (None, ParameterSource.DEFAULT)}
    with reported():
        from shards.reporting import RESULTS_KEPT

        result, folder = _train(options, given)
    context.meta[RESULTS_KEPT] = True
    if result is None:
        return
    _print(result, folder, as_json)
    if result.stopped_by is not None and result.stopped_by.name == "SIGNAL":
        context.exit(130)


def _train(options: dict[str, Any], given: set[str]) -> "tuple[Result | None, Path]":
    """Run and return the result, None for a process of the run that has nothing to say."""
    import os

    from bigearth_pipeline.cli.display.console import Console
    from bigearth_pipeline.cli.display.training import open_progress
    from trainer.training import start

    resume, is_first = options.pop("resume"), os.environ.get("RANK", "0") == "0"
    with open_progress(Console(stderr=True), quiet=not is_first) as progress:
        if resume is not None:
            changes = {name: options[name] for name in given - {"resume"} if options.get(name) is not None}
            result, folder = start.resume(resume, progress, **changes), resume
        else:
            config = _config(options, given)
            result, folder = start.train(config, progress, _named(given)), config.out
    return (result if is_first else None), folder


def _config(options: dict[str, Any], given: set[str]) -> "TrainConfig":
    from dataclasses import replace

    from shards.errors import InvalidValue
    from trainer.config.options import RUN_RECIPES, TrainConfig
    from trainer.data.augment.recipe import RECIPES
    from trainer.data.bands import BandSelection

    for name, what in (("data", "the folder of the shards, DIR"), ("out", "a folder for the run, --out RUN")):
        if options[name] is None:
            raise InvalidValue(f"{what}, is missing")
    recipe = options.pop("recipe")
    parts = {name: options.pop(name) for name in _AUGMENTATION}
    options["augmentation"] = RECIPES[options.pop("augment")]
    options["bands"] = BandSelection.parse(options["bands"]).names
    if recipe is not None:
        taken = given | ({"augmentation"} if "augment" in given else set())
        options |= {name: value for name, value in RUN_RECIPES[recipe].items() if name not in taken}
    changes = {name: value for name, value in parts.items() if value is not None}
    options["augmentation"] = replace(options["augmentation"], **changes)
    return TrainConfig(**options)


def _named(given: set[str]) -> set[str]:
    """Return the names that options have in the configuration."""
    return {"augmentation" if name == "augment" else name for name in given}


def _print(result: "Result", folder: Path, as_json: bool) -> None:
    from bigearth_pipeline.cli.display.console import echo
    from bigearth_pipeline.cli.display.metrics import print_metrics
    from shards.reporting import printable
    from trainer.runs import folder as run_folder

    stopped = result.stopped_by
    if as_json:
        splits = {
            "validation": result.validation and result.validation.to_json(),
            "test": result.test and (result.test_about or {}) | result.test.to_json(),
        }
        finished = {"run": str(folder), "finished": stopped is None, "best_epoch": result.best_epoch}
        click.echo(json.dumps(finished | splits, ensure_ascii=False))
    else:
        for name, metrics in (("validation", result.validation), ("test", result.test)):
            if metrics is not None:
                print_metrics(f"{name}, epoch {result.best_epoch}", metrics)
        if result.best_epoch is not None:
            echo(f"best checkpoint: {folder / run_folder.BEST}")
    if stopped is not None:
        # Last, so that no table hides it.
        why = "Interrupted" if stopped.name == "SIGNAL" else "The time is up"
        click.echo(f"{why}: the state is saved; resume with: bep train --resume {printable(str(folder))}", err=True)
