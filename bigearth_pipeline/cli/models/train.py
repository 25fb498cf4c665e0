"""The command `bep train`. Importing this file costs no more than click; the rest is imported when it runs."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigearth_pipeline.cli.errors import interrupted, reported
from bigearth_pipeline.cli.models.seeds import SeedType
from bigearth_pipeline.cli.places import PLACE
from bigearth_pipeline.cli.run_options import RunCommand, run_flags
from bigearth_pipeline.cli.sections import section
from trainer.definition.tables import AUGMENT, KEYS

if TYPE_CHECKING:
    from trainer.config.assemble import Setting
    from trainer.runs.state import Result
    from trainer.runtime.progress import Progress

_run = section("Run")
_path = click.Path(path_type=Path)


@click.command(cls=RunCommand)
@click.argument("shards", metavar="[DIR]", type=PLACE, required=False)
@_run("--resume", metavar="RUN", type=_path, help="Resume a run where its last state was saved.")
@_run("--config", "file", metavar="FILE", type=_path, help="Take options from a TOML file, such as RUN/config.toml.")
@_run("--recipe", type=click.Choice(["reben", "reben-exact"]),
      help="Take the options of a published result: the BigEarthNet v2.0 ResNet-50 (Clasen et al., 2024); reben-exact "
      "has its precision, seed and statistics, too.")  # fmt: skip
@_run("--set", "assignments", metavar="TABLE.NAME=VALUE", multiple=True,
      help="Set any option, flag or not; VALUE as in TOML, words without quotes. Repeat it for more.")  # fmt: skip
@_run("--json", "as_json", is_flag=True, help="Print the final metrics as JSON instead of tables.")
@run_flags(seed={
    "type": SeedType(), "metavar": "SEED|A-B",
    "help": "Seed of weights, order and augmentation; A-B trains a run for each seed from A to B, in RUN/seed-A, ….",
})  # fmt: skip
@click.pass_context
def train(context: click.Context, /, **options: Any) -> None:
    """Train a CNN on the shards in DIR.

    Options come from four layers, each of which overrides the one before: defaults, --recipe, the file of --config,
    and the command line, that is flags and --set. In the file, --lr is lr in the table [optimisation], and so on. An
    option that has no effect in the run is refused, unless it only repeats what defaults or the recipe say.

    RUN receives config.toml (all options; `bep train --config RUN/config.toml --out OTHER` repeats the run),
    description.json, metrics.jsonl (a line for each epoch), TensorBoard events, checkpoints/last.pt (to resume) and
    checkpoints/best.pt (the best score on the validation split, see run.monitor); with --test also
    metrics-test.json. Ctrl-C saves the state and stops.

    With --seed 0-4 a table of the scores of all runs follows, with mean and standard deviation. Finished runs are left
    as they are when the command is given again, and a stopped one is resumed.

    Several GPUs: torchrun --nproc-per-node 8 -m bigearth_pipeline train DIR --out RUN
    """
    as_json = options.pop("as_json")
    if isinstance(options["seed"], tuple):
        _train_seeds(context, options, as_json=as_json)
        return
    with reported():
        from shards.reporting import RESULTS_KEPT

        result, folder = _train(options)
    context.meta[RESULTS_KEPT] = True
    if result is None:
        return
    _print(result, folder, as_json)
    if result.stopped_by is not None and result.stopped_by.name == "SIGNAL":
        context.exit(130)


def settings_of(options: dict[str, Any]) -> "list[Setting]":
    """Return the options that the command line gives: by their flags, and by `--set` as `assignments`.

    Raises:
        InvalidValue: an assignment is none of an option.
    """
    from trainer.config.assemble import Setting

    values = {name: value for name, value in options.items() if name != "assignments" and value not in (None, False)}
    flags = [Setting(AUGMENT if name == "augment" else KEYS[name], value, "flag") for name, value in values.items()]
    return flags + [Setting.parse(text) for text in options.get("assignments") or ()]


def _train(options: dict[str, Any]) -> "tuple[Result | None, Path]":
    """Run and return the result, None for a process of the run that has nothing to say."""
    import os

    from bigearth_pipeline.cli.display.console import notes_console
    from bigearth_pipeline.cli.display.training import open_progress
    from trainer.config.assemble import assemble
    from trainer.training import start

    resume, file, recipe = (options.pop(name) for name in ("resume", "file", "recipe"))
    is_first = os.environ.get("RANK", "0") == "0"
    with open_progress(notes_console(), quiet=not is_first) as progress:
        settings = settings_of(options)
        if resume is None and file is None:
            _check_complete({setting.key for setting in settings})
        if resume is None:
            config, given = assemble(settings, file=file, recipe=recipe)
            result, folder = start.train(config, progress, given), config.run.out
        else:
            result, folder = _resume(resume, settings, {"--config": file, "--recipe": recipe}, progress), resume
    return (result if is_first else None), folder


def _train_seeds(context: click.Context, options: dict[str, Any], *, as_json: bool) -> None:
    """Train a run for each seed, and print their scores."""
    with reported():
        from bigearth_pipeline.cli.display.console import notes_console
        from bigearth_pipeline.cli.display.training import open_progress
        from bigearth_pipeline.cli.models.seeds import print_seeds, resume_hint, train_seeds
        from shards.errors import InvalidValue
        from shards.reporting import RESULTS_KEPT
        from trainer.config.assemble import Setting, assemble

        resume, file, recipe, seeds = (options.pop(name) for name in ("resume", "file", "recipe", "seed"))
        if resume is not None:
            raise InvalidValue("--resume is for one run; the command that began runs of several seeds resumes them")
        settings = settings_of(options)
        if file is None:
            _check_complete({setting.key for setting in settings})
        with open_progress(notes_console()) as progress:
            found = train_seeds(
                seeds,
                lambda seed: assemble([*settings, Setting("run.seed", seed, "flag")], file=file, recipe=recipe),
                progress,
            )
        folder = assemble([*settings], file=file, recipe=recipe)[0].run.out
    context.meta[RESULTS_KEPT] = True
    if isinstance(found, list):
        print_seeds(seeds, found, folder, as_json=as_json)
        return
    is_signal = found.stopped_by is not None and found.stopped_by.name == "SIGNAL"
    then = resume_hint(folder)
    click.echo(interrupted(then) if is_signal else f"the time is up: {then}", err=True)
    if is_signal:
        context.exit(130)


def _check_complete(keys: set[str]) -> None:
    """Check that the command line names what a new run needs.

    Raises:
        UsageError: it does not.
    """
    if "data.shards" not in keys:
        raise click.UsageError("Missing argument 'DIR', the folder of the shards; or --config FILE, or --resume RUN.")
    if "run.out" not in keys:
        raise click.UsageError("Missing option '--out', a new folder for the run.")


def _resume(folder: Path, settings: "list[Setting]", layers: dict[str, Any], progress: "Progress") -> "Result":
    """Resume a run with other values of the options that may change."""
    from shards.errors import InvalidValue
    from trainer.config.assemble import changes_of
    from trainer.training import start

    if wrong := [flag for flag, value in layers.items() if value is not None]:
        raise InvalidValue(
            f"{' and '.join(wrong)} cannot be given with --resume: a run keeps its options; leave it out"
        )
    changes, given = changes_of(settings)
    return start.resume(folder, progress, given, **changes)


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
            last = result.validation is None
            which = f"checkpoint of the last epoch, {result.best_epoch}, not validated" if last else "best checkpoint"
            echo(f"{which}: {folder / run_folder.BEST}")
    if stopped is not None:
        # Last, so that no table hides it.
        then = f"the state is saved; resume with: bep train --resume {printable(shlex.quote(str(folder)))}"
        click.echo(interrupted(then) if stopped.name == "SIGNAL" else f"the time is up: {then}", err=True)
