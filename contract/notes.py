"""The facts about a type in the code: its notes, its fields, its name and its sentence."""

import dataclasses
import inspect
import typing
from dataclasses import dataclass, replace
from types import ModuleType, UnionType
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin, get_type_hints

from trainhub.core.about import About, Joined
from trainhub.core.codec import camel
from trainhub.domain import commands, events, fields, model, reasons, shapes
from trainhub.hub import figures, messages

_MODULES: tuple[ModuleType, ...] = (
    *(fields, model, commands, reasons, events, shapes, messages, figures),
)
NO_NOTES = About()


def _names() -> dict[int, str]:
    """Return the name of each annotated type that has a name in a module and a text."""
    found: dict[int, str] = {}
    for module in _MODULES:
        for name, value in vars(module).items():
            if get_origin(value) is Annotated and about(value).text:
                found.setdefault(id(get_args(value)[-1]), name)
    return found


def about(hint: Any) -> About:
    """Return the notes on a type. Outer notes replace inner ones."""
    notes = [note for note in get_args(hint)[1:] if isinstance(note, About)]
    if get_origin(hint) is not Annotated or not notes:
        return NO_NOTES
    merged = {}
    for note in notes:
        for field in dataclasses.fields(note):
            value = getattr(note, field.name)
            if value != field.default:
                merged[field.name] = value
    text = merged.pop("text", "")
    return About(text, **merged)


def plain(hint: Any) -> Any:
    """Return the type without its notes."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def joined(hint: Any) -> Joined | None:
    """Return the types whose fields an object joins. None if it joins none."""
    notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((note for note in notes if isinstance(note, Joined)), None)


def name_of(hint: Any) -> str | None:
    """Return the name of a type in the contract. None if it has no name."""
    if get_origin(hint) is Annotated:
        return NAMES.get(id(get_args(hint)[-1]))
    return hint.__name__ if is_object(hint) or is_enum(hint) else None


def is_enum(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, str) and hasattr(hint, "__members__")


def is_object(hint: Any) -> bool:
    return inspect.isclass(hint) and (dataclasses.is_dataclass(hint) or typing.is_typeddict(hint))


def is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def sentence(cls: type) -> str:
    """Return the first paragraph of a docstring, on one line."""
    text = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
    return " ".join(text.split())


@dataclass(frozen=True)
class Field:
    """A field of an object. `default` is None if the contract names no default."""

    name: str
    hint: Any
    required: bool
    default: Any = None


def fields_of(hint: Any, given: bool = False) -> list[Field]:
    """Return the fields of an object as the hub sends it; with `given`, as a client gives it."""
    both = joined(hint)
    if both is not None:
        every = {field.name: field for cls in both.types for field in fields_of(cls, given)}
        found = [field for name, field in every.items() if name not in both.without]
        if both.always is None:
            return found
        return [replace(field, required=field.name in both.always) for field in found]
    hints = get_type_hints(hint, include_extras=True)
    if typing.is_typeddict(hint):
        return [_of_key(hint, name, each) for name, each in hints.items()]
    return [_of_attribute(field, hints[field.name], given) for field in dataclasses.fields(hint)]


def _of_key(cls: Any, name: str, hint: Any) -> Field:
    if get_origin(hint) is NotRequired:
        (hint,) = get_args(hint)
    return Field(name, hint, name in cls.__required_keys__)


def _of_attribute(field: "dataclasses.Field[Any]", hint: Any, given: bool) -> Field:
    has_default = field.default is not dataclasses.MISSING
    default = field.default if has_default and given and field.default != () else None
    default = str(default) if is_enum(type(default)) else default
    return Field(camel(field.name), hint, not (given and has_default), default)


NAMES = _names()
