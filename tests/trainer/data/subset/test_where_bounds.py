"""Time and memory that a condition may take."""

import resource
import threading
import time

import psutil
import pyarrow as pa
import pytest

from shards import Index, Store
from trainer.data.subset import where_watch
from trainer.data.subset.where import rows_where


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            " or ".join("month = 6" for _ in range(20_000)),
            "has 259,996 characters, .*`patches=FILE`",
        ),
        (f"country = '{'x' * 10**6}'", "has 1,000,012 characters"),
        ("(" * 30_000 + "true" + ")" * 30_000, "expression depth limit"),
        ("len(repeat('x', 1000000000)) > 5", "calls repeat, expected comparisons of columns"),
        ("len('x'.repeat(1000000000)) > 5", "calls repeat"),
        ("main.rpad(key, 1000000000, 'x') = 'a'", "calls rpad"),
        ("replace(replace(key, 'a', 'aaaaaaaaa'), 'a', 'aaaaaaaaa') = 'a'", "calls replace"),
        ("printf('%1000000000d', month) = 'a'", "calls printf"),
        ("list_reduce(labels, lambda a, b: a || a || b || b) = 'a'", "calls list_reduce"),
        ("len(list_filter(labels, lambda a: len(list_filter(labels, lambda b: b < a)) > 0)) > 0", "lambda within a la"),
        ("len([[y for y in labels if y < x] for x in labels]) > 0", "lambda within a lambda"),
        (
            "len(list_transform(list_transform([key], lambda x: x || x), lambda x: x || x)) > 0",
            "a lambda that repeats what another one has repeated",
        ),
        ("len([x || x for x in [y || y for y in labels]]) > 0", "a lambda that repeats what another one has repeated"),
        ("len(string_split(list_transform(labels, lambda x: x || 'b')::VARCHAR, '')) > 0", "splits what comes from"),
        ("len(split(string_split(key, '')::VARCHAR, '')) > 0", "splits what comes from"),
        ("len(list_concat(split(key, ''), ('[' || split(key, '')::VARCHAR || ']')::VARCHAR[])) > 0", "splits what com"),
        ("len(list_filter(labels, lambda x: len(string_split(x, '')) > 3)) > 0", "splits texts within a lambda"),
        (f"len(list_transform(labels, lambda x: x || '{'a' * 2048}')) > 0", "a lambda of 2,051 parts and characters"),
        ("key LIKE '%a%a%a%a%a%a%a%a%b'", "a text with 9 wildcards, expected at most 8"),
        ("key GLOB '*a*a*a*a*a*a*a*a*b'", "a text with 9 wildcards, expected at most 8"),
    ],
)
def test_time_and_memory_of_a_condition_are_bounded(varied: Store, where: str, message: str) -> None:
    """A short text takes all memory, or runs for ever where it cannot be interrupted."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    with pytest.raises(ValueError, match=message) as caught:
        rows_where(where, varied.index)
    assert time.process_time() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 << 10  # KiB
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize(
    "where",
    [
        f"len(list_transform(string_split('{'a' * 60_000}' || key, ''), lambda x: x || key)) > 0",
        f"len(list_sort(string_split(key || '{'a,' * 30_000}', ','))) > 0",
        f"len(string_split('{'a' * 60_000}' || key, '')) > 0",
        f"len(('[' || key || '{',a' * 30_000}]')::VARCHAR[]) > 0",
        f"len('{'a' * 60_000}' || key{' || key' * 80}) > 0",
        f"len(list_transform([{'1,' * 25_000}1], lambda x: x || '{'a' * 2_000}')) > 0",
    ],
    ids=["lambda", "sort", "split", "cast", "deep", "product"],
)
def test_long_values_take_little_memory(varied: Store, where: str) -> None:
    """A condition of allowed functions takes 12 GB for the 2,048 rows that DuckDB evaluates at a time."""
    table = pa.concat_tables([varied.index.table] * 3).slice(0, 300).combine_chunks()
    done, most = threading.Event(), 0
    process = psutil.Process()
    before = process.memory_info().rss

    def measure() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = max(most, process.memory_info().rss - before)

    (measuring := threading.Thread(target=measure)).start()
    try:
        assert len(rows_where(where, Index(table))) == 300
    finally:
        done.set()
        measuring.join()
    assert most < 350e6


def test_a_condition_that_takes_too_much_memory_ends(varied: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB's own limit does not count the values of vectors."""
    monkeypatch.setattr(where_watch, "MEMORY", -(2**60))
    numbers = ", ".join(str(number) for number in range(8000))
    table = pa.concat_tables([varied.index.table] * 500)
    with pytest.raises(ValueError, match="of memory, expected comparisons of columns"):
        rows_where(f"len(list_filter([{numbers}], lambda x: x % 7 = ulx % 5)) >= 1", Index(table.combine_chunks()))


@pytest.mark.parametrize(
    "where",
    [
        "len([x for x in labels if x > 'A' and x < 'Z']) >= 0",
        "len(list_transform(list_filter(labels, lambda x: x > 'A' and x < 'Z'), lambda x: x || lower(x))) >= 0",
        "string_split(key, '_')[1] <> 'x'",
        "len(string_split(labels[1], ' ')) > 0 or num_labels = 0",
        f"key NOT IN ({', '.join(repr(str(i)) for i in range(4000))}) "
        "and len(list_filter(labels, lambda x: x < 'A')) = 0",
        f"len(list_filter([{', '.join(map(str, range(8000)))}], lambda x: x > ulx)) = 0",
    ],
    ids=map(str, range(6)),
)
def test_bounds_leave_common_conditions_alone(varied: Store, where: str) -> None:
    """A condition that takes little is refused, or loses rows where it is evaluated in parts."""
    assert rows_where(where, varied.index).tolist() == list(range(varied.index.table.num_rows))


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.05, 0.3])
def test_a_condition_that_takes_too_long_ends(varied: Store, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """A condition of allowed functions runs for hours."""
    # The shorter, the likelier that the time is over between two statements.
    monkeypatch.setattr(where_watch, "SECONDS", seconds)
    numbers = ", ".join(str(number) for number in range(8000))
    table = pa.concat_tables([varied.index.table] * 500)
    with pytest.raises(ValueError, match=rf"takes more than {seconds} s"):
        rows_where(f"len(list_filter([{numbers}], lambda x: x % 7 = ulx % 5)) >= 1", Index(table.combine_chunks()))
