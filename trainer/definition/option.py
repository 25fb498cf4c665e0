"""An option as data: what its annotation and its default do not say."""

from dataclasses import MISSING, dataclass, field
from typing import Any, Final

MOST: Final = 2**31 - 1
"""Highest count of epochs, steps or patches."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of a run, beside its name, type and default.

    Attributes:
        help: a sentence on what it does.
        unit: of its values, such as `min`; empty for none.
        at_least: lowest value; None for no such limit.
        above: a limit that values exceed.
        at_most: highest value.
        below: a limit that values stay under.
        unset: what None stands for; empty if that is nothing.
        flag: whether the command line has a flag of its own for it; `--set` takes all options.
        metavar: placeholder for the value in help.
        bare: value of a flag without one; None if it needs one.
        resumable: whether it may change when a run is resumed, since it changes no step.
    """

    help: str
    unit: str = ""
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    unset: str = ""
    flag: bool = False
    metavar: str = ""
    bare: str | None = None
    resumable: bool = False


def option(default: Any = MISSING, *, help: str, **more: Any) -> Any:  # noqa: A002
    """Return the field of an option for a dataclass; `more` are other attributes of `Option`."""
    metadata = {"option": Option(help=help, **more)}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)
