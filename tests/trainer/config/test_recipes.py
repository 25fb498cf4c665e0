"""Recipes of published results."""

import re
from pathlib import Path

import click
import pytest

from bigearth_pipeline.cli.models.train import train
from shards.metadata.published import published
from tests.support.paths import ROOT
from trainer.config.assemble import Setting, assemble
from trainer.config.options import TrainConfig
from trainer.config.recipes import RUN_RECIPES
from trainer.config.toml import write_text


def made(recipe: str, *settings: Setting) -> TrainConfig:
    """Return the configuration of a run by a recipe."""
    needed = [Setting("data.shards", Path("store"), "flag"), Setting("run.out", Path("run"), "flag")]
    return assemble([*needed, *settings], recipe=recipe)[0]


def test_the_command_takes_all_recipes() -> None:
    """A recipe is there, and the command does not know it."""
    option = next(parameter for parameter in train.params if parameter.name == "recipe")
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == list(RUN_RECIPES)


def test_the_exact_recipe_differs_in_three_options() -> None:
    """The exact recipe leaves something to the machine or the store, or changes more than it says."""
    one, two = made("reben").values(), made("reben-exact").values()
    assert {key: two[key] for key in two if one[key] != two[key]} == {
        "machine.precision": "fp32",
        "run.seed": 42,
        "data.statistics": Path("published"),
    }
    assert made("reben-exact", Setting("run.seed", 7, "flag")).run.seed == 7


def test_published_statistics_are_those_of_the_scripts() -> None:
    """The constants are of other pixels than nearest ones: ConfigILM has others for bilinear ones."""
    bands = published("v2").bands
    assert bands["B02"] == pytest.approx((438.37207, 607.02686), abs=1e-4)
    assert bands["B11"] == pytest.approx((1568.22681, 1070.16126), abs=1e-4)
    assert made("reben-exact").data.interpolation == "nearest"


def test_a_run_by_the_exact_recipe_is_repeated_from_its_file(tmp_path: Path) -> None:
    """The file of a run names the recipe, and says something else."""
    config = made("reben-exact")
    (tmp_path / "config.toml").write_text(write_text(config, "reben-exact"))
    assert assemble([], file=tmp_path / "config.toml")[0] == config


def test_the_readme_lists_what_recipes_differ_in() -> None:
    """The README has another seed than the recipe."""
    text = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (precision|seed) \|(.*)\|$", text, re.MULTILINE)
    found = {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}
    exact = made("reben-exact")
    assert found["seed"][1:] == [
        str(made("reben").run.seed),
        f"{exact.run.seed}, but other random numbers follow from it",
    ]
    assert found["precision"][2] == {"fp32": "float32"}[exact.machine.precision]
