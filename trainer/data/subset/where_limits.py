"""Limits on the size and the calls of a condition, so that its time and memory are bounded before it runs.

Every function here takes time and room in proportion to its arguments, so that no short text makes a long value, as
`repeat` does. What multiplies is refused or held small: lambdas in lambdas, lambdas that double what others have
doubled, splitting what a list has become. DuckDB's own limit of memory does not hold for the values of a vector, and it
cannot be interrupted within one; so where values can become long, few rows are evaluated at a time.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

MAX_LENGTH: Final = 1 << 16  # characters
MAX_WILDCARDS: Final = 8  # In a text: DuckDB tries all ways to match them.
MAX_BODY: Final = 2048  # Expressions, and characters of texts, in a lambda.
SECONDS: Final = 60.0
MEMORY: Final = 2_000_000_000  # bytes
WATCH_SECONDS: Final = 0.02
VECTOR_ROWS: Final = 2048  # Rows that DuckDB evaluates at a time.
_VECTOR_CHARACTERS: Final = 1 << 20
_VECTOR_PRODUCTS: Final = 1 << 30
_SPLITS: Final = frozenset({"string_split", "str_split", "split", "string_to_array"})
_FILTERS: Final = frozenset({"list_filter", "array_filter", "filter"})

# fmt: off
FUNCTIONS: Final = frozenset({
    "+", "-", "*", "/", "//", "%", "^", "**", "&", "|", "~", "<<", ">>", "~~", "!~~", "~~*", "!~~*", "~~~", "^@",
    "||", "@>", "<@", "&&", "<=>", "like_escape", "not_like_escape", "ilike_escape", "not_ilike_escape", "lower",
    "lcase", "upper", "ucase", "length", "len", "strlen", "char_length", "character_length", "substring", "substr",
    "left", "right", "trim", "ltrim", "rtrim", "strip_accents", "starts_with", "prefix", "ends_with", "suffix",
    "contains", "position", "strpos", "instr", "reverse", "split_part", "string_split", "str_split", "split",
    "string_to_array", "regexp_matches", "regexp_full_match", "regexp_extract", "concat", "concat_ws", "hash",
    "md5", "sha1", "sha256", "abs", "sign", "round", "floor", "ceil", "ceiling", "trunc", "sqrt", "mod", "fmod",
    "power", "pow", "ln", "log", "log2", "log10", "exp", "greatest", "least", "bit_count", "xor", "isnan", "isinf",
    "isfinite", "add", "subtract", "multiply", "divide", "year", "month", "day", "dayofmonth", "dayofweek",
    "isodow", "weekday", "dayofyear", "week", "weekofyear", "isoyear", "yearweek", "quarter", "decade", "century",
    "hour", "minute", "second", "date_part", "datepart", "date_trunc", "datetrunc", "date_diff", "datediff",
    "date_sub", "datesub", "date_add", "strftime", "strptime", "make_date", "monthname", "dayname", "last_day",
    "epoch", "time_bucket", "to_seconds", "to_minutes", "to_hours", "to_days", "to_weeks", "to_months", "to_quarters",
    "to_years", "make_timestamp", "list_value", "list_pack",
    "list_contains", "array_contains", "list_has", "array_has", "list_has_any", "array_has_any", "list_has_all",
    "array_has_all", "list_position", "array_position", "list_indexof", "array_indexof", "list_extract",
    "array_extract", "list_element", "array_length", "list_filter", "array_filter", "filter", "list_transform",
    "array_transform", "list_apply", "array_apply", "apply", "list_any_value", "list_first", "list_last",
    "list_count", "list_distinct", "array_distinct", "list_unique", "array_unique", "list_sort", "array_sort",
    "list_reverse_sort", "array_reverse_sort", "list_reverse", "array_reverse", "list_intersect", "array_intersect",
    "list_slice", "array_slice", "list_concat", "array_concat", "list_cat", "array_cat", "list_append",
    "array_append", "list_prepend", "array_prepend", "list_min", "list_max", "list_sum", "list_avg",
    "list_bool_and", "list_bool_or", "list_aggregate", "list_aggr", "array_aggregate", "array_aggr", "row",
    "ifnull", "nullif", "if", "coalesce", "constant_or_null", "struct_pack", "struct_extract",
})
# fmt: on


def excess(where: str) -> str | None:
    """Return what is too much in the text of a condition, or is no text at all; None if nothing is."""
    try:
        where.encode()
    except UnicodeEncodeError as err:
        return f"holds {where[err.start]!r} at character {err.start + 1:,}, expected Unicode text"
    if len(where) > MAX_LENGTH:
        return (
            f"has {len(where):,} characters, expected at most {MAX_LENGTH:,}; "
            "name many patches in a file, with `patches=FILE`"
        )
    return None


def excess_of_tree(nodes: Iterable[dict[str, Any]], existing: frozenset[str]) -> str | None:
    """Return what in a condition has no bound of time or memory; None if nothing has.

    Args:
        nodes: all objects of its syntax tree.
        existing: names of DuckDB's functions of single values; others are refused when the condition is bound.
    """
    for node in nodes:
        name = node.get("function_name", "")
        if name in existing and name not in FUNCTIONS:
            return f"calls {name}, expected comparisons of columns; functions that make long values are not taken"
        if fact := _multiplies(node):
            return fact
        literal = node.get("literal")
        if isinstance(literal, dict) and literal.get("kind") == "STRING":
            wildcards = max(literal["text"].count("%"), literal["text"].count("*"))
            if wildcards > MAX_WILDCARDS:
                return f"holds a text with {wildcards:,} wildcards, expected at most {MAX_WILDCARDS}"
    return None


def rows_at_a_time(nodes: Iterable[dict[str, Any]]) -> int | None:
    """Return how many rows of a condition may be evaluated together; None for as many as DuckDB takes.

    A value that a function makes of a row is about as long as its arguments are written; with a lambda, as long as a
    list times the body of the lambda.
    """
    rows = VECTOR_ROWS
    for node in nodes:
        if "function_name" in node or _is_split(node):
            size = _size(objects(node))
            takes_lambda = any(inner.get("class") == "LAMBDA" for inner in _below(node))
            most = _VECTOR_PRODUCTS // (size * min(size, MAX_BODY)) if takes_lambda else _VECTOR_CHARACTERS // size
            rows = min(rows, max(1, most))
    return rows if rows < VECTOR_ROWS else None


def _multiplies(node: dict[str, Any]) -> str | None:
    """Return why the values of an expression can be longer than its text by more than a product of two of its parts."""
    if _is_split(node) and any(inner.get("class") == "LAMBDA" or _is_split(inner) for inner in _below(node)):
        return "splits what comes from a split or a lambda, expected one level"
    if node.get("class") == "LAMBDA":
        body = list(objects(node["expr"]))
        if any(inner.get("class") == "LAMBDA" for inner in body):
            return "holds a lambda within a lambda, expected one level"
        if any(map(_is_split, body)):
            return "splits texts within a lambda, expected one level"
        if (size := _size(body)) > MAX_BODY:
            return f"holds a lambda of {size:,} parts and characters, expected at most {MAX_BODY:,}"
    if _doubles(node) and any(map(_doubles, _below(node))):
        return "holds a lambda that repeats what another one has repeated, expected one level"
    return None


def _is_split(node: dict[str, Any]) -> bool:
    """Return whether an expression makes a list of a text."""
    return node.get("function_name") in _SPLITS or node.get("type_expr", {}).get("type_name", "").lower() == "list"


def _doubles(node: dict[str, Any]) -> bool:
    """Return whether a function makes values in which those of its list are more than once."""
    if node.get("function_name") in _FILTERS:
        return False
    for argument in node.get("arguments", []):
        expression = argument["expression"]
        if expression.get("class") == "LAMBDA":
            names = {inner["column_names"][0] for inner in objects(expression["lhs"]) if "column_names" in inner}
            body = objects(expression["expr"])
            return sum(inner.get("column_names", [""])[0] in names for inner in body) > 1
    return False


def _size(nodes: Iterable[dict[str, Any]]) -> int:
    """Return the number of expressions, and of the characters of texts, among the objects of a syntax tree."""
    return sum(("class" in node) + len(_text(node)) for node in nodes)


def _text(node: dict[str, Any]) -> str:
    literal = node.get("literal")
    return str(literal.get("text", "")) if isinstance(literal, dict) else ""


def _below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return objects(list(node.values()))


def objects(document: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a JSON document."""
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left += value.values()
        elif isinstance(value, list):
            left += value
