"""Types of the options of a run, which files and callers may get wrong: checked by their annotations."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from shards.errors import InvalidValue
from trainer.data.augment.recipe import Augmentation


def from_json(name: str, value: object, hint: Any) -> Any:
    """Return the value of an option that `to_json` has made plain; what is of a wrong type stays as it is."""
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    if Path in kinds and isinstance(value, str):
        return Path(value)
    if name == "bands" and isinstance(value, list):
        return tuple(value)
    if hint is Augmentation and isinstance(value, Mapping):
        return _augmentation(name, value)
    return value


def _augmentation(name: str, values: Mapping[str, Any]) -> Augmentation:
    """Return the augmentation that JSON values describe; what they lack is as it is by default."""
    hints = get_type_hints(Augmentation)
    if unknown := [str(part) for part in values if part not in hints]:
        raise InvalidValue(f"{name} has {', '.join(unknown)}, expected only {', '.join(hints)}")
    parts: dict[str, Any] = {part: tuple(value) if isinstance(value, list) else value for part, value in values.items()}
    try:
        for part, value in parts.items():
            check_type(part, value, hints[part])
        return Augmentation(**parts)
    except InvalidValue as err:
        raise InvalidValue(f"{name}: {err}") from err


def check_type(name: str, value: object, hint: Any) -> None:
    """Check that the value of an option is of the type that its annotation says.

    Raises:
        InvalidValue: it is not.
    """
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    if not any(_is(value, kind) for kind in kinds):
        expected = " or ".join(_spelled(kind) for kind in kinds)
        raise InvalidValue(f"{name} is {shown(value)}, expected {expected}")


def _is(value: object, kind: Any) -> bool:
    """Whether a value is of a type as it stands in an annotation; a bool is no number, an integer is one."""
    if get_origin(kind) is Literal:
        return any(value == allowed and type(value) is type(allowed) for allowed in get_args(kind))
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            return False
        parts = get_args(kind)
        if parts[-1] is ...:
            return all(_is(part, parts[0]) for part in value)
        return len(value) == len(parts) and all(map(_is, value, parts))
    if kind is float:
        if isinstance(value, int) and not isinstance(value, bool):
            # Larger ones have no float.
            return abs(value) <= sys.float_info.max
        return isinstance(value, float)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _spelled(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(str(allowed) for allowed in get_args(kind))
    if get_origin(kind) is tuple:
        return "names" if str in get_args(kind) else f"{len(get_args(kind))} numbers"
    plain = {float: "a number", int: "an integer", bool: "true or false", str: "text", Path: "a path"}
    return "nothing" if kind is NoneType else plain.get(kind, kind.__name__)


def shown(value: object) -> str:
    """Return a value as an error shows it."""
    text = str(value) if isinstance(value, int | float) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
