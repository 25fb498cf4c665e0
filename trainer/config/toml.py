"""Options in TOML: files of `--config`, values of `--set`, and the `config.toml` of a run."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from shards.errors import InvalidValue
from shards.storage.safe_open import read_regular
from trainer.config.options import TrainConfig
from trainer.config.plain import nested, to_plain
from trainer.config.recipes import RUN_RECIPES
from trainer.definition.augmentation import Augmentation
from trainer.definition.tables import AUGMENT, OPTIONS, RECIPE

MOST_BYTES: Final = 1 << 20


def read(path: Path) -> dict[str, Any]:
    """Return the tables of a file.

    Raises:
        InvalidValue: it is no TOML.
        OSError: it cannot be read, is no regular file, or is longer than 1 MiB.
    """
    try:
        return tomllib.loads(read_regular(path, MOST_BYTES).decode())
    except (ValueError, RecursionError) as err:
        reason = "it is nested too deeply" if isinstance(err, RecursionError) else err
        raise InvalidValue(f"{path} is no TOML file: {reason}") from None


def parse(text: str) -> Any:
    """Return the value of a text in TOML; text that is no TOML stands for itself, so that words need no quotes."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return found["value"] if found.keys() == {"value"} else text


def value_text(value: Any) -> str:
    """Return the value of an option in TOML."""
    value = to_plain(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    # Strings of JSON are strings of TOML, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)


def write_text(config: TrainConfig, recipe: str | None = None, augment: str | None = None) -> str:
    """Return the text of a file that says all of a configuration.

    Args:
        config: to be written.
        recipe: name of the recipe that it was made from: values that repeat it were given by nobody.
        augment: name of the recipe of the augmentation, likewise.
    """
    lines = ["# All options of this run. To repeat it: bep train --config THIS_FILE --out OTHER_RUN"]
    by_recipe = {} if recipe is None else RUN_RECIPES[recipe]
    if recipe is not None:
        lines += [f"{RECIPE} = {value_text(recipe)}"]
    tables: Mapping[str, Mapping[str, Any]] = nested(config.values())
    for name, table in tables.items():
        lines += ["", f"[{name}]"]
        if augment is not None and name == Augmentation.TABLE:
            lines += [f"{AUGMENT.partition('.')[2]} = {value_text(augment)}"]
        for part, value in table.items():
            if value is None and by_recipe.get(f"{name}.{part}") is not None:
                value = "none"
            unset = OPTIONS[f"{name}.{part}"].option.unset
            nothing = f"# {part} is not set{unset and f': {unset}'}"
            lines.append(nothing if value is None else f"{part} = {value_text(value)}")
    return "\n".join(lines) + "\n"
