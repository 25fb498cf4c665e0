"""Configurations and descriptions of runs that were edited, cut, or are of other types."""

import itertools
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bigearth_pipeline.cli.models.train import train as bep_train
from shards.errors import BepError
from tests.trainer.configs import edit_description, edit_options, with_option
from tests.trainer.runs.changes import as_of_old, refusal
from trainer.config import stored
from trainer.config.options import TrainConfig
from trainer.definition.tables import LENGTH, OPTIONS, RESUMABLE
from trainer.errors import TrainError
from trainer.training.start import resume

OTHER: dict[str, Any] = {
    "model.model": "test_vit3",
    "model.weights": "/nowhere/weights.pt",
    "model.weights_bands": "rgb",
    "model.weights_classes": "paper",
    "data.bands": ["B02", "B03", "B04"],
    "data.where": "month = 6",
    "data.patches": "/nowhere/list.txt",
    "data.fraction": 0.5,
    "data.train_splits": ["validation", "train"],
    "data.ignore_labels": ["Pastures"],
    "data.repeat_threshold": 0.25,
    "data.classes": 43,
    "data.statistics": "/nowhere/statistics.json",
    "optimisation.ema": 0.5,
}
"""Values of the options that are neither numbers nor choices, and of numbers that are not set."""
FIELDS = [key for key in OPTIONS if key not in RESUMABLE | {"run.out"}]


@pytest.mark.parametrize("key", FIELDS)
def test_an_edited_configuration_is_refused(folder_of_run: Path, key: str) -> None:
    """A run continues in its middle with another batch size, seed or learning rate."""

    def change(tables: dict[str, Any]) -> None:
        table, _, name = key.partition(".")
        before, choices = tables[table].get(name), OPTIONS[key].choices
        if choices and key not in OTHER:
            after: Any = next(choice for choice in choices if choice != before)
        elif key in OTHER:
            after = OTHER[key]
        elif isinstance(before, bool):
            after = not before
        elif isinstance(before, list):
            after = [value * 0.9 for value in before]
        else:
            after = before * 0.5 + 1 / 4 if isinstance(before, float) else (before or 0) + 1
        if key == "optimisation.max_positive_weight":
            after = 11.0
        assert after != before
        tables[table][name] = after
        if name == "train_splits":
            tables[table]["validation"] = False
        if name.startswith("weights_"):
            tables[table]["weights"] = OTHER["model.weights"]

    edit_options(folder_of_run, change)
    with pytest.raises(TrainError, match=f"config.toml was edited: checkpoints/last.pt was trained with .*{key} "):
        resume(folder_of_run)


def test_an_edited_configuration_of_an_old_run_is_refused(folder_of_run: Path) -> None:
    """A run of an earlier version resumes with other options, or not at all."""
    as_of_old(folder_of_run)
    assert resume(folder_of_run).stopped_by is None
    values = json.loads((folder_of_run / "config.json").read_text())
    values["options"]["lr"] = 0.5
    (folder_of_run / "config.json").write_text(json.dumps(values))
    with pytest.raises(TrainError, match=r"config\.json was edited: .*optimisation\.lr 0\.001"):
        resume(folder_of_run)


@pytest.mark.parametrize(
    "name", ["normalisation", "classes", "patches", "order", "precision", "parameters", "manifest_sha256"]
)
def test_an_edited_description_is_refused(folder_of_run: Path, name: str) -> None:
    """A file says of a run what is not so."""
    edit_description(folder_of_run, lambda values: values.update({name: "other"}))
    with pytest.raises(TrainError, match=f"description.json was edited: {name}|precision is 'other'"):
        resume(folder_of_run)


