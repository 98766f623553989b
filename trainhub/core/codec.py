"""Frozen dataclasses to and from JSON-ready values: camelCase outside, snake_case inside.

Loading is strict: values are not coerced, and unknown fields are rejected. A BadMessage names the
field by its path. A trailing underscore (`from_`, `class_`) is for Python only.
"""

import dataclasses
import operator
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import StrEnum
from functools import cache, partial
from sys import intern
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from trainhub.core.errors import BadMessage

T = TypeVar("T")
Loader = Callable[[Any, str], Any]
FieldReader = Callable[[Any], Any]

# Clients that use IEEE 754 doubles cannot represent every larger integer.
LARGEST_INT = 2**53 - 1
# Characters of a text that many objects have: the code of a station, a coach, a class or a berth.
SHARED_TEXT = 6
# Characters.
LONGEST_TEXT = 1_000
# Times that every client can show in every time zone, in seconds since 1970 UTC: 1970 to 8999.
FIRST_MOMENT = 0
LAST_MOMENT = 221_845_392_000
# Years of dates.
FIRST_YEAR = 1971
LAST_YEAR = 8998


def camel(name: str) -> str:
    """Return a field's name in JSON: `startDate` for `start_date`, `from` for `from_`."""
    head, *rest = name.rstrip("_").split("_")
    return head + "".join(part.capitalize() for part in rest)


def dump(value: Any) -> Any:
    """Return a JSON-ready copy of a dataclass, or of a value that a dataclass may contain."""
    return value if type(value) in _AS_IT_IS else _dumper(type(value))(value)


def load(cls: type[T], data: Any, path: str = "") -> T:
    """Make a `cls` from a JSON object. Raises BadMessage, which names the first wrong field."""
    if not isinstance(data, Mapping):
        raise BadMessage(f"{path or 'the message'} is an object, not {_shown(data)}")
    plan = _plan(cls)
    prefix = f"{path}." if path else ""
    for name in data:
        if name not in plan:
            raise BadMessage(
                f"unknown field{_named(prefix, name)}; expected one of {', '.join(plan)}"
            )
    values = {}
    for name, (attr, required, loader) in plan.items():
        if name in data:
            values[attr] = loader(data[name], prefix + name)
        elif required:
            raise BadMessage(f"{prefix}{name} is missing")
    return cls(**values)


def reload(cls: type[T], data: Mapping[str, Any]) -> T:
    """Make a `cls` from the output of `dump`. This is several times as fast as `load`.

    Nothing is checked, so use it only for data that the hub itself wrote. Equal codes are one
    object in memory.
    """
    plan = _reload_plan(cls)
    try:
        values = {
            attr: data[name] if read is None else read(data[name]) for attr, name, read in plan
        }
    except KeyError:  # a field with a default was added since
        values = {
            attr: data[name] if read is None else read(data[name])
            for attr, name, read in plan
            if name in data
        }
    return cls(**values)


def _names_of(cls: type) -> tuple[tuple[str, str], ...]:
    return tuple((field.name, camel(field.name)) for field in dataclasses.fields(cls))


def _dumper_of(cls: type) -> Callable[[Any], Any]:
    """Return the function that makes JSON-ready copies of the values of one class."""
    if dataclasses.is_dataclass(cls):
        return partial(_dump_fields, _names(cls))
    if issubclass(cls, StrEnum):
        return operator.attrgetter("_value_")
    if issubclass(cls, date):
        return cls.isoformat
    if issubclass(cls, tuple | list):
        return lambda items: [dump(item) for item in items]
    if issubclass(cls, Mapping):
        return lambda items: {key: dump(item) for key, item in items.items()}
    raise TypeError(f"{cls.__name__} has no JSON form here")


def _dump_fields(names: tuple[tuple[str, str], ...], value: Any) -> dict[str, Any]:
    fields = {}
    for attr, name in names:
        field = getattr(value, attr)
        kind = type(field)
        # Most fields are plain values, which need no call.
        fields[name] = field if kind in _AS_IT_IS else _dumper(kind)(field)
    return fields


def _plan_of(cls: type) -> dict[str, tuple[str, bool, Loader]]:
    hints = get_type_hints(cls, include_extras=True)
    return {
        camel(field.name): (field.name, _required(field), _loader(hints[field.name]))
        for field in dataclasses.fields(cls)
    }


