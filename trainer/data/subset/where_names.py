"""Names in a condition that no patch can have: a mistyped class must not select nothing, or all, without a word."""

import difflib
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from shards import CLASSES, SPLITS
from shards.layout.classes import FORTY_THREE
from shards.layout.facts import COUNTRIES
from trainer.data.subset.where_limits import objects

SEASONS: Final = ("winter", "spring", "summer", "autumn")
VOCABULARIES: Final = {"labels": CLASSES, FORTY_THREE.column: FORTY_THREE.names, "season": SEASONS, "split": SPLITS}
"""Columns whose values are known beforehand."""

_LISTED: Final = 50
"""Most names that a message lists."""

_LISTS: Final = {"labels", FORTY_THREE.column}
_COMPARISONS: Final = {
    f"COMPARE_{kind}" for kind in ("EQUAL", "NOTEQUAL", "IN", "NOT_IN", "DISTINCT_FROM", "NOT_DISTINCT_FROM")
}
_ROWS: Final = {"row", "struct_pack"}
_ELEMENTS: Final = {"list_value", "list_pack"}
_CASES: Final[dict[str, Callable[[str], str]]] = {
    "lower": str.lower,
    "lcase": str.lower,
    "upper": str.upper,
    "ucase": str.upper,
}
_COALESCE: Final = "OPERATOR_COALESCE"
_NULL_IF_EQUAL: Final = "nullif"
_PARTS: Final = {"ARRAY_EXTRACT", "ARRAY_SLICE", "unnest", "filter"} | {
    f"{kind}_{what}"
    for kind in ("list", "array")
    for what in (
        *("extract", "element", "slice", "first", "last", "min", "max", "any_value", "sort", "reverse_sort", "reverse"),
        *("distinct", "intersect", "concat", "cat", "filter"),
    )
}
"""Operators and functions whose values are elements, or parts, of the list in their first argument."""

_ELEMENT_PARTS: Final = {"ARRAY_EXTRACT", "unnest"} | {
    f"{kind}_{what}"
    for kind in ("list", "array")
    for what in ("extract", "element", "first", "last", "min", "max", "any_value")
}
"""Those of `_PARTS` whose value is one element: of a list of names a name, of which a part is none."""

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
        for body in _bodies(node):
            if fact := unknown_name(objects(body), vocabularies):
                return fact
        called = node.get("function_name")
        if node.get("type") not in _COMPARISONS and called not in _MEMBERSHIP and called != _NULL_IF_EQUAL:
            continue
        operands = list(_operands(node))
        columns = {_column(operand) for operand in operands}
        kinds = _ROWS if called in _MEMBERSHIP else _ROWS | _ELEMENTS
        for group in _by_position(operands, kinds):
            for column in sorted(vocabularies.keys() & {_column(operand) for operand in group}):
                if fact := _unknown(column, vocabularies[column], group):
                    return fact
        # `labels.list_contains('…')` names its first argument where a schema would stand.
        method = next(iter(node.get("qualified_name", {}).get("path", [])), "").lower()
        columns.add(method)
        if called == "contains":
            # Of a text it asks for a part of it, which is no word of a vocabulary.
            texts = {_column(operand) for operand in operands[:1] if _is_element(operand)}
            columns -= ({method, *map(_column, operands[:1])} - _LISTS) | texts
        for column in sorted(vocabularies.keys() & columns):
            if fact := _unknown(column, vocabularies[column], operands):
                return fact
    return None


