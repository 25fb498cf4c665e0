"""Dictionaries whose missing names are an error for people, with the names that there are."""

from typing import Any, NoReturn, TypeVar

from shards.errors import InvalidValue

Value = TypeVar("Value")


class UnknownName(InvalidValue, KeyError):
    """There is nothing of a name; for callers that expect a `KeyError` of a dictionary, it is one, too."""

    def __str__(self) -> str:
        """Return the message as it is, which a `KeyError` would quote."""
        return str(self.args[0])


class Named(dict[str, Value]):
    """A dictionary that says of a name that it lacks which there are; see its subclasses for what it holds."""

    what = "entry"

    def __missing__(self, name: Any) -> NoReturn:
        """Refuse a name.

        Raises:
            UnknownName: in place of a bare `KeyError`.
        """
        raise UnknownName(f"there is no {self.what} {name!r:.60}; there are {', '.join(self) or 'none'}")


class BySplit(Named[Value]):
    """Values by split of a store."""

    what = "split"


class ByBand(Named[Value]):
    """Values by band."""

    what = "band"


class ByRecipe(Named[Value]):
    """Values by recipe."""

    what = "recipe"
