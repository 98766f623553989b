"""JSON Schema of the types, within the part that draft 7 and 2020-12 share.

Every object is closed: the hub neither sends nor accepts a field that is not in its schema. Only a
chart's passenger may have more, which the hub leaves out with a warning.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from contract.notes import (
    NO_NOTES,
    Field,
    about,
    fields_of,
    is_enum,
    is_object,
    is_union,
    joined,
    name_of,
    plain,
    sentence,
)
from trainhub.core.about import About
from trainhub.core.codec import LONGEST_TEXT
from trainhub.domain.model import Booking

Schema = dict[str, Any]
REF = "#/components/schemas/"
# The scheme of the hub's tokens in both documents. Each adds where a client sends a token.
TOKEN: Schema = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    Any: {},
    object: {},
}


class Schemas:
    """The schemas of a document. `named` grows with each named type that is asked for."""

    def __init__(self, *, inline: bool = False) -> None:
        self.named: dict[str, Schema] = {}
        self._inline = inline

    def of(self, hint: Any, given: bool = False) -> Schema:
        """Return the schema of a type, as the hub sends it or as a client gives it."""
        name = None if self._inline else name_as(hint, given)
        if name is None:
            return self._described(hint, given)
        return self.add(name, lambda: self._described(hint, given))

    def add(self, name: str, make: Callable[[], Schema]) -> Schema:
        """Return a reference to the schema of that name, and make the schema the first time."""
        if name not in self.named:
            self.named[name] = {}  # so that it comes before the types that it refers to
            self.named[name] = make()
        return {"$ref": REF + name}

    def object(self, fields: Iterable[Field], given: bool = False) -> Schema:
        """Return the schema of a closed object."""
        fields = list(fields)
        required = [field.name for field in fields if field.required]
        return {
            "type": "object",
            "additionalProperties": False,
            **({"required": required} if required else {}),
            "properties": {field.name: self._field(field, given) for field in fields},
        }

    def _field(self, field: Field, given: bool) -> Schema:
        schema = self.of(field.hint, given)
        if field.default is None or "$ref" in schema:
            return schema
        return {**schema, "default": field.default}

    def _described(self, hint: Any, given: bool) -> Schema:
        """Return the schema with its description after `type`."""
        note, core = about(hint), plain(hint)
        if core is str and not (given and note.given):
            # A named type has the bounds of what clients may give.
            schema = _text(note, bounded=given or name_of(hint) is not None)
        else:
            schema = self._body(hint if joined(hint) else core, note, given)
        text = note.text or (sentence(core) if is_object(core) or is_enum(core) else "")
        if name_of(hint) and note.example is not None:
            schema = {**schema, "examples": [note.example]}
        if not text:
            return schema
        kind = {"type": schema["type"]} if "type" in schema else {}
        return {**kind, "description": text, **schema}

    def _body(self, core: Any, note: About, given: bool) -> Schema:
        if given and note.given is not None:
            core, note = note.given, About(least=note.least, most=note.most)
        if core is str:
            return _text(note, bounded=given)
        args, origin = get_args(core), get_origin(core)
        if is_union(core):
            return _any_of([self._member(each, note, given) for each in args])
        if is_object(core) or joined(core):
            if note is not NO_NOTES and is_object(core):
                return self.of(core, given)
            schema = self.object(fields_of(core, given), given)
            return {**schema, "additionalProperties": True} if given and core is Booking else schema
        if is_enum(core) and not note.choices:
            return self.of(core) if note.text else {"type": "string", "enum": [*map(str, core)]}
        if origin is Literal:
            return {"const": args[0]} if len(args) == 1 else {"type": "string", "enum": [*args]}
        if origin in (tuple, list):
            return _bounded({"type": "array", "items": self.of(args[0], given)}, note, "Items")
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(args[1], given)}
        if is_enum(core):
            return {"type": "string", "enum": [*note.choices]}
        return _bounded(dict(_PLAIN[core]), note, "imum") if core in (int, float) else _PLAIN[core]

    def _member(self, each: Any, note: About, given: bool) -> Schema:
        """Return the schema of a union's member: by its own name, or with the union's notes."""
        own = name_of(each) or about(each) is not NO_NOTES
        return self.of(each, given) if own else self._body(each, note, given)


def _text(note: About, *, bounded: bool) -> Schema:
    if note.choices:
        return {"type": "string", "enum": [*note.choices]}
    if note.pattern is not None:
        return {"type": "string", "pattern": f"^{note.pattern}$"}
    if bounded or note.longest:
        return {"type": "string", "minLength": 1, "maxLength": note.longest or LONGEST_TEXT}
    return {"type": "string"}


def name_as(hint: Any, given: bool) -> str | None:
    """Return a type's name as the hub sends it, or as a client gives it. None if it has no name.

    If the two forms differ, the client's form has the name with "Given" before it.
    """
    name = name_of(hint)
    if name is None or not given or name.startswith("Given"):
        return name
    inline = Schemas(inline=True)
    same = inline.of(hint, given=False) == inline.of(hint, given=True)
    return name if same else f"Given{name}"


def _bounded(schema: Schema, note: About, of: str) -> Schema:
    if note.least is not None:
        schema[f"min{of}"] = note.least
    if note.most is not None:
        schema[f"max{of}"] = note.most
    return schema


def _any_of(schemas: list[Schema]) -> Schema:
    """Return the schema of a union. Members that only have a type become one list of types."""
    if all("$ref" not in each and isinstance(each.get("type"), str) for each in schemas):
        simple = [each for each in schemas if each != {"type": "null"}]
        if len(simple) == 1 and simple[0]["type"] != "object" and "enum" not in simple[0]:
            return {**simple[0], "type": [simple[0]["type"], "null"]}
        if all([*each] == ["type"] for each in schemas):
            return {"type": [each["type"] for each in schemas]}
    return {"anyOf": schemas}