def _bodies(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the bodies of the lambdas of a function of a list of names, with an element of it for their parameter."""
    operands = list(_operands(node))
    column = next(map(_column, operands), "")
    for operand in operands[1:]:
        if column in _LISTS and operand.get("class") == "LAMBDA":
            # The second parameter, if there is one, is a number.
            [parameter, *_] = [operand["lhs"]] if "column_names" in operand["lhs"] else _operands(operand["lhs"])
            element = {"function_name": "list_extract", "children": [{"column_names": [column]}]}
            yield _replaced(operand["expr"], [name.lower() for name in parameter["column_names"]], element)


def _replaced(document: Any, names: list[str], element: dict[str, Any]) -> Any:
    """Return a document with an element in place of the references to a parameter."""
    if isinstance(document, list):
        return [_replaced(value, names, element) for value in document]
    if not isinstance(document, dict):
        return document
    if [name.lower() for name in document.get("column_names", [])] == names:
        return element
    return {key: _replaced(value, names, element) for key, value in document.items()}


def _unknown(column: str, vocabulary: Collection[str], operands: list[dict[str, Any]]) -> str | None:
    """Return what is wrong with the first text among operands that no value of a column can be equal to."""
    case: Callable[[str], str] = str
    replacements, fold = set[str](), _fold(operands)
    for node in _within(operand for operand in operands if _column(operand) == column):
        case = _CASES.get(node.get("function_name", ""), case)
        if node.get("type") == _COALESCE:
            replacements |= set(_texts(node["children"][1:]))
    names = [case(name) for name in vocabulary]
    known = {fold(name) for name in (*names, *replacements)}
    for text in _texts(operands):
        if fold(text) not in known:
            close = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
            hint = f", perhaps {close[0]!r}" if close else ""
            listed = "; ".join(names) if len(names) <= _LISTED else f"{len(names):,} others"
            return f"no patch can have {text!r:.160} in {column}{hint}; there are {listed}"
    return None


def _by_position(operands: list[dict[str, Any]], kinds: Collection[str]) -> Iterator[list[dict[str, Any]]]:
    """Yield, of rows or lists that are compared, the elements that are compared with each other."""
    rows = []
    for operand in operands:
        elements = list(_operands(operand))
        if operand.get("function_name") in _ELEMENTS and elements and all(map(_is_row, elements)):
            rows += [list(_operands(element)) for element in elements]
        elif operand.get("function_name") in kinds:
            rows.append(elements)
    if len(rows) > 1:
        for i in range(max(map(len, rows))):
            group = [row[i] for row in rows if i < len(row)]
            yield group
            yield from _by_position(group, kinds)


def _is_row(node: dict[str, Any]) -> bool:
    return node.get("function_name") in _ROWS


def _within(nodes: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield operands, and what they make their values from, if the column that these come from stays the same."""
    for node in nodes:
        yield node
        if node.get("class") in ("CAST", "COLLATE"):
            yield from _within([node["child"]])
        elif node.get("function_name") in _CASES or node.get("type") == _COALESCE:
            yield from _within(list(_operands(node))[:1])


def _fold(operands: list[dict[str, Any]]) -> Callable[[str], str]:
    """Return what makes texts equal that are so under the collations of a comparison."""
    named = [node["collation"].lower() for node in _within(operands) if node.get("class") == "COLLATE"]
    has_case, has_accents = ("nocase" not in " ".join(named), "noaccent" not in " ".join(named))

    def fold(text: str) -> str:
        text = text if has_case else text.casefold()
        if has_accents:
            return text
        return "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one))

    return fold


def _column(node: dict[str, Any]) -> str:
    """Return the column that the values of an operand come from; empty where none does."""
    if names := node.get("column_names"):
        return str(names[-1]).lower()
    if node.get("class") in ("CAST", "COLLATE"):
        column = _column(node["child"])
        is_text = node.get("type_expr", {}).get("type_name", "list").lower() != "list"
        # The text of a whole list is no word of a vocabulary.
        return "" if is_text and column in _LISTS and not _is_element(node["child"]) else column
    if node.get("function_name") in _CASES or node.get("type") == _COALESCE:
        return next((_column(operand) for operand in _operands(node)), "")
    if node.get("type") in _PARTS or node.get("function_name") in _PARTS:
        of = next(_operands(node), {})
        column = _column(of)
        # A part of a text is no word of a vocabulary.
        return column if column in _LISTS and not _is_element(of) else ""
    return ""


def _is_element(node: dict[str, Any]) -> bool:
    """Return whether an operand is one element of a list."""
    if node.get("class") in ("CAST", "COLLATE"):
        return _is_element(node["child"])
    if node.get("function_name") in _CASES or node.get("type") == _COALESCE:
        return any(map(_is_element, _operands(node)))
    return node.get("type") in _ELEMENT_PARTS or node.get("function_name") in _ELEMENT_PARTS


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
        elif operand.get("function_name") in _ELEMENTS | _ROWS:
            yield from _texts(_operands(operand))
        elif operand.get("class") in ("CAST", "COLLATE"):
            yield from _texts([operand["child"]])
