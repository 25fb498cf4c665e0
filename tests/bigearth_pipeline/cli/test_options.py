"""Every option of `bep train`, `bep evaluate` and `bep bench`: it has an effect, or is refused by name."""

import hashlib
import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.core import ParameterSource
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo import OptimizedModule

from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.bench.loader import bench_loader
from bigearth_pipeline.cli.bench.train import bench_train
from bigearth_pipeline.cli.evaluate import evaluate
from bigearth_pipeline.cli.train import _config, _named, train
from shards.errors import BepError
from tests.paths import ROOT
from trainer.config import effect
from trainer.config.options import TrainConfig
from trainer.runtime.progress import Silent
from trainer.runtime.ranks import open_ranks
from trainer.training.loop import Run
from trainer.training.session import open_session

BASE = {"--model": "test_resnet", "--batch-size": "4", "--max-steps": "2", "--device": "cpu", "--loader": "torch"}
STEP = {"--schedule": "step", "--step-epochs": "1"}


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is known about an option.

    Attributes:
        value: of the option, which makes another run than the same options without it.
        beside: what it goes with.
        refused: options with which it is refused, and what the message says that it goes with.
        shown_by: a test that shows its effect, where two steps do not.
    """

    value: str | None = None
    beside: dict[str, str | None] = field(default_factory=dict)
    refused: tuple[tuple[dict[str, str | None], str], ...] = ()
    shown_by: str = ""


LOOP, CLI = "trainer/training/test_loop.py", "bigearth_pipeline/cli/test_train.py"
NATIVE: dict[str, str | None] = {"--model": "bepnet-s"}
TRAIN = {
    "data": Option(shown_by=f"{LOOP}::test_a_run_goes_on_with_the_same_shards_only"),
    "out": Option(shown_by=f"{LOOP}::test_the_folder_of_a_run_is_complete"),
    "resume": Option(shown_by=f"{CLI}::test_a_signal_saves_the_state"),
    "recipe": Option(shown_by=f"{LOOP}::test_the_published_recipe_is_that_of_the_paper"),
    "epochs": Option(shown_by=f"{LOOP}::test_metrics_have_a_line_an_epoch"),
    "max_steps": Option(shown_by=f"{LOOP}::test_max_steps_ends_the_run"),
    "max_minutes": Option(shown_by=f"{LOOP}::test_max_minutes_stops_the_run"),
    "patience": Option(
        value="3",
        shown_by=f"{LOOP}::test_early_stopping",
        refused=(({"--epochs": "1"}, "--epochs 1"), ({"--epochs": "3"}, "--epochs 3")),
    ),
    "seed": Option(value="1"),
    "test": Option(shown_by=f"{CLI}::test_json_and_progress_are_apart"),
    "save_minutes": Option(shown_by="trainer/runs/test_run_folder.py::test_a_state_is_saved_within_an_epoch"),
    "save_steps": Option(shown_by="trainer/runs/test_run_folder.py::test_a_state_is_saved_within_an_epoch"),
    "as_json": Option(shown_by=f"{CLI}::test_json_and_progress_are_apart"),
    "bands": Option(value="rgb"),
    "where": Option(value="key != 'train_0'"),
    "fraction": Option(value="0.5"),
    "patches": Option(shown_by="trainer/data/subset/test_subset.py::test_conditions_combine_by_intersection"),
    "normalise": Option(value="percentile"),
    "interpolation": Option(
        value="bilinear",
        refused=(
            (NATIVE, "networks of timm or --crop resized"),
            (NATIVE | {"--interpolation": "nearest"}, "networks of timm"),
            ({"--bands": "rgb"}, "all --bands of this run are at 10 m"),
        ),
    ),
    "order": Option(value="block"),
    "mapped": Option(shown_by=f"{CLI}::test_damage_is_one_line"),
    "verify": Option(shown_by="trainer/data/test_loader.py::test_a_damaged_record_names_itself"),
    "augment": Option(value="none", refused=(({"--augment": "strong", "--batch-size": "1"}, "--batch-size 1"),)),
    "turn": Option(value="flips"),
    "crop": Option(value="resized"),
    "gain": Option(value="0.5"),
    "offset": Option(value="0.5"),
    "band_dropout": Option(value="0.5", refused=(({"--bands": "B02"}, "--bands B02"),)),
    "erase": Option(value="1"),
    "mixup": Option(value="1", refused=(({"--batch-size": "1"}, "--batch-size 1"),)),
    "cutmix": Option(value="1", refused=(({"--batch-size": "1"}, "--batch-size 1"),)),
    "model": Option(value="test_vit3"),
    "pretrained": Option(
        shown_by="trainer/models/test_timm_models.py::test_pretrained_weights",
        refused=((NATIVE, "no published weights of bepnet-s"),),
    ),
    "weights": Option(shown_by=f"{CLI}::test_the_other_version_needs_a_word"),
    "drop_rate": Option(value="0.5"),
    "drop_path_rate": Option(value="0.9", refused=(({"--model": "test_efficientnet"}, "test_efficientnet"),)),
    "ema": Option(value="0.5"),
    "weights_bands": Option(
        shown_by="trainer/models/test_published_weights.py::test_each_band_gets_the_filters_of_its_channel",
        refused=(({"--weights-bands": "rgb"}, "--weights"),),
    ),
    "weights_classes": Option(
        shown_by="trainer/models/test_published_weights.py::test_rows_of_the_classifier_go_by_class",
        refused=(({"--weights-classes": "paper"}, "--weights"),),
    ),
    "allow_mixed_version": Option(
        shown_by=f"{CLI}::test_the_other_version_needs_a_word", refused=(({}, "--weights FILE"),)
    ),
    "batch_size": Option(value="5"),
    "accumulate": Option(
        value="2",
        refused=(
            ({"--accumulate": "5"}, "--batch-size 4"),
            ({"--accumulate": "25", "--batch-size": "50"}, "24 patches of a step"),
        ),
    ),
    "optimizer": Option(value="sgd"),
    "lr": Option(value="0.1"),
    "weight_decay": Option(value="0.5"),
    "decay": Option(
        value="all", beside={"--weight-decay": "0.9"}, refused=(({"--weight-decay": "0"}, "--weight-decay"),)
    ),
    "momentum": Option(
        value="0.5",
        beside={"--optimizer": "sgd"},
        refused=(({}, "--optimizer sgd"), ({"--momentum": "0.9", "--optimizer": "lamb"}, "--optimizer sgd")),
    ),
    "clip": Option(
        value="0.001",
        beside={"--optimizer": "sgd"},
        refused=(({"--optimizer": "lamb", "--clip": "1"}, "--optimizer lamb"),),
    ),
    "schedule": Option(
        value="constant", beside={"--warmup-steps": "0"}, refused=(({"--schedule": "step"}, "--step-epochs 30"),)
    ),
    "warmup_steps": Option(value="1", refused=(({"--warmup-steps": "2"}, "the run has 2 steps"),)),
    "step_epochs": Option(
        value="1",
        beside={"--schedule": "step", "--epochs": "40", "--batch-size": "24"},
        refused=(({}, "--schedule step"), ({"--schedule": "constant"}, "--schedule step")),
    ),
    "step_gamma": Option(
        value="0.5",
        beside=STEP | {"--batch-size": "24"},
        refused=(({}, "--schedule step"), ({"--schedule": "cosine"}, "--schedule step")),
    ),
    "loss": Option(value="focal"),
    "label_smoothing": Option(value="0.5"),
    "positive_weights": Option(beside={}, refused=(({"--loss": "focal"}, "bce"),)),
    "max_positive_weight": Option(
        value="1.5", beside={"--positive-weights": None}, refused=(({}, "--positive-weights"),)
    ),
    "device": Option(shown_by="bigearth_pipeline/cli/test_options.py::test_no_gpu_is_one_line"),
    "precision": Option(value="bf16"),
    "compile": Option(value="default", refused=(({"--compile": "reduce-overhead"}, "need a GPU"),)),
    "loader": Option(value="numba"),
    "cache": Option(value="ram", refused=(({"--cache": "gpu"}, "there is none"),)),
    "threads": Option(value="3"),
}
"""The options of `bep train` by name of their parameter. A new one has to be put here."""

EVALUATE = {"run", "split", "data", "where", "patches", "batch_size", "device", "threads", "verify"}
EVALUATE |= {"allow_mixed_version", "as_json", "mapped", "weights", "model", "bands", "weights_bands"}
EVALUATE |= {"weights_classes", "statistics", "interpolation", "out"}
BENCH_LOADER = {"folders", "batch_size", "threads", "orders", "augment", "backend", "device", "patches", "repeats"}
BENCH_LOADER |= {"least_seconds", "plot", "as_json"}
BENCH_TRAIN = {"data", "model", "batch_size", "augment", "precision", "mode", "loader", "cache", "device", "threads"}
BENCH_TRAIN |= {"steps", "repeats", "least_seconds", "trace", "as_json"}


def flag_of(name: str) -> str:
    """Return an option as it is written."""
    return next(parameter for parameter in train.params if parameter.name == name).opts[0]


def spelled(options: dict[str, str | None]) -> list[str]:
    """Return options as a command line has them."""
    return [word for name, value in options.items() for word in ([name] if value is None else [name, value])]


def parse(arguments: list[str]) -> tuple[TrainConfig, set[str]]:
    """Return what the command makes of its arguments."""
    context = train.make_context("train", arguments)
    options = {name: value for name, value in context.params.items() if name not in ("as_json", "resume")}
    named = {name for name in options if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    return _config(options, named), _named(named)


def outcome(data: Path, out: Path, options: dict[str, str | None]) -> dict[str, Any]:
    """Return what a run of two steps depends on and comes to, but for its options themselves."""
    config, named = parse([str(data), "--out", str(out), *spelled(options)])
    effect.check(config, named)
    with (
        open_ranks(config.device) as ranks,
        open_session(config, ranks, Silent(), given=frozenset(named)) as session,
        Run(session, writes=False) as run,
    ):
        digest = hashlib.sha256()
        compiled = isinstance(run.stepper._forward, OptimizedModule)
        # Compiling takes a minute.
        while not compiled and run._first_step < 2:
            run.train_epoch()
            run.next_epoch()
        for model in (session.model, run.stepper.evaluated()):
            for value in model.state_dict().values():
                digest.update(value.numpy().tobytes())
        described = {k: v for k, v in session.describe().items() if k not in ("options", "bands", "model")}
        loader = {"backend": run.loader.backend, "cache": run.loader.config.cache}
        return described | loader | {"weights": digest.hexdigest(), "compiled": compiled}


def test_every_option_is_in_the_table() -> None:
    """A new option has no effect, or none where it is given, and nobody has looked."""
    assert {parameter.name for parameter in train.params} == TRAIN.keys()
    for command, names in ((evaluate, EVALUATE), (bench_loader, BENCH_LOADER), (bench_train, BENCH_TRAIN)):
        assert {parameter.name for parameter in command.params} == names
    for option in TRAIN.values():
        if option.shown_by:
            file, _, name = option.shown_by.partition("::")
            assert f"def {name}" in (ROOT / "tests" / file).read_text(), option.shown_by


@pytest.fixture(scope="module")
def outcomes(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that gives the outcome of options, each once."""
    known: dict[tuple[str, ...], dict[str, Any]] = {}
    out = tmp_path_factory.mktemp("options") / "run"

    def get(options: dict[str, str | None]) -> dict[str, Any]:
        key = tuple(spelled(BASE | options))
        if key not in known:
            known[key] = outcome(tiny, out, BASE | options)
        assert not out.exists()
        return known[key]

    return get


