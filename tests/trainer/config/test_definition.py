"""The definition of the options: what follows from it agrees with the rest of the program."""

import subprocess
import sys
from dataclasses import fields
from typing import get_args

import pytest

import shards
from shards import BANDS
from tests.support.paths import ROOT
from trainer.config.options import TrainConfig
from trainer.config.unknown_names import nearest
from trainer.data.bands import BAND_SETS
from trainer.data.batch import CELLS
from trainer.data.order import KINDS
from trainer.data.prepare.backend import Backend
from trainer.definition import choices
from trainer.definition.check import hints_of
from trainer.definition.tables import KEYS, OPTIONS, TABLES
from trainer.models.published import CLASS_ORDERS, NO_CLASSIFIER, PRESETS


def test_no_two_options_share_a_name() -> None:
    """A flag sets the option of another table."""
    assert len(KEYS) == len(OPTIONS)
    assert {field.name for field in fields(TrainConfig)} == TABLES.keys()


def test_choices_are_those_of_the_program() -> None:
    """An option offers a value that nothing understands, or keeps one back."""
    assert get_args(choices.Verify) == get_args(shards.Verify)
    assert (*CLASS_ORDERS, NO_CLASSIFIER) == get_args(choices.ClassOrder)
    assert set(get_args(choices.Order)) - {"auto"} == set(KINDS) - {"sequential"}
    assert Backend is choices.Backend
    assert OPTIONS["data.bands"].default == BANDS == BAND_SETS["all"]
    assert OPTIONS["augmentation.crop_pad"].option.at_most == CELLS - 1
    for name in PRESETS:
        assert name in OPTIONS["model.weights_bands"].option.help
    for name in BAND_SETS:
        assert name in OPTIONS["data.bands"].option.help


def test_every_option_says_what_it_does() -> None:
    """An option has no help, no type that can be checked, or a limit that its default breaks."""
    config = TrainConfig.of(shards=ROOT, out=ROOT)
    for key, entry in OPTIONS.items():
        assert entry.option.help.endswith("."), key
        assert entry.option.help[0].isupper(), key
        assert entry.hint == hints_of(TABLES[entry.table])[entry.name]
        assert entry.default is None or config.values()[key] is not None
        assert (
            {int, float}.isdisjoint(entry.kinds) or entry.option.at_least is not None or entry.option.above is not None
        )
        # A missing value can be written: it is the default, so leaving the option out says it.
        assert type(None) not in entry.kinds or entry.default is None


@pytest.mark.parametrize(
    ("wrong", "perhaps"),
    [
        ("lr", "optimisation.lr"),
        ("run.lr", "optimisation.lr"),
        ("optimization.lr", "optimisation.lr"),
        ("optimisation.step-gamma", "optimisation.step_gamma"),
        ("optimisation.stepgama", "optimisation.step_gamma"),
        ("augmentation.mixupp", "augmentation.mixup"),
        ("model.dropout", "model.drop_rate"),
    ],
)
def test_the_nearest_name_is_found(wrong: str, perhaps: str) -> None:
    """A user is not told how an option is spelled."""
    assert nearest(wrong) == f"; perhaps {perhaps}"
    assert nearest("zzzz.qqqq") == ""


def test_the_definition_costs_no_import() -> None:
    """Help takes seconds."""
    code = "import sys, trainer.definition.tables; print({'numpy', 'torch', 'shards', 'click'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out == "set()\n"
