"""Fields of JSON objects, each taken with the type and the range that it must have."""

import math
import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from shards.errors import CorruptShard
from shards.reporting import printable

_SHOWN: Final = 80
"""Characters of a wrong value that an error shows."""


class Fields:
    """A JSON object whose fields are taken by name.

    Every method raises CorruptShard if the field is absent or is not as expected: the message says where it is, what it
    holds and what was expected.
    """

    def __init__(self, raw: Any, where: str) -> None:
        """Take an object.

        Args:
            raw: from `json.loads`.
            where: its place in the file, for errors; empty for the outermost.

        Raises:
            CorruptShard: it is no object.
        """
        if not isinstance(raw, dict):
            raise CorruptShard(f"{where or 'the whole'} is {shown(raw)}, expected an object")
        self._raw = raw
        self._where = where

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def where(self, name: str) -> str:
        """Return the place of a field, such as `splits.train.count`."""
        return f"{self._where}.{name}" if self._where else name

    def value(self, name: str) -> Any:
        """Return a field of any type."""
        if name not in self._raw:
            raise CorruptShard(f"{self.where(name)} is absent")
        return self._raw[name]

    def integer(self, name: str, low: int, high: int) -> int:
        """Return an integer of low … high; `true` and `1.0` are none."""
        value = self.value(name)
        if type(value) is not int or not low <= value <= high:
            raise self.unexpected(name, f"an integer of {low} … {high}")
        return value

    def number(self, name: str, low: float, high: float) -> float:
        """Return a finite number of low … high."""
        value = self.value(name)
        if type(value) not in (int, float) or not (low <= value <= high and math.isfinite(value)):
            raise self.unexpected(name, f"a number of {low:g} … {high:g}")
        return float(value)

    def text(self, name: str, pattern: re.Pattern[str], what: str) -> str:
        """Return a text that matches a pattern as a whole; `what` says so in an error."""
        value = self.value(name)
        if type(value) is not str or not pattern.fullmatch(value):
            raise self.unexpected(name, what)
        return value

    def choice(self, name: str, values: Collection[str]) -> str:
        """Return a text that is one of some."""
        value = self.value(name)
        if type(value) is not str or value not in values:
            raise self.unexpected(name, f"one of {', '.join(values)}")
        return value

    def items(self, name: str) -> list[Any]:
        """Return the elements of an array."""
        value = self.value(name)
        if type(value) is not list:
            raise self.unexpected(name, "an array")
        return value

    def fields(self, name: str) -> "Fields":
        """Return an object."""
        return Fields(self.value(name), self.where(name))

    def only(self, names: Collection[str]) -> None:
        """Require that the object has just these fields."""
        for name in names:
            self.value(name)
        if unknown := [name for name in self._raw if name not in names]:
            raise CorruptShard(f"{self._where or 'the whole'} has a field {shown(unknown[0])}, which is unknown")

    def unexpected(self, name: str, expected: str) -> CorruptShard:
        """Return the error for a field that is not as expected."""
        return CorruptShard(f"{self.where(name)} is {shown(self._raw[name])}, expected {expected}")


def shown(value: Any) -> str:
    """Return a value for an error: short, and without control characters."""
    text = f"an array of {len(value)}" if isinstance(value, list) else ""
    text = text or (f"an object of {len(value)}" if isinstance(value, dict) else repr(value))
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
