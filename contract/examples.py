"""An example of each type, made of the examples in the notes on fields."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Literal, get_args, get_origin

from contract.notes import Field, about, fields_of, is_enum, is_object, is_union, joined, plain

MOMENT = "2026-11-23T17:05:12+05:30"
_PLAIN: dict[Any, Any] = {
    int: 1,
    float: 0.5,
    bool: True,
    datetime: MOMENT,
    date: "2026-11-23",
    object: None,
    Any: None,
}


def example(hint: Any, given: bool = False) -> Any:
    """Return an example of a type in JSON.

    With `given`, it has only the fields that a client must give.
    """
    note, core = about(hint), plain(hint)
    if note.example is not None:
        return note.example
    if given and note.given is not None:
        core = note.given
    args, origin = get_args(core), get_origin(core)
    if joined(hint) or is_object(core):
        return example_of_fields(fields_of(hint if joined(hint) else core, given), given)
    if is_union(core):
        return example(args[0], given)
    if note.choices or is_enum(core):
        return note.choices[0] if note.choices else next(iter(core)).value
    if origin is Literal:
        return args[0]
    if origin in (tuple, list):
        return [example(args[0], given)]
    if origin is dict:
        return {"outbox": example(args[1], given)}
    if core is str:
        return "…"
    return _PLAIN[core]


def example_of_fields(fields: Iterable[Field], given: bool = False) -> dict[str, Any]:
    """Return an object with its required fields."""
    return {each.name: example(each.hint, given) for each in fields if each.required}
