"""The commands, events and answers of the protocol, with their texts from the code."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_type_hints, is_typeddict

from contract.examples import example
from contract.notes import Field, fields_of, sentence
from trainhub.core.audience import EVERYONE
from trainhub.core.codec import load
from trainhub.core.errors import HubError
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.model import Amendment, Chart, Role
from trainhub.hub.messages import (
    BatchDone,
    Registered,
    Result,
    Unchanged,
)
from trainhub.hub.permissions import MAY, Relation
from trainhub.web.base import STATUS_CODES, status_of
from trainhub.web.routes import Route, route_of


@dataclass(frozen=True)
class Order:
    """A command: its type and class, a client's fields, the roles that may give it, its answers."""

    kind: str
    cls: type[c.Command]
    text: str
    fields: list[Field]
    route: Route

    @property
    def may(self) -> list[str]:
        """The roles that may give it, in words."""
        roles = MAY[self.cls]
        return [
            "that passenger" if roles[role] is Relation.OWN_PERSON else role.value
            for role in Role
            if role in roles
        ]

    @property
    def results(self) -> list[Any]:
        """The possible answers: types, or the class of the event whose data the answer has."""
        if self.cls is c.RegisterTrain:
            return [Registered]
        if self.cls is c.Batch:
            return [BatchDone]
        return [e.EVENTS[self.cls.answer], *([Unchanged] if self.cls.idempotent else [])]


@dataclass(frozen=True)
class Happening:
    """An event: its type and class, and its audience in words."""

    kind: str
    cls: type[e.Event]
    text: str
    told: str


@cache
def orders() -> list[Order]:
    """Return all commands of a client."""
    return [
        Order(kind, cls, sentence(cls), _given(cls), route_of(cls))
        for kind, cls in c.COMMANDS.items()
    ]


def _given(cls: type[c.Command]) -> list[Field]:
    if cls is c.AmendChart:
        return [*fields_of(c.Command, given=True), *fields_of(Amendment, given=True)]
    return fields_of(Chart if cls is c.RegisterTrain else cls, given=True)


@cache
def happenings() -> list[Happening]:
    """Return all events."""
    return [Happening(kind, cls, sentence(cls), _told_to(cls)) for kind, cls in e.EVENTS.items()]


def _told_to(cls: type[e.Event]) -> str:
    """Return the audience in words, from an example of the event."""
    event = load(cls, example(cls))
    if isinstance(event, e.Announcement):
        return "the audience that was asked for: everyone, the staff, or one passenger"
    words = {
        EVERYONE: "everyone",
        e.TO_STAFF: "the staff",
        e.to_passenger(getattr(event, "user", "")): "that passenger",
        e.user_and_staff(getattr(event, "user", "")): "that passenger and the staff",
    }
    return words[event.audience]


def told(cls: type[e.Event]) -> list[Field]:
    """Return the fields of an event's data."""
    own = get_type_hints(cls.told.fget)["return"]  # type: ignore[attr-defined]
    if is_typeddict(own):
        return fields_of(own)
    return [field for field in fields_of(cls) if field.name not in cls.untold]


def result(cls: type[e.Event]) -> list[Field]:
    """Return the fields of an answer with an event's data."""
    return [*fields_of(Result), *told(cls)]


def kind_of(message: Any) -> str:
    """Return the type of a message from the hub."""
    (kind,) = get_args(get_type_hints(message)["type"])
    return str(kind)


def in_order(roles: Collection[Role]) -> list[str]:
    """Return the roles in the order of the protocol."""
    return [role.value for role in Role if role in roles]


def status(code: str, cls: type[HubError]) -> int:
    """Return the HTTP status of an error. Over HTTP an unknown type is an unknown address."""
    return 404 if code == STATUS_CODES[404] else status_of(cls(""))
