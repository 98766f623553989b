"""The schemas of messages, events and answers, for AsyncAPI and OpenAPI."""

from typing import Annotated, Any, Literal

from contract import catalog
from contract.catalog import Happening, Order
from contract.examples import example, example_of_fields
from contract.notes import Field, fields_of, sentence
from contract.schema import Schema, Schemas
from trainhub.core.about import About
from trainhub.domain import events as e
from trainhub.domain.commands import MARKS
from trainhub.domain.fields import Moment, Seq
from trainhub.hub.messages import (
    BatchDone,
    Done,
    IdempotencyKey,
    MarkDone,
    MessageId,
    RunFields,
    Unchanged,
)

_ID = Field("id", MessageId, required=False)
_KEY = Field("key", IdempotencyKey, required=False)
_ACK = Annotated[
    Literal[True], About("There if a passenger's app is to acknowledge the event, by ACK.")
]
_EVENT = [
    *fields_of(RunFields),
    Field("seq", Seq, True),
    Field("timestamp", Moment, True),
    Field("ack", _ACK, required=False),
]


class Payloads(Schemas):
    """The schemas of a document, including those that do not follow from one type."""

    def order(self, order: Order) -> Schema:
        """Return the schema of a command as a message."""
        return _typed(order.kind, self.object([_ID, _KEY, *order.fields], given=True))

    def talk(self, kind: str, cls: type) -> Schema:
        """Return the schema of another message of a client."""
        return _typed(kind, self.object([_ID, *fields_of(cls, given=True)], given=True))

    def event(self, event: Happening) -> Schema:
        """Return a reference to the schema of an event."""

        def make() -> Schema:
            schema = _typed(event.kind, self.object(_EVENT), description=event.text)
            schema["required"].append("data")
            schema["properties"]["data"] = self.object(catalog.told(event.cls))
            return schema

        return self.add(event.cls.__name__, make)

    def any_event(self) -> Schema:
        """Return a reference to the schema of any event."""
        return self.add(
            "Event",
            lambda: {
                "description": "An event of a run.",
                "oneOf": [self.event(each) for each in catalog.happenings()],
            },
        )

    def results(self, order: Order) -> Schema:
        """Return the schema of a command's answers."""
        found = [self.result(each) for each in order.results]
        return found[0] if len(found) == 1 else {"anyOf": found}

    def result(self, cls: Any) -> Schema:
        """Return the schema of one of a command's answers."""
        if cls is BatchDone:
            self.add("MarkDone", self._mark_done)  # its type does not tell the possible results
        if not issubclass(cls, e.Event):
            return self.of(cls)
        return self.add(
            f"{cls.__name__}Result",
            lambda: {
                "type": "object",
                "description": f"The run's seq, and the data of {e.TYPES[cls]}.",
                **self.object(catalog.result(cls)),
            },
        )

    def _mark_done(self) -> Schema:
        events = [e.EVENTS[cls.answer] for cls in MARKS.values()]
        schema = {"description": sentence(MarkDone), **self.object(fields_of(MarkDone))}
        schema["properties"]["result"] = {
            "anyOf": [self.result(each) for each in (*events, Unchanged)]
        }
        return schema

    def sent(self, cls: Any) -> Schema:
        """Return the schema of a message of the hub that is not an event."""
        schema = self.object(fields_of(cls))
        if cls is Done:
            found = [each for order in catalog.orders() for each in order.results]
            schema["properties"]["result"] = {
                "description": "The run's seq, and what the command has brought about.",
                "anyOf": [self.result(each) for each in dict.fromkeys(found)],
            }
        return schema


def _typed(kind: str, schema: Schema, **more: Any) -> Schema:
    """Add the field `type` to the schema of an object."""
    required = ["type", *schema.get("required", ())]
    properties = {"type": {"const": kind}, **schema["properties"]}
    return {**schema, **more, "required": required, "properties": properties}


def example_of_order(order: Order) -> dict[str, Any]:
    """Return a command as a message, with its required fields."""
    return {"type": order.kind, "id": 7, **example_of_fields(order.fields, given=True)}


def example_of_talk(kind: str, cls: type) -> dict[str, Any]:
    return {"type": kind, **example(cls, given=True)}


def example_of_event(event: Happening) -> dict[str, Any]:
    return {
        "type": event.kind,
        **example_of_fields(_EVENT),
        "data": example_of_fields(catalog.told(event.cls)),
    }


def example_of_sent(cls: Any) -> dict[str, Any]:
    found: dict[str, Any] = example(cls)
    if cls is Done:
        found["result"] = example_of_fields(catalog.result(e.Announcement))
    return found
