"""The configuration of a new run, from layers: defaults, then a recipe, a file, and the command line over all."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shards.errors import InvalidValue
from shards.layout.class_names import class_names
from shards.layout.classes import NINETEEN, NOMENCLATURES, Nomenclature
from trainer.config import plain, toml
from trainer.config.given import Given, Way
from trainer.config.options import TrainConfig
from trainer.config.recipes import RUN_RECIPES, augmentation_values
from trainer.config.unknown_names import unknown_setting
from trainer.data.bands import BandSelection
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.check import check, shown
from trainer.definition.tables import AUGMENT, OPTIONS, RECIPE, REQUIRED
from trainer.models.weights_config import stated_by

_MISSING = {"data.shards": "the folder of the shards, DIR", "run.out": "a folder for the run, `out=RUN`"}


@dataclass(frozen=True)
class Setting:
    """An option on the command line.

    Attributes:
        key: such as `optimisation.lr`.
        value: as it was parsed.
        way: as a flag, or by `--set`.
    """

    key: str
    value: Any
    way: Literal["flag", "set"]

    @classmethod
    def parse(cls, text: str) -> "Setting":
        """Return what `--set` was given, `KEY=VALUE`.

        Raises:
            InvalidValue: there is no `=`, or no such option.
        """
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals:
            raise InvalidValue(f"{shown(text)}, expected TABLE.NAME=VALUE, such as optimisation.step_gamma=0.1")
        if key != AUGMENT and key not in OPTIONS:
            raise unknown_setting(key)
        found = toml.parse(value.strip())
        if key in OPTIONS and {str, Path} & set(OPTIONS[key].kinds) and not isinstance(found, str):
            # A text that looks like a number.
            found = value.strip()
        return cls(key, found, "set")


def convert(key: str, value: Any, name: str, nomenclature: Nomenclature = NINETEEN) -> Any:
    """Return the value of an option that a user wrote.

    Args:
        key: of the option.
        value: as TOML or a flag has it: bands may be text, and `none` clears an option that takes numbers.
        name: of the option, for errors.
        nomenclature: of the run, for names of classes.

    Raises:
        InvalidValue: it is of a wrong type, or out of the range.
    """
    if key in (AUGMENT, RECIPE):
        known = list(RECIPES if key == AUGMENT else RUN_RECIPES)
        if value not in known:
            raise InvalidValue(f"{name} is {shown(value)}, expected one of {', '.join(known)}")
        return value
    entry = OPTIONS[key]
    if key == "data.bands" and isinstance(value, str):
        return BandSelection.parse(value).names
    if key == "data.train_splits" and isinstance(value, str):
        value = value.split(",")
    if key == "data.ignore_labels" and isinstance(value, str):
        if value == "none":
            return ()
        try:
            return class_names(value, nomenclature)
        except InvalidValue as err:
            raise InvalidValue(f"{name}: {err}") from None
    if value == "none" and entry.is_clearable:
        return None
    found = plain.from_plain(key, value)
    check(name, found, entry.hint, entry.option)
    return found


def assemble(
    settings: Iterable[Setting], *, file: Path | None = None, recipe: str | None = None
) -> tuple[TrainConfig, Given]:
    """Return the configuration of a new run, and which of its options somebody gave.

    An option in the file counts as given if it differs from what defaults and recipe say, for a file of a run says all
    of them; one on the command line always does. Network and bands that no layer says are those that the `config.json`
    in a folder of weights says (see `trainer.models.weights_config`), and the defaults without one.

    Args:
        settings: options on the command line, the highest layer.
        file: TOML file under it; None for none.
        recipe: name of the recipe under both; None for that of the file, or none.

    Raises:
        InvalidValue: an option is unknown, missing, given twice, or not allowed.
        BadCheckpoint: the `config.json` in a folder of weights is damaged.
        OSError: the file cannot be read.
    """
    in_file: dict[str, Any] = {}
    settings = list(settings)
    if file is not None:
        tables = toml.read(file)
        try:
            in_file = _by_key(tables)
        except InvalidValue as err:
            raise InvalidValue(f"{file}: {err}") from None
    nomenclature = _nomenclature(in_file | {setting.key: setting.value for setting in settings})
    in_file = {key: convert(key, value, f"{key} in {file}", nomenclature) for key, value in in_file.items()}
    layer, ways = _layer(settings, nomenclature)
    recipe = recipe or in_file.get(RECIPE)
    augment = layer.get(AUGMENT) or in_file.get(AUGMENT)
    below = _over(_defaults(), {RECIPE: recipe} | {key: value for key, value in in_file.items() if key == AUGMENT})
    if file is not None:
        given = {key for key, value in in_file.items() if key == AUGMENT or (key != RECIPE and value != below.get(key))}
        ways = dict.fromkeys(given, file) | ways
    values = _over(_over(_defaults(), in_file | {RECIPE: recipe}), layer)
    chosen = {*in_file, *layer, *(RUN_RECIPES[recipe] if recipe is not None else ())}
    values |= {key: value for key, value in _of_weights(values).items() if key not in chosen}
    for key in REQUIRED:
        if key not in values:
            raise InvalidValue(f"{_MISSING[key]}, is missing")
    return TrainConfig.from_values(values), Given(ways, recipe=recipe, augment=augment)


def of_tables(tables: dict[str, Any]) -> TrainConfig:
    """Return the configuration that the file of a run says, given its tables.

    Raises:
        InvalidValue: an option is unknown, missing, or not allowed.
    """
    values = _by_key(tables)
    nomenclature = _nomenclature(values)
    return TrainConfig.from_values(
        _over({}, {key: convert(key, value, key, nomenclature) for key, value in values.items()})
    )


def _nomenclature(values: Mapping[str, Any]) -> Nomenclature:
    """Return the nomenclature that options by key choose, before they are checked."""
    number = values.get("data.classes")
    return NOMENCLATURES.get(number, NINETEEN) if type(number) is int else NINETEEN


def _of_weights(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options that the folder of the weights says, by key."""
    folder = values.get("model.weights")
    # `Path.is_dir` raises for a name that is too long.
    if folder is None or not os.path.isdir(folder):
        return {}
    stated = stated_by(folder)
    found = {"model.model": stated.model, "data.bands": stated.bands}
    return {key: value for key, value in found.items() if value}


