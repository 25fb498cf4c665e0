"""Every option of `bep train`, `bep evaluate` and `bep bench`: it has an effect, or is refused by name."""

import hashlib
import itertools
import re
from contextlib import suppress
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from torch._dynamo import OptimizedModule

from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.bench.loader import bench_loader
from bigearth_pipeline.cli.bench.train import bench_train
from bigearth_pipeline.cli.models.evaluate import evaluate
from bigearth_pipeline.cli.models.train import settings_of, train
from bigearth_pipeline.cli.run_options import default_text, flag, has_flag
from shards.errors import BepError
from tests.bigearth_pipeline.cli.option_tables import BENCH_LOADER, BENCH_TRAIN, EVALUATE, OTHERS, TRAIN
from tests.support.examples import examples
from tests.support.paths import ROOT
from trainer.config import effect
from trainer.config.assemble import Setting, assemble, convert
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.config.plain import to_plain
from trainer.config.toml import value_text
from trainer.definition.augmentation import RECIPES
from trainer.definition.tables import AUGMENT, OPTIONS
from trainer.runtime.progress import Silent
from trainer.runtime.ranks import open_ranks
from trainer.training.loop import Run
from trainer.training.session import open_session

BASE = {"model.model": "test_resnet", "optimisation.batch_size": "4", "run.max_steps": "2"}
BASE |= {"machine.device": "cpu", "machine.loader": "torch"}


def name_of(key: str) -> str:
    """Return the name of the parameter of an option."""
    return key.rpartition(".")[2]


def spelled(options: dict[str, str], *, flags: bool = False) -> list[str]:
    """Return options as a command line has them: all by --set, or by their flags where they have one."""
    words = []
    for key, value in options.items():
        if not (flags and has_flag(key)):
            words += ["--set", f"{key}={value}"]
        else:
            words += [flag(key)] if value == "true" else [flag(key), value]
    return words


def in_file(path: Path, options: dict[str, str]) -> list[str]:
    """Return options as a command line has them that are given in a file."""
    tables: dict[str, list[str]] = {}
    for key, value in options.items():
        table, _, name = key.partition(".")
        tables.setdefault(table, []).append(f"{name} = {value_text(Setting.parse(f'{key}={value}').value)}")
    path.write_text("\n".join("\n".join([f"[{table}]", *lines]) for table, lines in tables.items()))
    return ["--config", str(path)]


def parse(arguments: list[str]) -> tuple[TrainConfig, Given]:
    """Return what the command makes of its arguments."""
    options = train.make_context("train", arguments).params
    options = {name: value for name, value in options.items() if name not in ("as_json", "resume")}
    file, recipe = options.pop("file"), options.pop("recipe")
    return assemble(settings_of(options), file=file, recipe=recipe)


def outcome(data: Path, out: Path, options: dict[str, str]) -> dict[str, Any]:
    """Return what a run of two steps depends on and comes to, but for its options themselves."""
    config, named = parse([str(data), "--out", str(out), *spelled(options)])
    effect.check(config, named)
    with (
        open_ranks(config.machine.device) as ranks,
        open_session(config, ranks, Silent(), given=named) as session,
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
        described = {k: v for k, v in session.describe().items() if k not in ("bands", "model")}
        loader = {"backend": run.loader.backend, "cache": run.loader.config.cache}
        return described | loader | {"weights": digest.hexdigest(), "compiled": compiled}


def test_every_option_is_in_the_table() -> None:
    """A new option has no effect, or none where it is given, and nobody has looked."""
    assert {name for name in TRAIN if "." not in name} == OTHERS
    assert TRAIN.keys() - OTHERS == OPTIONS.keys() | {AUGMENT}
    names = {name_of(key) for key in TRAIN if key in OTHERS or has_flag(key)}
    assert {parameter.name for parameter in train.params} == names
    assert len(names) <= 30
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

    def get(options: dict[str, str]) -> dict[str, Any]:
        key = tuple(spelled(BASE | options))
        if key not in known:
            known[key] = outcome(tiny, out, BASE | options)
        assert not out.exists()
        return known[key]

    return get


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, option in TRAIN.items() if not option.shown_by])
def test_an_option_has_an_effect(outcomes: Any, name: str) -> None:
    """An option that is taken does nothing."""
    option = TRAIN[name]
    assert outcomes(option.beside | {name: option.value}) != outcomes(option.beside)


