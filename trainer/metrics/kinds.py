"""Values of JSON files compared with the kinds that the fields of dataclasses have."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from shards.errors import InvalidValue
from shards.text.json_fields import shown


def check_kinds(value: Any, where: str = "") -> None:
    """Check that the fields of a dataclass, and of those within it, hold what their annotations say.

    Args:
        value: an object of a dataclass whose fields are numbers, texts, flags, tuples, dicts and such objects.
        where: its place, for errors.

    Raises:
        InvalidValue: a field holds another kind, or an integer beyond 64 bits.
    """
    kinds = get_type_hints(type(value))
    for field in fields(value):
        _check(getattr(value, field.name), kinds[field.name], f"{where}.{field.name}".lstrip("."))


def _check(value: Any, kind: Any, where: str) -> None:
    if isinstance(kind, UnionType):
        if value is None and NoneType in get_args(kind):
            return
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    origin = get_origin(kind) or kind
    if origin is float:
        is_right = type(value) is float or (type(value) is int and abs(value) < 1 << 63)
    else:
        is_right = type(value) is origin and (origin is not int or abs(value) < 1 << 63)
    if not is_right:
        raise InvalidValue(f"{where} is {shown(value)}, expected {_WORDS.get(origin, 'an object')}")
    if origin is tuple:
        for each in value:
            _check(each, get_args(kind)[0], where)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            _check(each, get_args(kind)[1], f"{where}.{name:.80}")
    elif is_dataclass(value):
        check_kinds(value, where)


_WORDS = {int: "an integer", float: "a number", str: "a text", bool: "true or false", tuple: "an array"}
