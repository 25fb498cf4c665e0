"""Faults of SQL expressions in words for those who wrote them, and not for DuckDB's programmers."""

import difflib
import re
from collections.abc import Sequence
from typing import Final

_NO_COLUMN: Final = re.compile(r'Referenced column "(.+?)" not found|Could not find key "(.+?)" in struct')
_NO_FUNCTION: Final = re.compile(r"Function with name (.+?) does not exist")
_LIST: Final = re.compile(r"VARCHAR\[\]")
_NO_DATE: Final = re.compile(r"^Cannot compare values of type (?:DATE|TIMESTAMP)\b|\band type (?:DATE|TIMESTAMP)$")
_NAME: Final = re.compile(r"\b(?:labels43|labels|data\.\w+)\b", re.IGNORECASE)
_ADVICE: Final = re.compile(r"\. You might need to add explicit type casts\.?$| - an explicit cast is required$")
"""Ends of lines that DuckDB adds for programmers."""
_CLOSE: Final = 0.6


def fact_of(line: str, expression: str, columns: Sequence[str], there_are: str) -> str:
    """Return what is wrong with an expression.

    Args:
        line: what DuckDB says, without the kind of the error in front.
        expression: the expression.
        columns: names that it may use; those of parts of a column have dots.
        there_are: the columns in words, to end a sentence about one that there is not.
    """
    if found := _NO_COLUMN.search(line):
        # Of a part that there is not, DuckDB says the last name alone.
        named = re.search(rf"[\w.]*\b{re.escape(found[2])}\b", expression) if found[2] else None
        name = found[1] or (named[0] if named else found[2])
        return f"there is no column {name}{_hint(name, expression, columns)}; {there_are}"
    if found := _NO_FUNCTION.search(line):
        name = found[1]
        if name.strip("_").isidentifier():
            return f"the function {name} does not exist"
        return f"the operator {name} does not exist{', perhaps =' if set(name) == {'='} else ''}"
    if "STRUCT(" in line:
        return "it compares a whole table of options or scores, expected one of them, such as model.model"
    line = _ADVICE.sub("", line).rstrip("!.")
    if _LIST.search(line):
        name = _NAME.search(expression)
        return f"{line}; a text is found in a list by list_contains({name[0] if name else 'LIST'}, 'TEXT')"
    if _NO_DATE.search(line):
        return f"{line}; a date is compared with a text such as '2018-06-30', a year by year(date)"
    return line


def _hint(name: str, expression: str, columns: Sequence[str]) -> str:
    if f'"{name}"' in expression and name.lower() not in columns:
        return f" (texts stand between single quotes: '{name}')"
    same = [each for each in columns if each.rpartition(".")[2] == name.lower()]
    close = same[:3] or difflib.get_close_matches(name.lower(), columns, n=1, cutoff=_CLOSE)
    return f", perhaps {' or '.join(close)}" if close else ""