CASES = [(key, beside, says) for key, option in TRAIN.items() for beside, says in option.refused]
WAYS = ["flag", "set", "file"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("key", "beside", "says"), CASES, ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)])
def test_an_option_without_effect_is_refused(
    tiny: Path, tmp_path: Path, key: str, beside: dict[str, str], says: str, way: str
) -> None:
    """An option that is taken does nothing, and the user believes that it does."""
    options = {k: v for k, v in BASE.items() if k != "machine.loader"} | {key: TRAIN[key].value} | beside
    path = tmp_path / "run.toml"
    words = in_file(path, options) if way == "file" else spelled(options, flags=way == "flag")
    config, _ = parse([str(tiny), "--out", "x", *spelled(BASE)])
    if way == "file" and Setting.parse(f"{key}={options[key]}").value == to_plain(config.values().get(key)):
        pytest.skip("a file may repeat a default")
    result = CliRunner().invoke(main, ["train", str(tiny), "--out", str(tmp_path / "run"), *words])
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert result.stderr.count("\n") == 1
    written = {"flag": flag(key), "set": f"--set {key}", "file": f"{key} in {path}"}[way]
    if re.search("has no effect|cannot be honoured|keeps records", result.stderr):
        # An option is named as it was written, with or without its value.
        with_value = f"{key} = {value_text(Setting.parse(f'{key}={options[key]}').value)} in {path}"
        assert result.stderr.startswith((f"Error: {written}", f"Error: {with_value}")), result.stderr
    else:
        # What contradicts another option names the key; of the network that it lacks, only the network.
        assert key in result.stderr or key == "model.pretrained", result.stderr
    if way == "flag":
        assert says in result.stderr
    assert not (tmp_path / "run").exists()


def test_what_a_recipe_says_is_not_refused(tiny: Path, tmp_path: Path) -> None:
    """The published recipe cannot be tried with another optimizer, or on a few patches."""
    words = ["--recipe", "reben", "--set", "optimisation.decay=weights", "--lr", "1"]
    config, named = parse([str(tiny), "--out", str(tmp_path), *words])
    assert (config.optimisation.warmup_steps, config.optimisation.lr) == (1000, 1)
    effect.check(config, named)
    effect.check_size(config, named, num_steps=3, largest_part=24, num_patches=24)


def test_python_callers_are_told_too(tiny: Path, tmp_path: Path) -> None:
    """Options that the command line refuses pass in silence from Python."""
    default = TrainConfig.of(shards=tiny, out=tmp_path)
    assert Given.by(default).ways.keys() == {"data.shards", "run.out"}
    effect.check(default, Given.by(default))
    for wrong in ({"momentum": 0.5}, {"step_gamma": 0.5}, {"interpolation": "bilinear"}, {"max_positive_weight": 2.0}):
        config = TrainConfig.of(shards=tiny, out=tmp_path, **wrong)
        with pytest.raises(BepError, match=f"`{next(iter(wrong))}=` has no effect"):
            effect.check(config, Given.by(config))
    # Of a recipe nobody gave the parts.
    config = TrainConfig.of(shards=tiny, out=tmp_path, augmentation=RECIPES["strong"], bands=("B02",))
    effect.check(config, Given.by(config))


NASTY = ["nan", "inf", "-inf", "-1", "0", "1e308", "1e-320", "1e400", str(10**12), str(10**18), str(2**63), "9" * 5000]
NASTY += ["", " ", "é", "\udcff", "\x1b[2J", ",", "B02,B02", "all,", "'", "a" * 5000, "none", "true", "../..", "1_000"]
KEYS_OF_ALL = sorted(TRAIN.keys() - OTHERS - {"data.shards"})


