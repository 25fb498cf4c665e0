"""Options in files and on the command line: what is written is read again, and each layer lies over the one before."""

import itertools
import json
import shutil
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shards.errors import InvalidValue
from tests.support.examples import examples
from tests.trainer.config.strategies import configurations, values_of
from trainer.config import effect, stored, toml
from trainer.config.assemble import Setting, assemble, convert
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.config.plain import to_plain
from trainer.config.recipes import RUN_RECIPES
from trainer.definition.augmentation import RECIPES
from trainer.definition.tables import AUGMENT, OPTIONS
from trainer.errors import TrainError
from trainer.runs.checkpoint import Checkpoint
from trainer.training.start import resume, train

HERE = [Setting("data.shards", Path("store"), "flag"), Setting("run.out", Path("run"), "flag")]


@given(configurations())
@examples(200)
def test_configurations_are_read_again(config: TrainConfig) -> None:
    """A file does not say what was written to it."""
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert TrainConfig.from_values(config.values()) == config
    tables = tomllib.loads(toml.write_text(config))
    assert tables == {
        table: {name: to_plain(value) for name, value in values.items() if value is not None}
        for table, values in ((table, vars(getattr(config, table))) for table in tables)
    }


@given(configurations())
@examples(50)
def test_files_are_read_again(tmp_path_factory: pytest.TempPathFactory, config: TrainConfig) -> None:
    """A run that is repeated from its file has other options, or finds that they have no effect."""
    folder = tmp_path_factory.mktemp("files")
    stored.write(folder, config, Given())
    assert stored.read(folder) == config
    found, given_ = assemble([], file=folder / "config.toml")
    assert found == config
    assert all(config.values()[key] != OPTIONS[key].default for key in given_.ways)
    # Over a recipe, the file says all that it says.
    over, _ = assemble([], file=folder / "config.toml", recipe="reben")
    values = config.values()
    expected = {key: RUN_RECIPES["reben"].get(key) if value is None else value for key, value in values.items()}
    assert over.values() == expected


@given(st.data())
@examples(300)
def test_every_option_can_be_set(data: st.DataObject) -> None:
    """An option has neither a flag nor a way to set it, or takes another value than was written."""
    entry = data.draw(st.sampled_from(sorted(OPTIONS.values(), key=lambda entry: entry.key)))
    value = data.draw(values_of(entry))
    text = "none" if value is None else toml.value_text(value)
    if value is None and not entry.is_clearable:
        return
    setting = Setting.parse(f"{entry.key}={text}")
    assert convert(setting.key, setting.value, entry.key) == value
    if isinstance(value, str) and value == value.strip() and not value.startswith(("'", '"')) and "\n" not in value:
        setting = Setting.parse(f"{entry.key}={value}")
        assert convert(setting.key, setting.value, entry.key) == value


def layers(tmp_path: Path, text: str, *words: str, recipe: str | None = None) -> tuple[TrainConfig, Given]:
    """Return what becomes of a file and assignments."""
    (tmp_path / "run.toml").write_text(text)
    return assemble([*HERE, *map(Setting.parse, words)], file=tmp_path / "run.toml", recipe=recipe)


def test_each_layer_lies_over_the_one_before(tmp_path: Path) -> None:
    """A value of a file or a recipe wins over one that was given by hand."""
    text = "[optimisation]\nlr = 0.25\nbatch_size = 8\n[data]\nbands = 'rgb'\n"
    config, given_ = layers(tmp_path, text, "optimisation.lr=0.5", "run.patience=none", recipe="reben")
    assert (config.optimisation.lr, config.optimisation.batch_size, config.optimisation.epochs) == (0.5, 8, 100)
    assert (config.data.bands, config.run.patience, config.augmentation) == (
        ("B04", "B03", "B02"),
        None,
        RECIPES["flips"],
    )
    assert (config.machine.loader, config.run.out) == ("auto", Path("run"))
    assert given_.name("optimisation.lr") == "`optimisation.lr=`"
    assert given_.name("optimisation.batch_size") == f"optimisation.batch_size in {tmp_path / 'run.toml'}"
    assert "optimisation.epochs" not in given_


