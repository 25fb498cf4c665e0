"""Marks that tests get from what they use: fixtures, and what their code starts."""

import functools
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

import pytest

FIXTURES: Final = {
    "browser": {"browser"},
    "cluster": {"scheduler"},
    "real": {"v1_tree", "v1_splits", "v2_tree", "scene_tree"},
    "server": {"address", "s3", "shelf", "web"},
    "train": {"run", "runs_folder", "trained"},
}
"""For each mark the fixtures whose tests get it."""
MODULES: Final = {
    "process": {
        "subprocess",
        "tests.support.running.commands",
        "tests.support.running.clusters",
        "tests.support.running.hosts",
        "tests.support.running.terminal",
    }
}
"""For each mark the modules whose use by a test, or by functions that it calls, sets it."""


def kinds(item: pytest.Item) -> set[str]:
    """Return the marks of a test."""
    fixtures = set(getattr(item, "fixturenames", ()))
    modules = _modules_used(getattr(item, "function", None))
    found = {mark for mark, names in FIXTURES.items() if fixtures & names}
    return found | {mark for mark, names in MODULES.items() if modules & names}


@functools.cache  # a test has up to hundreds of cases
def _modules_used(test: Any) -> frozenset[str]:
    return frozenset(module for function in _functions(test) for module in _modules(function))


def _functions(test: Any) -> Iterator[FunctionType]:
    """Yield the function of a test, those of its module that it calls, and those that these call."""
    waiting: list[Any] = [test]
    seen: set[int] = set()
    while waiting:
        function = waiting.pop()
        function = getattr(function, "__wrapped__", function)
        if not isinstance(function, FunctionType) or id(function) in seen:
            continue
        seen.add(id(function))
        yield function
        waiting += [
            value for value in _globals(function) if isinstance(value, FunctionType) and _is_of_tests(value.__module__)
        ]


def _globals(function: FunctionType) -> Iterator[Any]:
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield function.__globals__[name]


def _modules(function: FunctionType) -> Iterator[str]:
    for value in _globals(function):
        if isinstance(value, ModuleType):
            yield value.__name__
        elif isinstance(value, (FunctionType, type)):
            yield value.__module__


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names in a function, and in the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_of_tests(module: str) -> bool:
    return module.partition(".")[0] == "tests"