def _defaults() -> dict[str, Any]:
    return {key: entry.default for key, entry in OPTIONS.items() if key not in REQUIRED}


def _over(values: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """Return options by key with a layer over them: its recipe, then its recipe of the augmentation, then all else."""
    recipe, augment = layer.get(RECIPE), layer.get(AUGMENT)
    values = values | (RUN_RECIPES[recipe] if recipe is not None else {})
    values |= augmentation_values(augment) if augment is not None else {}
    return values | {key: value for key, value in layer.items() if key not in (RECIPE, AUGMENT)}


def changes_of(settings: Iterable[Setting]) -> tuple[dict[str, Any], Given]:
    """Return the options of a command line by their names alone, and how they were given.

    Raises:
        InvalidValue: an option is given twice, or not allowed.
    """
    layer, ways = _layer(settings)
    return {key.partition(".")[2]: value for key, value in layer.items()}, Given(ways)


def _layer(settings: Iterable[Setting], nomenclature: Nomenclature = NINETEEN) -> tuple[dict[str, Any], dict[str, Way]]:
    """Return the options of the command line by key, and how they were given."""
    layer: dict[str, Any] = {}
    ways: dict[str, Way] = {}
    for setting in settings:
        if setting.key in layer:
            raise InvalidValue(f"{setting.key} is given twice, expected once")
        layer[setting.key] = convert(
            setting.key, setting.value, Given({setting.key: setting.way}).name(setting.key), nomenclature
        )
        ways[setting.key] = setting.way
    return layer, ways


def _by_key(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the options in tables by key, and the two recipes, unconverted."""
    tables = dict(tables)
    recipes = {RECIPE: tables.pop(RECIPE)} if RECIPE in tables else {}
    name = AUGMENT.partition(".")[2]
    if isinstance(table := tables.get(Augmentation.TABLE), dict) and name in table:
        recipes[AUGMENT] = table[name]
        tables[Augmentation.TABLE] = {part: value for part, value in table.items() if part != name}
    return recipes | plain.of_tables(tables)
