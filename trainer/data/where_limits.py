"""How large a condition may be, and what it may call, so that its time and memory are bounded before it runs.

Every function here takes time and room in proportion to its arguments, so that no short text makes a long value, as
`repeat` does; and a lambda within a lambda, which multiplies, is refused. DuckDB's own limit of memory does not hold
for such values, and it cannot be interrupted within one.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

MAX_LENGTH: Final = 1 << 16  # characters
MAX_WILDCARDS: Final = 8  # In a text: DuckDB tries all ways to match them.
SECONDS: Final = 60.0
MEMORY: Final = "2GB"

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
    "epoch", "to_days", "to_weeks", "to_months", "to_quarters", "to_years", "list_value", "list_pack",
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
    """Return what is too much in the text of a condition; None if nothing is."""
    if len(where) > MAX_LENGTH:
        return (
            f"has {len(where):,} characters, expected at most {MAX_LENGTH:,}; "
            "name many patches in a file, with --patches"
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
        if node.get("class") == "LAMBDA" and any(
            inner.get("class") == "LAMBDA" for inner in objects(list(node.values()))
        ):
            return "holds a lambda within a lambda, expected one level"
        literal = node.get("literal")
        if isinstance(literal, dict) and literal.get("kind") == "STRING":
            wildcards = max(literal["text"].count("%"), literal["text"].count("*"))
            if wildcards > MAX_WILDCARDS:
                return f"holds a text with {wildcards:,} wildcards, expected at most {MAX_WILDCARDS}"
    return None


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
