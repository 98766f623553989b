"""The types of events, commands and the run in static/trainhub.d.ts."""

import json
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Literal, get_args, get_origin

from contract import catalog
from contract.notes import (
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
from contract.schema import name_as
from trainhub.domain.commands import COMMANDS, MARKS
from trainhub.domain.events import TYPES
from trainhub.hub.figures import MonitorFigures
from trainhub.hub.messages import (
    BoardingUpdate,
    MarkDone,
    NextRun,
    PresenceUpdate,
    Result,
    Snapshot,
)

_PLAIN: dict[Any, str] = {
    str: "string",
    date: "string",
    datetime: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


class Types:
    """The declarations of a module. `named` grows with each named type that is asked for."""

    def __init__(self) -> None:
        self.named: dict[str, str] = {}

    def of(self, hint: Any, given: bool = False) -> str:
        """Return a type as the hub sends it, or as a client gives it, by its name if it has one."""
        name = name_as(hint, given)
        if name is None:
            return self._inline(hint, given)
        if name not in self.named:
            self.named[name] = ""  # so that it comes before the types that it refers to
            self.named[name] = self._declared(name, hint, given)
        return name

    def _declared(self, name: str, hint: Any, given: bool) -> str:
        core = plain(hint)
        head = f"/** {about(hint).text or sentence(core)} */\nexport"
        if joined(hint) or is_object(core):
            fields = fields_of(hint if joined(hint) else core, given)
            members = _BY_HAND.get(core) or self.members(fields, given)
            return f"{head} interface {name} {{\n{members}\n}}"
        union = _union(map(str, core)) if is_enum(core) and core is hint else None
        return f"{head} type {name} = {union or self._inline(hint, given)};"

    def _inline(self, hint: Any, given: bool) -> str:
        note, core = about(hint), plain(hint)
        if given and note.given is not None:
            core = note.given
        args, origin = get_args(core), get_origin(core)
        if is_union(core):
            return " | ".join(dict.fromkeys(self.of(each, given) for each in args))
        if note.choices:
            return _union(note.choices)
        if is_enum(core) or is_object(core):
            return self.of(core, given)
        if origin is Literal:
            return _union(args)
        if origin in (tuple, list):
            item = self.of(args[0], given)
            return f"({item})[]" if " | " in item else f"{item}[]"
        if origin is dict:
            return f"Record<string, {self.of(args[1], given)}>"
        return _PLAIN[core]

    def members(self, fields: Iterable[Field], given: bool = False, indent: str = "  ") -> str:
        """Return the members of an interface, one per line, with their texts."""
        lines = []
        for field in fields:
            text = about(field.hint).text
            if text and name_of(field.hint) is None:
                lines.append(f"{indent}/** {text} */")
            mark = "" if field.required else "?"
            lines.append(f"{indent}{field.name}{mark}: {self.of(field.hint, given)};")
        return "\n".join(lines)


# The answer to a mark is that of its own command.
_MARKS = " | ".join(f"'{kind}'" for kind, cls in COMMANDS.items() if cls in MARKS.values())
_BY_HAND: dict[Any, str] = {
    MarkDone: "  mark: MarkKind;\n  pnr: PersonPnr;\n  index: PersonPlace;\n"
    f"  result: Commands[{_MARKS}]['result'];",
}


def _union(values: Iterable[Any]) -> str:
    return " | ".join(json.dumps(value).replace('"', "'") for value in values)


def declarations() -> str:
    """Return all declarations, which the module has between its marks."""
    types = Types()
    told = [_event(types, each) for each in catalog.happenings()]
    orders = [_order(types, each) for each in catalog.orders()]
    for each in (Snapshot, BoardingUpdate, PresenceUpdate, NextRun, MonitorFigures):
        types.of(each)
    parts = [
        _interface("Told", "The data of each event.", told),
        _interface("Commands", "The fields of each command, and what it is answered.", orders),
        *types.named.values(),
    ]
    return "\n\n".join(parts)


def _interface(name: str, text: str, members: Iterable[str]) -> str:
    return "\n".join([f"/** {text} */", f"export interface {name} {{", *members, "}"])


def _event(types: Types, event: catalog.Happening) -> str:
    members = types.members(catalog.told(event.cls), indent="    ")
    return f"  /** {event.text} Told to {event.told}. */\n  {event.kind}: {{\n{members}\n  }};"


def _order(types: Types, order: catalog.Order) -> str:
    members = types.members(order.fields, given=True, indent="      ")
    results = " | ".join(_result(types, each) for each in order.results)
    return (
        f"  /** {order.text} By: {', '.join(order.may)}. */\n  {order.kind}: {{\n"
        f"    fields: {{\n{members}\n    }};\n    result: {results};\n  }};"
    )


def _result(types: Types, cls: Any) -> str:
    if cls in TYPES:
        return f"{types.of(Result)} & Told['{TYPES[cls]}']"
    return types.of(cls)
