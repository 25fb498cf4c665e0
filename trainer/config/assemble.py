"""The configuration of a new run, from layers: defaults, then a recipe, a file, and the command line over all."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shards.errors import InvalidValue
from trainer.config import plain, toml
from trainer.config.given import Given, Way, flag
from trainer.config.options import TrainConfig
from trainer.config.recipes import RUN_RECIPES, augmentation_values
from trainer.data.bands import BandSelection
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.check import check, shown
from trainer.definition.tables import AUGMENT, OPTIONS, RECIPE, REQUIRED, nearest

_MISSING = {"data.shards": "the folder of the shards, DIR", "run.out": "a folder for the run, --out RUN"}


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
            raise InvalidValue(f"--set {shown(text)}, expected TABLE.NAME=VALUE, such as optimisation.step_gamma=0.1")
        if key != AUGMENT and key not in OPTIONS:
            raise InvalidValue(f"--set {shown(key)}: there is no such option{nearest(key)}")
        found = toml.parse(value.strip())
        if key in OPTIONS and {str, Path} & set(OPTIONS[key].kinds) and not isinstance(found, str):
            # A text that looks like a number.
            found = value.strip()
        return cls(key, found, "set")


def convert(key: str, value: Any, name: str) -> Any:
    """Return the value of an option that a user wrote.

    Args:
        key: of the option.
        value: as TOML or a flag has it: bands may be text, and `none` clears an option that takes numbers.
        name: of the option, for errors.

    Raises:
        InvalidValue: it is of a wrong type, or out of the range.
    """
    if key == AUGMENT:
        if value not in RECIPES:
            raise InvalidValue(f"{name} is {shown(value)}, expected one of {', '.join(RECIPES)}")
        return value
    entry = OPTIONS[key]
    if key == "data.bands" and isinstance(value, str):
        return BandSelection.parse(value).names
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
    of them; one on the command line always does.

    Args:
        settings: options on the command line, the highest layer.
        file: TOML file under it; None for none.
        recipe: name of the recipe under both; None for that of the file, or none.

    Raises:
        InvalidValue: an option is unknown, missing, given twice, or not allowed.
        OSError: the file cannot be read.
    """
    in_file: dict[str, Any] = {}
    if file is not None:
        in_file = _of_file(file)
        recipe = recipe or in_file.pop(RECIPE, None)
        in_file.pop(RECIPE, None)
    values = {key: entry.default for key, entry in OPTIONS.items() if key not in REQUIRED}
    values |= RUN_RECIPES[recipe] if recipe is not None else {}
    ways: dict[str, Way] = {}
    augment: str | None = None
    if file is not None:
        layer = {key: convert(key, value, f"{key} in {file}") for key, value in in_file.items()}
        if AUGMENT in layer:
            augment, ways[AUGMENT] = layer.pop(AUGMENT), file
            values |= augmentation_values(augment)
        ways |= {key: file for key, value in layer.items() if value != values.get(key)}
        values |= layer
    layer, on_command_line = _layer(settings)
    ways |= on_command_line
    if AUGMENT in layer:
        augment = layer.pop(AUGMENT)
        values |= augmentation_values(augment)
    values |= layer
    for key in REQUIRED:
        if key not in values:
            raise InvalidValue(f"{_MISSING[key]}, is missing")
    return TrainConfig.from_values(values), Given(ways, recipe=recipe, augment=augment)


def changes_of(settings: Iterable[Setting]) -> tuple[dict[str, Any], Given]:
    """Return the options of a command line by their names alone, and how they were given.

    Raises:
        InvalidValue: an option is given twice, or not allowed.
    """
    layer, ways = _layer(settings)
    return {key.partition(".")[2]: value for key, value in layer.items()}, Given(ways)


def _layer(settings: Iterable[Setting]) -> tuple[dict[str, Any], dict[str, Way]]:
    """Return the options of the command line by key, and how they were given."""
    layer: dict[str, Any] = {}
    ways: dict[str, Way] = {}
    for setting in settings:
        if setting.key in layer:
            raise InvalidValue(f"{setting.key} is given twice, expected once: by {flag(setting.key)} or by --set")
        name = flag(setting.key) if setting.way == "flag" else f"--set {setting.key}"
        layer[setting.key] = convert(setting.key, setting.value, name)
        ways[setting.key] = setting.way
    return layer, ways


def _of_file(path: Path) -> dict[str, Any]:
    """Return the options in a file by key, and its recipe."""
    tables = toml.read(path)
    found: dict[str, Any] = {}
    try:
        if (recipe := tables.pop(RECIPE, None)) is not None:
            if recipe not in RUN_RECIPES:
                raise InvalidValue(f"{RECIPE} is {shown(recipe)}, expected one of {', '.join(RUN_RECIPES)}")
            found[RECIPE] = recipe
        augmentation, name = tables.get(Augmentation.TABLE), AUGMENT.partition(".")[2]
        if isinstance(augmentation, dict) and name in augmentation:
            found[AUGMENT] = augmentation.pop(name)
        return found | plain.of_tables(tables)
    except InvalidValue as err:
        raise InvalidValue(f"{path}: {err}") from None