def test_a_description_that_is_cut_is_refused(folder_of_run: Path) -> None:
    """A file that no longer says what a run was is taken, and nothing is compared."""
    whole = (folder_of_run / "description.json").read_text()
    # Runs of before do not say where their store is, nor which patches their scores are of.
    names = [name for name in json.loads(whole) if name not in ("store", "scored")]
    for lost in (names, *([name] for name in names)):
        (folder_of_run / "description.json").write_text(whole)
        edit_description(folder_of_run, lambda values, lost=lost: [values.pop(name) for name in lost])  # type: ignore[misc]
        assert f"description.json was edited: it lacks {', '.join(lost)};" in refusal(folder_of_run)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gain", "a", "gain is 'a', expected a number"),
        ("mixup", True, "mixup is True, expected a number"),
        ("offset", 10**4000, "expected a number"),
        ("turn", 3, "turn is 3, expected one of none, flips, d4"),
        ("crop_pad", 1.5, "crop_pad is 1.5, expected an integer"),
        ("crop_scale", [0.6], "crop_scale is (0.6,), expected 2 numbers"),
        ("crop_scale", ["a", 1], "crop_scale is ('a', 1), expected 2 numbers"),
        ("erase_area", 0.1, "erase_area is 0.1, expected 2 numbers"),
        ("3", 1, "augmentation.3 is no option of a run"),
        ("tilt", 1, "augmentation.tilt is no option of a run"),
        ("offsets", 1, "augmentation.offsets is no option of a run; perhaps augmentation.offset"),
    ],
    ids=itertools.count(),
)
def test_a_wrong_augmentation_is_named(folder_of_run: Path, name: str, value: object, message: str) -> None:
    """A user reads what Python says of a comparison, not which value is wrong; or half a cell is taken."""
    edit_options(folder_of_run, lambda tables: tables["augmentation"].update({name: value}))
    line = refusal(folder_of_run)
    assert "config.toml is not the configuration of a run: augmentation" in line
    assert message in line


def test_options_are_named_as_they_are_written(folder_of_run: Path) -> None:
    """A user looks for options under the names of fields."""
    line = refusal(folder_of_run, "--lr", "1", "--augment", "none")
    assert "--augment, --lr cannot change" in line
    can = line.split("these can: ")[1].strip().split(", ")
    written = {text for option in bep_train.params for text in option.opts}
    written |= {f"--set {key}" for key, entry in OPTIONS.items() if not entry.option.flag}
    assert set(can) - {"DIR"} <= written
    assert {"DIR", "--set machine.mapped", "--set run.max_minutes", "--loader"} <= set(can)
    assert len(can) == len(RESUMABLE | LENGTH)


def test_what_may_change_may_be_edited(folder_of_run: Path) -> None:
    """A run cannot be given more patience by hand."""

    def change(tables: dict[str, Any]) -> None:
        tables["run"] |= {"patience": 3, "save_steps": 1, "out": "elsewhere"}
        tables["machine"]["threads"] = 2

    edit_options(folder_of_run, change)
    assert resume(folder_of_run).stopped_by is None


NESTED = b'{"options":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.product
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b'{"options": 3}', b'{"options": {}}', b"\xff\xfe", NESTED, b'{"options": NaN}', b"9" * 5000],
)
@pytest.mark.parametrize("name", ["config.json", "description.json", "statistics.json"])
def test_json_that_is_none_of_ours(folder_of_run: Path, name: str, content: bytes) -> None:
    """A damaged file ends in a traceback."""
    if name == "config.json":
        as_of_old(folder_of_run)
    (folder_of_run / name).write_bytes(content)
    assert name in refusal(folder_of_run)


@pytest.mark.parametrize("value", [None, True, "x", 1.5, -1, [], {}, [1], {"a": 1}, float("inf"), "\x1b[2J"])
def test_values_of_wrong_types_are_named(folder_of_run: Path, value: object) -> None:
    """A configuration of wrong types ends in a traceback, perhaps hours later."""
    tables = stored.read(folder_of_run).to_json()
    for key, entry in OPTIONS.items():
        for wrong in (with_option(tables, key, value), tables | {entry.table: value}):
            with suppress(BepError):
                TrainConfig.from_json(wrong)


def test_a_run_of_before_that_was_lengthened_is_resumed_again(folder_of_run: Path) -> None:
    """Its new configuration lies beside the old one, and a description is looked for that it has never had."""
    as_of_old(folder_of_run)
    for epochs in (2, 3):
        assert resume(folder_of_run, epochs=epochs).stopped_by is None
    assert stored.read(folder_of_run).optimisation.epochs == 3
