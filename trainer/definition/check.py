"""Checks of options by their annotations and ranges, for values from files and callers."""

import math
import sys
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from trainer.definition.option import Option


class Checked:
    """A table of options, a dataclass whose values are checked when it is made.

    Attributes:
        TABLE: name of the table.
    """

    TABLE: ClassVar[str]

    def __post_init__(self) -> None:
        """Check types and ranges, and make paths of texts where paths are expected.

        Raises:
            InvalidValue: a value is not allowed; the message names the option, the expectation and the value.
        """
        take_texts(self)
        table: Any = type(self)
        hints = hints_of(table)
        for part in fields(self):  # type: ignore[arg-type]
            check(f"{self.TABLE}.{part.name}", getattr(self, part.name), hints[part.name], part.metadata["option"])


@lru_cache
def hints_of(table: Any) -> dict[str, Any]:
    """Return the types of the fields of a dataclass."""
    return get_type_hints(table)


def take_texts(table: Any) -> None:
    """Make paths, or addresses, of the texts in fields of a dataclass whose values are paths, or tuples of them.

    Raises:
        InvalidValue: an address is none of a store.
    """
    kind: Any = type(table)
    hints = hints_of(kind)
    for part in fields(table):
        hint, value = hints[part.name], getattr(table, part.name)
        kinds = kinds_of(hint)
        if isinstance(value, str) and Path in kinds and str not in kinds and value not in choices_of(hint):
            object.__setattr__(table, part.name, _path(value))
        elif isinstance(value, tuple) and any(get_origin(kind) is tuple and Path in get_args(kind) for kind in kinds):
            paths = tuple(_path(each) if isinstance(each, str) else each for each in value)
            object.__setattr__(table, part.name, paths)


def _path(text: str) -> str | Path:
    # Imported here, since it takes the libraries that read shards along.
    from shards.storage.remote.address import place_of

    return place_of(text) if text else text


def check(name: str, value: object, hint: Any, option: Option) -> None:
    """Check the value of an option.

    Args:
        name: of the option, for the error.
        value: to check.
        hint: its type, as it is annotated.
        option: its range.

    Raises:
        InvalidValue: the value is of another type, or out of the range.
    """
    if any(_is(value, kind, option) for kind in kinds_of(hint)):
        return
    # Imported here, since it takes the libraries that read shards along.
    from shards.errors import InvalidValue

    raise InvalidValue(f"{name} is {shown(value)}, expected {expected(hint, option)}")


def kinds_of(hint: Any) -> tuple[Any, ...]:
    """Return the types that a union consists of."""
    # With a Literal in it, a union is of the other kind.
    return get_args(hint) if get_origin(hint) in (UnionType, Union) else (hint,)


def choices_of(hint: Any) -> tuple[str | int, ...]:
    """Return the names or numbers that an option takes; empty if it takes others."""
    return next((get_args(kind) for kind in kinds_of(hint) if get_origin(kind) is Literal), ())


def expected(hint: Any, option: Option) -> str:
    """Return the values that an option takes, in words."""
    return " or ".join(_spelled(kind, option) for kind in kinds_of(hint) if kind is not NoneType)


def shown(value: object) -> str:
    """Return a value as an error shows it."""
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _is(value: object, kind: Any, option: Option) -> bool:
    """True if a value is of a type and in the range; a bool is no number, an integer is one."""
    if get_origin(kind) is Literal:
        return any(value == allowed and type(value) is type(allowed) for allowed in get_args(kind))
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        if not isinstance(value, tuple):
            return False
        of = [parts[0]] * len(value) if parts[-1] is ... else parts
        return len(value) == len(of) and all(_is(part, each, option) for part, each in zip(value, of, strict=True))
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
            return False
        # Larger integers have no float; NaN fails every comparison.
        is_number = kind is int or (abs(value) <= sys.float_info.max and math.isfinite(value))
        return is_number and _in_range(value, option)
    if kind is str or kind is Path:
        return isinstance(value, kind) and _is_text(str(value))
    return isinstance(value, kind)


def _in_range(value: float, option: Option) -> bool:
    return (
        (option.at_least is None or value >= option.at_least)
        and (option.above is None or value > option.above)
        and (option.at_most is None or value <= option.at_most)
        and (option.below is None or value < option.below)
    )


def _is_text(text: str) -> bool:
    """True if a text can stand in a file: it has no NUL and no surrogates, which stand for bytes that are no text."""
    return text == text.encode(errors="ignore").decode().replace("\0", "")


def _spelled(kind: Any, option: Option) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        if get_origin(parts[0]) is Literal:
            return f"a list of {', '.join(get_args(parts[0]))}"
        if Path in parts:
            return "a list of paths"
        return "a list of names" if str in parts else f"{len(parts)} numbers{_range(option)}"
    plain = {bool: "true or false", str: "text in UTF-8 without NUL", Path: "a path in UTF-8 without NUL"}
    return plain.get(kind) or f"{'an integer' if kind is int else 'a number'}{_range(option)}"


def _range(option: Option) -> str:
    words = {"of at least": option.at_least, "above": option.above, "at most": option.at_most, "below": option.below}
    parts = [f"{word} {value:,}" for word, value in words.items() if value is not None]
    return f" {' and '.join(parts)}" if parts else ""