def _required(field: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _loader(hint: Any) -> Loader:
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        plain, *notes = args
        longest = next((note.longest for note in notes if note.longest), None)
        inner = _loader(plain) if longest is None else partial(_load_text, longest=longest)
        normal = next((note.normal for note in notes if note.normal), None)
        return inner if normal is None else lambda value, path: inner(normal(value), path)
    if origin in (Union, UnionType):
        (inner,) = (_loader(arg) for arg in args if arg is not NoneType)
        return lambda value, path: None if value is None else inner(value, path)
    if origin is tuple:
        item = _loader(args[0])
        return lambda value, path: _load_items(item, value, path)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return lambda value, path: _load_member(hint, value, path)
    if dataclasses.is_dataclass(hint):
        return lambda value, path: load(hint, value, path)  # type: ignore[arg-type]
    raise TypeError(f"no loader for {hint}")


def _reload_plan_of(cls: type) -> tuple[tuple[str, str, FieldReader | None], ...]:
    hints = get_type_hints(cls)
    return tuple((attr, name, _reader(hints[attr])) for attr, name in _names(cls))


def _reader(hint: Any) -> FieldReader | None:
    """Return the function that makes a value from its JSON form. None means that both are equal."""
    if hint in _READERS:
        return _READERS[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (inner,) = (_reader(arg) for arg in args if arg is not NoneType)
        if inner in (None, _shared):
            return inner
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = _reader(args[0])
        return tuple if item is None else lambda value: tuple(map(item, value))
    if issubclass(hint, StrEnum):
        return {member.value: member for member in hint}.__getitem__
    return partial(reload, hint)


def _shared(text: str | None) -> str | None:
    """Return the text, as one object in memory if it is as short as a code."""
    return text if text is None or len(text) > SHARED_TEXT else intern(text)


def _load_items(item: Loader, value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise BadMessage(f"{path} is a list, not {_shown(value)}")
    return tuple(item(each, f"{path}[{place}]") for place, each in enumerate(value))


def _load_member(enum: type[StrEnum], value: Any, path: str) -> StrEnum:
    try:
        return enum(value)
    except ValueError:
        known = ", ".join(enum)
        raise BadMessage(f"{path} is one of {known}{_but(value)}") from None


def _load_text(value: Any, path: str, longest: int = LONGEST_TEXT) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadMessage(f"{path} is a text that is not empty{_but(value)}")
    return clean_text(value, path, longest)


def clean_text(value: str, path: str, longest: int = LONGEST_TEXT) -> str:
    """Return the text. Raises BadMessage if a client or the database could not store it."""
    if len(value) > longest:
        raise BadMessage(f"{path} has {len(value)} characters; send at most {longest}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadMessage(f"{path} holds half of a surrogate pair: send valid Unicode") from None
    if "\0" in value:
        raise BadMessage(f"{path} contains a NUL character: remove it")
    return value


def _load_int(value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadMessage(f"{path} is a whole number, not {_shown(value)}")
    if abs(value) > LARGEST_INT:
        raise BadMessage(f"{path} is a number beyond {LARGEST_INT}")
    return int(value)  # turns a database's subclass of int into an int


def _load_bool(value: Any, path: str) -> bool:
    if type(value) is not bool:
        raise BadMessage(f"{path} is true or false, not {_shown(value)}")
    return value


def read_moment(value: Any, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        if moment.utcoffset() is None:
            raise ValueError
        in_range = FIRST_MOMENT <= moment.timestamp() < LAST_MOMENT
    except (TypeError, ValueError, OverflowError):
        raise BadMessage(
            f"{path} is a time with its offset like 2026-11-23T15:50:00+05:30{_but(value)}"
        ) from None
    if not in_range:
        raise BadMessage(f"{path} is in a year that no train runs in")
    return moment


def read_date(value: Any, path: str) -> date:
    """Return a date from a text like 2026-11-23.

    Raises BadMessage for any other form, and for years outside FIRST_YEAR to LAST_YEAR.
    """
    try:
        day = date.fromisoformat(value)
        if day.isoformat() != value:  # 2026-W48-1 is ISO 8601 too
            raise ValueError
    except (TypeError, ValueError):
        raise BadMessage(f"{path} is a date like 2026-11-23{_but(value)}") from None
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise BadMessage(f"{path} is in a year that no train runs in")
    return day


def _shown(value: Any) -> str:
    """Return the kind of a value. The value may be a person's name, so no error quotes it."""
    return _KINDS.get(type(value), "a number")


def _but(value: Any) -> str:
    """Return the end of an error on a field that must be text: the kind, or "" for a text."""
    return "" if isinstance(value, str) else f", not {_shown(value)}"


_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    str: "a text",
    float: "a fraction",
    list: "a list",
    dict: "an object",
}


def _named(prefix: str, name: object) -> str:
    """Return a field's path after a space. Only a name that is safe in a log is quoted."""
    is_safe = isinstance(name, str) and _NAME.fullmatch(name)
    return f" {prefix}{name}" if is_safe else f" in {prefix[:-1]}" if prefix else ""


_AS_IT_IS = frozenset({NoneType, str, int, float, bool})

_NAME = re.compile("[a-z][A-Za-z]{0,30}")


_PLAIN: dict[Any, Loader] = {
    str: _load_text,
    int: _load_int,
    bool: _load_bool,
    datetime: read_moment,
    date: read_date,
}

_READERS: dict[Any, FieldReader | None] = {
    str: _shared,
    int: None,
    bool: None,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
}

# Each class is inspected once.
_names: Callable[[type], tuple[tuple[str, str], ...]] = cache(_names_of)
_dumper: Callable[[type], Callable[[Any], Any]] = cache(_dumper_of)
_plan: Callable[[type], dict[str, tuple[str, bool, Loader]]] = cache(_plan_of)
_reload_plan: Callable[[type], tuple[tuple[str, str, FieldReader | None], ...]] = cache(
    _reload_plan_of
)
