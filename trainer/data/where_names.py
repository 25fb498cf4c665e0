"""Names in a condition that no patch can have: a mistyped class must not select nothing without a word."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from shards import CLASSES, SPLITS

SEASONS: Final = ("winter", "spring", "summer", "autumn")
VOCABULARIES: Final = {"labels": CLASSES, "season": SEASONS, "split": SPLITS}
"""Columns whose values are known beforehand."""

_COMPARISONS: Final = {"COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_IN", "COMPARE_NOT_IN"}
_MEMBERSHIP: Final = {
    f"{kind}_{what}"
    for kind in ("list", "array")
    for what in ("contains", "has", "has_any", "has_all", "position", "indexof")
} | {"contains", "&&", "@>", "<@"}


def unknown_name(nodes: Iterable[dict[str, Any]]) -> str | None:
    """Return what is wrong with the first name that is compared with a column of `VOCABULARIES` and is not of it.

    Args:
        nodes: all objects of a condition's syntax tree, as DuckDB's `json_serialize_sql` gives it.
    """
    for node in nodes:
        if node.get("type") not in _COMPARISONS and node.get("function_name") not in _MEMBERSHIP:
            continue
        operands = list(_operands(node))
        columns = [names[-1].lower() for operand in operands if (names := operand.get("column_names"))]
        for column in VOCABULARIES.keys() & set(columns):
            for text in _texts(operands):
                if text not in VOCABULARIES[column]:
                    close = difflib.get_close_matches(text, VOCABULARIES[column], n=1, cutoff=0.5)
                    hint = f", perhaps {close[0]!r}" if close else ""
                    return f"no patch can have {text!r} in {column}{hint}; there are {', '.join(VOCABULARIES[column])}"
    return None


def _operands(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (argument["expression"] for argument in node.get("arguments", []))
    yield from node.get("children", [])
    yield from (node[side] for side in ("left", "right") if side in node)


def _texts(operands: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the texts among operands, and in lists among them."""
    for operand in operands:
        literal = operand.get("literal")
        if isinstance(literal, dict) and literal.get("kind") == "STRING":
            yield literal["text"]
        elif operand.get("function_name") == "list_value":
            yield from _texts(_operands(operand))