@pytest.mark.parametrize("name", [name for name, option in TRAIN.items() if not option.shown_by])
def test_an_option_has_an_effect(outcomes: Any, name: str) -> None:
    """An option that is taken does nothing."""
    option = TRAIN[name]
    assert outcomes(option.beside | {flag_of(name): option.value}) != outcomes(option.beside)


CASES = [(name, beside, says) for name, option in TRAIN.items() for beside, says in option.refused]


@pytest.mark.parametrize(("name", "beside", "says"), CASES, ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)])
def test_an_option_without_effect_is_refused(
    tiny: Path, tmp_path: Path, name: str, beside: dict[str, str | None], says: str
) -> None:
    """An option that is taken does nothing, and the user believes that it does."""
    flag, base = flag_of(name), {k: v for k, v in BASE.items() if k != "--loader"}
    options = base | {flag: TRAIN[name].value} | beside
    result = CliRunner().invoke(main, ["train", str(tiny), "--out", str(tmp_path / "run"), *spelled(options)])
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert result.stderr.count("\n") == 1
    # The message of older checks has the name of the field.
    assert flag in result.stderr or name in result.stderr or name == "pretrained"
    assert says in result.stderr
    assert not (tmp_path / "run").exists()


def test_what_a_recipe_says_is_not_refused(tiny: Path, tmp_path: Path) -> None:
    """The published recipe cannot be tried with another optimizer, or on a few patches."""
    config, named = parse([str(tiny), "--out", str(tmp_path), "--recipe", "reben", "--decay", "weights", "--lr", "1"])
    assert config.warmup_steps == 1000
    effect.check(config, named)
    effect.check_size(config, named, num_steps=3, largest_part=24, num_patches=24)