def test_parts_of_an_augmentation_lie_over_its_recipe(tmp_path: Path) -> None:
    """`--augment strong` undoes a part that was given beside it, or leaves parts of the default."""
    text = "[augmentation]\naugment = 'strong'\nmixup = 0.5\n"
    config, given_ = layers(tmp_path, text)
    assert asdict(config.augmentation) == asdict(RECIPES["strong"]) | {"mixup": 0.5}
    assert {key for key in given_.ways if key.startswith("augmentation")} == {AUGMENT, "augmentation.mixup"}
    config, _ = layers(tmp_path, text, "augmentation.augment=flips", "augmentation.erase=0.5")
    assert asdict(config.augmentation) == asdict(RECIPES["flips"]) | {"erase": 0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[optimisation]\nlr = 'fast'", "optimisation.lr in {file} is 'fast', expected a number above 0"),
        (
            "[optimisation]\nepochs = 0",
            "optimisation.epochs in {file} is 0, expected an integer of at least 1 and at most",
        ),
        (
            "[optimisation]\nstep_gama = 1",
            "{file}: optimisation.step_gama is no option of a run; perhaps optimisation.step_gamma",
        ),
        ("[optimization]\nlr = 1", "{file}: optimization is no table of options, expected one of data,"),
        ("lr = 1", "{file}: lr is no table of options"),
        ("run = 3", "{file}: run is 3, expected a table of options"),
        ("recipe = 'paper'", "recipe in {file} is 'paper', expected one of reben"),
        ("[augmentation]\naugment = 'heavy'", "augmentation.augment in {file} is 'heavy', expected one of none, flips"),
        ("[data]\nbands = ['B99']", "no band 'B99'"),
        ("[run]\nseed = 1979-05-27", "run.seed in {file} is datetime.date"),
        ("[run", "{file} is no TOML file: "),
        ("a = " + "[" * 100_000, "{file} is no TOML file: "),
        ("[run]\nseed = " + "9" * 5000, "{file} is no TOML file: "),
    ],
    ids=itertools.count(),
)
def test_wrong_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    """A wrong key or value of a file is taken for another, passed over, or reported without the file."""
    with pytest.raises(InvalidValue) as found:
        layers(tmp_path, text)
    assert str(found.value).startswith(message.format(file=tmp_path / "run.toml"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimisation.lr"], "'optimisation.lr', expected TABLE.NAME=VALUE"),
        (["lr=1"], "there is no option 'lr'; perhaps optimisation.lr"),
        (["optimisation.epochs=1.5"], "`optimisation.epochs=` is 1.5, expected an integer"),
        (["optimisation.clip=0"], "`optimisation.clip=` is 0, expected a number above 0"),
        (["optimisation.lr=1", "optimisation.lr=2"], "optimisation.lr is given twice"),
        (["run.out=other"], "run.out is given twice, expected once"),
        (["optimisation.optimizer=adam"], "`optimisation.optimizer=` is 'adam', expected one of adamw, sgd, lamb"),
    ],
)
def test_wrong_assignments_are_named(words: list[str], message: str) -> None:
    """A wrong assignment is passed over."""
    with pytest.raises(InvalidValue) as found:
        assemble([*HERE, *map(Setting.parse, words)])
    assert str(found.value).startswith(message)


def weights(out: Path) -> dict[str, torch.Tensor]:
    """Return the last weights of a run."""
    return Checkpoint.read(out / "checkpoints/last.pt").state


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "recipe"),
    [
        # Momentum of adamw and warm-up beyond the end have no effect, but nobody gave them.
        (["augmentation.augment=strong", "model.drop_rate=0.3", "optimisation.ema=0.5", "run.seed=7"], None),
        (
            ["model.model=test_resnet", "optimisation.batch_size=5", "optimisation.epochs=3", "run.patience=none"],
            "reben",
        ),
    ],
)
def test_a_run_is_repeated_from_its_file(tiny: Path, tmp_path: Path, words: list[str], recipe: str | None) -> None:
    """The file that a run leaves makes another run, or is refused."""
    words = ["optimisation.epochs=1", "optimisation.batch_size=12", *words][-len(words) if recipe else 0 :]
    first, again = tmp_path / "first", tmp_path / "again"
    config, given_ = assemble(
        [Setting("data.shards", tiny, "flag"), Setting("run.out", first, "flag"), *map(Setting.parse, words)],
        recipe=recipe,
    )
    result = train(config, given=given_)
    text = (first / "config.toml").read_text()
    assert ("recipe = " in text, "augment = " in text) == (recipe is not None, recipe is None)
    config, given_ = assemble([Setting("run.out", again, "flag")], file=first / "config.toml")
    effect.check(config, given_)
    assert train(config, given=given_) == result
    assert (again / "config.toml").read_text() == text.replace(str(first), str(again))
    for name, values in weights(first).items():
        assert torch.equal(weights(again)[name], values), name
    assert stored.read(again) == config
    assert resume(again) == result


def test_a_file_lies_over_the_file_of_a_run_of_before(tiny: Path, tmp_path: Path) -> None:
    """A run with two files of options is resumed with either of them."""
    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", epochs=1, batch_size=24, model="test_resnet")
    train(config)
    (tmp_path / "run/config.json").write_text("{}")
    assert stored.read(tmp_path / "run") == config
    assert resume(tmp_path / "run").best_epoch == 1
    shutil.copy(tmp_path / "run/config.toml", tmp_path / "config.toml")
    (tmp_path / "run/config.toml").unlink()
    with pytest.raises(TrainError, match=r"config\.json is not the configuration of a run"):
        resume(tmp_path / "run")


@pytest.mark.parametrize("value", [None, True, "x", [], {}, float("nan")])
def test_wrong_json_names_key_expectation_and_value(value: Any) -> None:
    """A checkpoint with a wrong option ends in what Python says of a comparison."""
    tables = TrainConfig.of(shards=Path("a"), out=Path("b")).to_json()
    wrong = tables | {"augmentation": tables["augmentation"] | {"gain": value}}
    with pytest.raises(InvalidValue, match=r"augmentation\.gain is .*, expected a number of at least 0 and below 1"):
        TrainConfig.from_json(wrong)
