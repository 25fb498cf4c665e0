"""Names in a condition that no patch can have: a mistyped class must not select nothing, or all, without a word."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from shards import CLASSES, SPLITS
from shards.layout.classes import FORTY_THREE
from shards.layout.facts import COUNTRIES

SEASONS: Final = ("winter", "spring", "summer", "autumn")
VOCABULARIES: Final = {"labels": CLASSES, FORTY_THREE.column: FORTY_THREE.names, "season": SEASONS, "split": SPLITS}
"""Columns whose values are known beforehand."""

_LISTED: Final = 50
"""Most names that a message lists."""

_LISTS: Final = {"labels", FORTY_THREE.column}
_COMPARISONS: Final = {
    f"COMPARE_{kind}" for kind in ("EQUAL", "NOTEQUAL", "IN", "NOT_IN", "DISTINCT_FROM", "NOT_DISTINCT_FROM")
}
_PARTS: Final = {"ARRAY_EXTRACT", "ARRAY_SLICE", "unnest", "filter"} | {
    f"{kind}_{what}"
    for kind in ("list", "array")
    for what in (
        *("extract", "element", "slice", "first", "last", "min", "max", "any_value", "sort", "reverse_sort", "reverse"),
        *("distinct", "intersect", "concat", "cat", "filter"),
    )
}
"""Operators and functions whose values are elements, or parts, of the list in their first argument."""

_MEMBERSHIP: Final = {
    f"{kind}_{what}"
    for kind in ("list", "array")
    for what in ("contains", "has", "has_any", "has_all", "position", "indexof", "intersect")
} | {"contains", "&&", "@>", "<@"}


def vocabularies_of(table: pa.Table) -> dict[str, tuple[str, ...]]:
    """Return the columns of an index whose values are known once it is, and these values.

    Countries are those of the patches and those of BigEarthNet, of which a store may hold a few: a condition that is
    right for the whole dataset is right for a part of it.
    """
    found = {name: set(table[name].unique().drop_null().to_pylist()) for name in ("country", "shard")}
    found["country"] |= set(COUNTRIES)
    return {name: tuple(sorted(values)) for name, values in found.items()}


def unknown_name(nodes: Iterable[dict[str, Any]], vocabularies: Mapping[str, Collection[str]]) -> str | None:
    """Return what is wrong with the first name that is compared with a column of `vocabularies` and is not of it.

    Args:
        nodes: all objects of a condition's syntax tree, as DuckDB's `json_serialize_sql` gives it.
        vocabularies: columns and the texts that they can have.
    """
    for node in nodes:
        if node.get("type") not in _COMPARISONS and node.get("function_name") not in _MEMBERSHIP:
            continue
        operands = list(_operands(node))
        columns = {_column(operand) for operand in operands}
        # `labels.list_contains('…')` names its first argument where a schema would stand.
        method = next(iter(node.get("qualified_name", {}).get("path", [])), "").lower()
        columns.add(method)
        if node.get("function_name") == "contains":
            # Of a text it asks for a part of it, which is no word of a vocabulary.
            columns -= {method, *map(_column, operands[:1])} - _LISTS
        for column in sorted(vocabularies.keys() & columns):
            known = vocabularies[column]
            for text in _texts(operands):
                if text not in known:
                    close = difflib.get_close_matches(text, known, n=1, cutoff=0.5)
                    hint = f", perhaps {close[0]!r}" if close else ""
                    listed = "; ".join(known) if len(known) <= _LISTED else f"{len(known):,} others"
                    return f"no patch can have {text!r:.160} in {column}{hint}; there are {listed}"
    return None


def _column(node: dict[str, Any]) -> str:
    """Return the column that the values of an operand come from; empty where none does."""
    if names := node.get("column_names"):
        return str(names[-1]).lower()
    if node.get("class") == "CAST":
        return _column(node["child"])
    if node.get("type") in _PARTS or node.get("function_name") in _PARTS:
        column = next((_column(operand) for operand in _operands(node)), "")
        # A part of a text is no word of a vocabulary.
        return column if column in _LISTS else ""
    return ""


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
        elif operand.get("function_name") in ("list_value", "list_pack", "row"):
            yield from _texts(_operands(operand))
        elif operand.get("class") == "CAST":
            yield from _texts([operand["child"]])