def test_python_callers_are_told_too(tiny: Path, tmp_path: Path) -> None:
    """What the command line refuses passes in silence from Python."""
    default = TrainConfig(data=tiny, out=tmp_path)
    assert not effect.changed(default) - {"data", "out"}
    effect.check(default, effect.changed(default))
    for wrong in ({"momentum": 0.5}, {"step_gamma": 0.5}, {"interpolation": "bilinear"}, {"max_positive_weight": 2.0}):
        config = TrainConfig(data=tiny, out=tmp_path, **wrong)  # type: ignore[arg-type]
        with pytest.raises(BepError, match=f"{effect.option(next(iter(wrong)))} has no effect"):
            effect.check(config, effect.changed(config))


NASTY = ["nan", "inf", "-inf", "-1", "0", "1e308", "1e-320", "1e400", str(10**12), str(10**18), str(2**63), "9" * 5000]
NASTY += ["", " ", "é", "\udcff", "\x1b[2J", ",", "B02,B02", "all,", "'", "a" * 5000, "none", "true", "../..", "1_000"]
FLAGS = [p.opts[0] for p in train.params if isinstance(p, click.Option) and p.name not in ("resume", "as_json", "data")]


@settings(max_examples=300, deadline=None)
@given(
    chosen=st.lists(st.tuples(st.sampled_from(FLAGS), st.sampled_from(NASTY)), min_size=1, max_size=4),
    data=st.sampled_from(NASTY),
)
def test_no_value_ends_in_a_traceback(chosen: list[tuple[str, str]], data: str) -> None:
    """A typing error shows a user the inside of the program."""
    is_flag = {p.opts[0] for p in train.params if isinstance(p, click.Option) and p.is_flag}
    words = [f"{flag}" if flag in is_flag else f"{flag}={value}" for flag, value in chosen]
    with suppress(BepError, click.ClickException):
        config, named = parse(["--out=run", *words, "--", data])
        effect.check(config, named)


