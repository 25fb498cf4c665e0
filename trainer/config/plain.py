"""Options as the plain values of JSON and TOML, in tables or, of older runs, in one flat object."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_origin

from shards.errors import InvalidValue
from shards.read.checks import verify_mode
from shards.storage.remote.address import place_of
from trainer.config.unknown_names import unknown, unknown_table
from trainer.definition.augmentation import Augmentation
from trainer.definition.check import shown
from trainer.definition.tables import KEYS, OPTIONS, TABLES

_RENAMED: Final = {"data": "data.shards"}
"""Options that were named otherwise before there were tables."""


def to_plain(value: Any) -> Any:
    """Return a value of an option as JSON and TOML have it; None stays None."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def from_plain(key: str, value: Any) -> Any:
    """Return the value of an option that `to_plain` made plain; a value of a wrong type stays as it is."""
    kinds = OPTIONS[key].kinds
    if Path in kinds and isinstance(value, str):
        return place_of(value)
    if isinstance(value, list) and any(get_origin(kind) is tuple for kind in kinds):
        return tuple(value)
    return value


def nested(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return options by table and name that are given by key."""
    found: dict[str, dict[str, Any]] = {name: {} for name in TABLES}
    for key, value in values.items():
        found[OPTIONS[key].table][OPTIONS[key].name] = value
    return found


def flat(values: object) -> dict[str, Any]:
    """Return options by key that are given in tables, or in one flat object of a run of before.

    Raises:
        InvalidValue: an option is unknown, or something else stands in the place of a table.
    """
    if not isinstance(values, Mapping):
        raise InvalidValue(f"options are {shown(values)}, expected tables of names and values")
    return _of_old(values) if isinstance(values.get("data"), str) else of_tables(values)


def of_tables(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by key that are given in tables.

    Raises:
        InvalidValue: an option is unknown, or something else stands in the place of a table.
    """
    found: dict[str, Any] = {}
    for name, table in values.items():
        if name not in TABLES:
            raise unknown_table(str(name))
        if not isinstance(table, Mapping):
            raise InvalidValue(f"{name} is {shown(table)}, expected a table of options")
        found |= {f"{name}.{part}": value for part, value in table.items()}
    for key in found:
        if key not in OPTIONS:
            raise unknown(key)
    return found


def _of_old(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by key of a flat object; parts of the augmentation that it lacks are none."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name == Augmentation.TABLE and isinstance(value, Mapping):
            parts = {key: entry for key, entry in OPTIONS.items() if entry.table == name}
            found |= {key: getattr(Augmentation(), entry.name) for key, entry in parts.items()}
            found |= {f"{name}.{part}": part_value for part, part_value in value.items()}
        elif name == "verify" and isinstance(value, bool):
            found[KEYS[name]] = verify_mode(value)
        else:
            found[_RENAMED.get(name) or KEYS.get(name) or name] = value
    for key in found:
        if key not in OPTIONS:
            raise unknown(key)
    return found