def test_a_choice_of_numbers_is_a_number() -> None:
    """`--classes 43` is text, which no run takes."""
    assert parse(["--out=run", "--classes=43", "s"])[0].data.classes == 43
    assert parse(["--out=run", "s"])[0].data.classes == 19


@examples(300)
@given(
    chosen=st.lists(st.tuples(st.sampled_from(KEYS_OF_ALL), st.sampled_from(NASTY)), min_size=1, max_size=4),
    data=st.sampled_from(NASTY),
    flags=st.booleans(),
)
def test_no_value_ends_in_a_traceback(chosen: list[tuple[str, str]], data: str, flags: bool) -> None:
    """A typing error shows a user the inside of the program."""
    bare = {flag(key) for key, entry in OPTIONS.items() if bool in entry.kinds}
    words = [
        (flag(key) if flag(key) in bare else f"{flag(key)}={value}")
        if flags and has_flag(key)
        else f"--set={key}={value}"
        for key, value in chosen
    ]
    with suppress(BepError, click.ClickException):
        config, named = parse(["--out=run", *words, "--", data])
        effect.check(config, named)


WHOLE = [
    ({"optimisation.batch_size": str(2**31 - 1)}, 0),
    ({"optimisation.epochs": str(2**31 - 1)}, 0),
    ({"machine.threads": "1024"}, 0),
    ({"run.seed": str(2**63 - 1)}, 0),
    ({"optimisation.lr": "1e-320", "optimisation.warmup_steps": "0"}, 0),
    ({"run.max_minutes": "1e308"}, 0),
    ({"data.where": ""}, 1),
    ({"data.where": "'"}, 1),
    ({"data.where": "\udcff"}, 1),
    ({"data.fraction": "1e-320"}, None),
    ({"data.patches": ""}, 1),
    ({"model.weights": "/dev/zero"}, 1),
    ({"model.weights": "/"}, 1),
    ({"model.model": ""}, 1),
    ({"model.model": "../x"}, 1),
    ({"model.model": "hf-hub:nobody/nothing"}, 1),
    ({"model.model": "\x1b[2J"}, 1),
    ({"run.out": "/dev/null"}, 1),
    ({"run.out": "/proc/run"}, 1),
    ({"run.out": "x" * 300}, 1),
]


@pytest.mark.product
@pytest.mark.parametrize(("options", "status"), WHOLE, ids=itertools.count())
def test_absurd_values_end_in_one_line(tiny: Path, tmp_path: Path, options: dict[str, str], status: int | None) -> None:
    """An absurd value ends in a traceback, hangs, or takes all memory."""
    base: dict[str, str] = {"run.out": str(tmp_path / "run")} | BASE | {"run.max_steps": "1"}
    result = CliRunner().invoke(main, ["train", str(tiny), *spelled(base | options, flags=True)])
    assert status in (None, result.exit_code), result.output
    if result.exit_code:
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.stderr.startswith("Error: ")
        assert (result.stderr.count("\n"), "\x1b" in result.stderr) == (1, False)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("key", [key for key, entry in OPTIONS.items() if entry.default not in (None, False, MISSING)])
def test_a_default_can_be_given_as_help_shows_it(key: str) -> None:
    """Help shows a value as Python prints it, which nobody can give."""
    shown = Setting.parse(f"{key}={default_text(OPTIONS[key])}")
    assert convert(key, shown.value, key) == OPTIONS[key].default


def test_no_gpu_is_one_line(tiny: Path, tmp_path: Path) -> None:
    """Without a GPU `--device cuda` ends in a traceback, or trains on the CPU."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = CliRunner().invoke(main, ["train", str(tiny), "--out", str(tmp_path / "run"), "--device", "cuda"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "there is no GPU that torch can use" in result.stderr
