"""The tables in the pages of docs/, by the names in their marks."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from contract import catalog
from contract.notes import Field, fields_of, sentence
from trainhub import settings
from trainhub.core.notifications import Channel, Urgency
from trainhub.domain.berths import TYPES
from trainhub.domain.model import Role
from trainhub.hub.letters import EVENTS_OF, KINDS, OFFER, Kind
from trainhub.hub.messages import CODES, MESSAGES
from trainhub.hub.permissions import MAY, Relation
from trainhub.hub.protocol import TALK
from trainhub.hub.wording import DEFAULT_LANGUAGE, words_of
from trainhub.web.base import Api
from trainhub.web.close_codes import CLOSE_CODES
from trainhub.web.routes import ROUTES

_CHANNELS = {Channel.PUSH: "push", Channel.EMAIL: "e-mail"}
_RELATIONS = {
    Relation.OWN_RUN: "run",
    Relation.OWN_PERSON: "person",
    Relation.OWN_DUTY: "self",
    None: "",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    head = [*head]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in lines
    )


def _names(fields: Iterable[Field]) -> str:
    names = [field.name if field.required else f"{field.name}?" for field in fields]
    return f"`{', '.join(names)}`" if names else ""


def messages() -> str:
    """Return the table of a client's messages apart from commands."""
    rows = [
        (
            kind,
            _names(fields_of(cls, given=True)),
            "" if answer is None else catalog.kind_of(answer),
            sentence(cls),
        )
        for kind, (cls, answer) in TALK.items()
    ]
    return table(("you send", "fields", "you get", "meaning"), rows)


def answers() -> str:
    """Return the table of the hub's messages apart from events."""
    rows = [
        (
            catalog.kind_of(cls),
            _names(each for each in fields_of(cls) if each.name not in ("type", "id")),
            sentence(cls),
        )
        for cls in MESSAGES
    ]
    return table(("the hub sends", "fields", "meaning"), rows)


def commands() -> str:
    """Return the table of commands."""
    rows = [
        (
            order.kind,
            f"{order.route.method} {order.route.path}",
            "a [chart](charts.md)" if order.kind == "REGISTER_TRAIN" else _own(order),
            ", ".join(order.may),
            order.text,
        )
        for order in catalog.orders()
    ]
    return table(("command", "HTTP", "fields", "who", "meaning"), rows)


def _own(order: catalog.Order) -> str:
    """Return the fields of a command, without those that name its run."""
    hidden = {"trainNo", "startDate"}
    return _names(each for each in order.fields if each.name not in hidden)


def events() -> str:
    """Return the table of events."""
    rows = [
        (event.kind, event.told, _names(catalog.told(event.cls)), event.text)
        for event in catalog.happenings()
    ]
    return table(("type", "who is told", "data", "meaning"), rows)


def permissions() -> str:
    """Return the table of commands and roles."""
    rows = [
        (order.kind, *(_RELATIONS[MAY[order.cls].get(role)] for role in Role))
        for order in catalog.orders()
    ]
    return table(("command", *(role.value for role in Role)), rows)


def reading() -> str:
    """Return the table of addresses to read from."""
    rows = []
    for route in ROUTES:
        if route.command is None and issubclass(route.handler, Api):
            query = fields_of(route.handler.query) if route.handler.query else []
            asked = "?" + "&".join(f"{each.name}=" for each in query) if query else ""
            who = "everyone" if route.roles is None else ", ".join(catalog.in_order(route.roles))
            rows.append((f"{route.method} {route.path}{asked}", who, route.summary))
    return table(("address", "who", "meaning"), rows)


def errors() -> str:
    """Return the table of error codes."""
    rows = [(code, str(catalog.status(code, cls)), sentence(cls)) for code, cls in CODES.items()]
    return table(("code", "HTTP", "meaning"), rows)


def close_codes() -> str:
    """Return the table of close codes."""
    return table(
        ("close code", "meaning"), [(str(code), text) for code, text in CLOSE_CODES.items()]
    )


def options() -> str:
    """Return the table of the hub's options."""
    rows = [
        (f"`{each.flag}`", each.default, each.text.replace("<", "&lt;"))
        for each in settings.options()
    ]
    return table(("option", "default", "meaning"), rows)


def coach_types() -> str:
    """Return the table of real coaches: their berths by type and class."""
    return table(
        ("type", "class", "berths"),
        (
            (name, class_, "as given" if coach.berths is None else str(coach.berths))
            for name, classes in TYPES.items()
            for class_, coach in classes.items()
        ),
    )


def letters() -> str:
    """Return the table of the kinds of letters."""
    names = {event.cls: event.kind for event in catalog.happenings()}
    return table(
        ("kind", "events", "told when", "to", "channels", "urgent", "true until"),
        (
            (
                kind.name,
                ", ".join(names[event] for event in EVENTS_OF[kind.name]),
                kind.when,
                kind.to,
                ", ".join(_CHANNELS[channel] for channel in kind.channels),
                "yes" if kind.urgency is Urgency.HIGH else "no",
                _end(kind),
            )
            for kind in KINDS
        ),
    )


def _end(kind: Kind) -> str:
    hours = kind.lasts // timedelta(hours=1)
    return "the offer expires" if kind is OFFER else f"{hours} hour{'s' * (hours > 1)} later"


def words() -> str:
    """Return the table of the letters' words in the default language."""
    texts = words_of(DEFAULT_LANGUAGE)
    return table(
        ("kind", "subject", "text"),
        ((kind.name, *texts.templates(kind.name)) for kind in KINDS),
    )


TABLES: dict[str, Callable[[], str]] = {
    "messages": messages,
    "answers": answers,
    "commands": commands,
    "events": events,
    "permissions": permissions,
    "reading": reading,
    "coach types": coach_types,
    "errors": errors,
    "close codes": close_codes,
    "options": options,
    "letters": letters,
    "words of letters": words,
}
