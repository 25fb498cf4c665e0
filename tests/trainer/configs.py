"""Hand edits of the options and of the description of a run."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer.config.toml import value_text

Change = Callable[[dict[str, Any]], object]


def edit_options(folder: Path, change: Change) -> None:
    """Change the tables of a run's `config.toml`; what is None then is left out."""
    path = folder / "config.toml"
    tables = tomllib.loads(path.read_text())
    change(tables)
    lines = [f"{name} = {value_text(value)}" for name, value in tables.items() if not isinstance(value, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines += [
                f"[{name}]",
                *(f"{part} = {value_text(value)}" for part, value in table.items() if value is not None),
            ]
    path.write_text("\n".join(lines))


def edit_description(folder: Path, change: Change) -> None:
    """Change the description of a run."""
    path = folder / "description.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def with_option(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return the options that a checkpoint has, with another value of one."""
    table, _, name = key.partition(".")
    return config | {table: config[table] | {name: value}}