WHOLE = [
    ({"--batch-size": str(2**31 - 1)}, 0),
    ({"--epochs": str(2**31 - 1)}, 0),
    ({"--threads": "1024"}, 0),
    ({"--seed": str(2**63 - 1)}, 0),
    ({"--lr": "1e-320", "--warmup-steps": "0"}, 0),
    ({"--max-minutes": "1e308"}, 0),
    ({"--where": ""}, 1),
    ({"--where": "'"}, 1),
    ({"--where": "\udcff"}, 1),
    ({"--fraction": "1e-320"}, None),
    ({"--patches": ""}, 1),
    ({"--weights": "/dev/zero"}, 1),
    ({"--weights": "/"}, 1),
    ({"--model": ""}, 1),
    ({"--model": "../x"}, 1),
    ({"--model": "hf-hub:nobody/nothing"}, 1),
    ({"--model": "\x1b[2J"}, 1),
    ({"--out": "/dev/null"}, 1),
    ({"--out": "/proc/run"}, 1),
    ({"--out": "x" * 300}, 1),
]


@pytest.mark.parametrize(("options", "status"), WHOLE, ids=itertools.count())
def test_absurd_values_end_in_one_line(
    tiny: Path, tmp_path: Path, options: dict[str, str | None], status: int | None
) -> None:
    """An absurd value ends in a traceback, hangs, or takes all memory."""
    base: dict[str, str | None] = {"--out": str(tmp_path / "run")} | BASE | {"--max-steps": "1"}
    result = CliRunner().invoke(main, ["train", str(tiny), *spelled(base | options)])
    assert status in (None, result.exit_code), result.output
    if result.exit_code:
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.stderr.startswith("Error: ")
        assert (result.stderr.count("\n"), "\x1b" in result.stderr) == (1, False)
        assert not (tmp_path / "run").exists()


def test_no_gpu_is_one_line(tiny: Path, tmp_path: Path) -> None:
    """Without a GPU `--device cuda` ends in a traceback, or trains on the CPU."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = CliRunner().invoke(main, ["train", str(tiny), "--out", str(tmp_path / "run"), "--device", "cuda"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "there is no GPU that torch can use" in result.stderr
