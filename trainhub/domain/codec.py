"""Frozen dataclasses to and from JSON-ready values: camelCase outside, snake_case inside.

Loading is strict: nothing is coerced, nothing unknown is let in, and a BadMessage names the
field by its path. A trailing underscore (`from_`, `class_`) is for Python only.
"""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from trainhub.domain.errors import BadMessage

T = TypeVar("T")
Loader = Callable[[Any, str], Any]

# JSON numbers above this are not whole in every client (IEEE 754 double).
LARGEST_INT = 2**53 - 1
LONGEST_TEXT = 1_000


def camel(name: str) -> str:
    """The field's name in JSON: `start_date` is `startDate`, `from_` is `from`."""
    head, *rest = name.rstrip("_").split("_")
    return head + "".join(part.capitalize() for part in rest)


def dump(value: Any) -> Any:
    """A JSON-ready copy of a dataclass, or of any value that a dataclass may hold here."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if dataclasses.is_dataclass(value):
        return {name: dump(getattr(value, attr)) for attr, name in _names(type(value))}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return [dump(item) for item in value]
    if isinstance(value, Mapping):
        return {key: dump(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def load(cls: type[T], data: Any, path: str = "") -> T:
    """Make a `cls` of a JSON object; BadMessage names the first field that does not fit."""
    if not isinstance(data, Mapping):
        raise BadMessage(f"{path or 'the message'} is an object, not {_shown(data)}")
    plan = _plan(cls)
    prefix = f"{path}." if path else ""
    for name in data:
        if name not in plan:
            raise BadMessage(f"{prefix}{name} is not a field here: use {', '.join(plan)}")
    values = {}
    for name, (attr, required, loader) in plan.items():
        if name in data:
            values[attr] = loader(data[name], prefix + name)
        elif required:
            raise BadMessage(f"{prefix}{name} is missing")
    return cls(**values)


def _names_of(cls: type) -> tuple[tuple[str, str], ...]:
    return tuple((field.name, camel(field.name)) for field in dataclasses.fields(cls))


def _plan_of(cls: type) -> dict[str, tuple[str, bool, Loader]]:
    hints = get_type_hints(cls)
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


def _load_items(item: Loader, value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise BadMessage(f"{path} is a list, not {_shown(value)}")
    return tuple(item(each, f"{path}[{place}]") for place, each in enumerate(value))


def _load_member(enum: type[StrEnum], value: Any, path: str) -> StrEnum:
    try:
        return enum(value)
    except ValueError:
        known = ", ".join(enum)
        raise BadMessage(f"{path} is one of {known}, not {_shown(value)}") from None


def _load_text(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadMessage(f"{path} is a text that is not empty, not {_shown(value)}")
    return clean_text(value, path)


def clean_text(value: str, path: str) -> str:
    """The text, if every client and database can hold it; else BadMessage."""
    if len(value) > LONGEST_TEXT:
        raise BadMessage(f"{path} has {len(value)} characters; {LONGEST_TEXT} are the most")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadMessage(f"{path} holds half of a surrogate pair: send valid Unicode") from None
    if "\0" in value:
        raise BadMessage(f"{path} holds a NUL character: take it out")
    return value


def _load_int(value: Any, path: str) -> int:
    if type(value) is not int:
        raise BadMessage(f"{path} is a whole number, not {_shown(value)}")
    if abs(value) > LARGEST_INT:
        raise BadMessage(f"{path} is a number beyond {LARGEST_INT}")
    return value


def _load_bool(value: Any, path: str) -> bool:
    if type(value) is not bool:
        raise BadMessage(f"{path} is true or false, not {_shown(value)}")
    return value


def _load_datetime(value: Any, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        if moment.utcoffset() is None:
            raise ValueError
        # A year 1 or 9999 cannot be moved to another zone, so it is refused here already.
        moment.timestamp()
    except (TypeError, ValueError, OverflowError):
        raise BadMessage(
            f"{path} is a time with its offset like 2026-11-23T15:50:00+05:30, not {_shown(value)}"
        ) from None
    if not 1970 < moment.year < 9000:
        raise BadMessage(f"{path} has the year {moment.year}, which no train runs in")
    return moment


def _load_date(value: Any, path: str) -> date:
    try:
        if len(value) != 10:
            raise ValueError
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise BadMessage(f"{path} is a date like 2026-11-23, not {_shown(value)}") from None


def _shown(value: Any) -> str:
    """A value as an error message may show it: short, and by its kind if it is large."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


_PLAIN: dict[Any, Loader] = {
    str: _load_text,
    int: _load_int,
    bool: _load_bool,
    datetime: _load_datetime,
    date: _load_date,
}

# What a class looks like is worked out once.
_names: Callable[[type], tuple[tuple[str, str], ...]] = cache(_names_of)
_plan: Callable[[type], dict[str, tuple[str, bool, Loader]]] = cache(_plan_of)
