"""Values of JSON files compared with the kinds that the fields of dataclasses have."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from shards.errors import InvalidValue
from shards.text.json_fields import shown

_T = TypeVar("_T")


def built(kind: type[_T], values: Any, where: str, **parts: type[Any]) -> _T:
    """Return an object of a dataclass, with the fields of an object of JSON.

    Args:
        kind: the dataclass.
        values: what the file has in its place; what its fields hold is compared by `check_kinds`.
        where: its place, for errors.
        parts: dataclasses of fields that hold such objects or null, or are absent, which is null, too.

    Raises:
        InvalidValue: it is no object, lacks a field that has no default, or has one that the dataclass lacks.
    """
    if not isinstance(values, Mapping):
        raise InvalidValue(f"{where} is {shown(values)}, expected an object")
    known = fields(kind)  # type: ignore[arg-type]
    needed = [each.name for each in known if each.default is MISSING and each.name not in parts]
    if absent := [name for name in needed if name not in values]:
        raise InvalidValue(f"{where}.{absent[0]} is absent")
    if other := [name for name in values if name not in {each.name for each in known}]:
        raise InvalidValue(f"{where} has a field {shown(other[0])}, which is none of metrics")
    made = {name: values.get(name) and built(part, values[name], f"{where}.{name}") for name, part in parts.items()}
    return kind(**{**values, **made})


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
