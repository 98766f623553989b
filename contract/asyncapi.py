"""docs/asyncapi.yaml: the WebSocket, as AsyncAPI 3.0."""

from typing import Any

from contract import catalog
from contract.notes import sentence
from contract.payloads import (
    Payloads,
    example_of_event,
    example_of_order,
    example_of_sent,
    example_of_talk,
)
from contract.schema import TOKEN
from trainhub.hub.messages import (
    MESSAGES,
    BoardingUpdate,
    Done,
    Error,
    Fleet,
    Goodbye,
    Identified,
    NextRun,
    PresenceUpdate,
    Snapshot,
    Welcome,
)
from trainhub.hub.protocol import MOST_SOCKET_BYTES, TALK
from trainhub.web.close_codes import CLOSE_CODES

Document = dict[str, Any]
# Operation → when the hub sends it without a request, and its messages. Events are apart.
_UNASKED: dict[str, tuple[str, tuple[Any, ...]]] = {
    "greet": ("Sent on connecting, and before a planned close.", (Welcome, Goodbye)),
    "identifyByProtocol": (
        "Sent on connecting with a token in the subprotocols.",
        (Identified, Error),
    ),
    "tellState": ("The run as a whole.", (Snapshot,)),
    "tellFigures": ("Figures, which have no seq.", (BoardingUpdate, PresenceUpdate)),
    "tellFleet": (
        "The figures of the hub and of all runs, to clients that follow the fleet.",
        (Fleet,),
    ),
    "tellNextRun": ("Told when another run of the train takes over.", (NextRun,)),
}


def document() -> Document:
    """Return the whole document."""
    schemas = Payloads()
    messages = _messages(schemas)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "trainhub, WebSocket",
            "version": "1",
            "description": "JSON text frames, one object each, with a `type`. The hub answers "
            "every message except ACK. An answer has the `id` of its message.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "station": {
                "host": "127.0.0.1:8888",
                "protocol": "ws",
                "description": "A station's hub.",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {"ws": _channel(messages)},
        "operations": _operations(),
        "components": {
            "securitySchemes": {
                "token": {
                    **TOKEN,
                    "description": "A JWT that the hub trusts, in the message IDENTIFY or as the "
                    "subprotocol `bearer.<token>`; never in the address.",
                }
            },
            "messages": messages,
            "schemas": schemas.named,
        },
    }


def _channel(messages: Document) -> Document:
    return {
        "address": "/ws",
        "title": "A socket",
        "description": "Without a token a socket may subscribe and hears what everyone may, unless "
        f"the hub runs with `--anonymous off`. A frame has at most {MOST_SOCKET_BYTES // 1024} KB. "
        "The hub sends large messages in several frames. A client that offers permessage-deflate "
        "gets its SNAPSHOT compressed.",
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in messages},
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {
                    "type": "object",
                    "properties": {
                        "Sec-WebSocket-Protocol": {
                            "type": "string",
                            "description": "`trainhub.v1, bearer.<token>` identifies at once.",
                        }
                    },
                },
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": dict(CLOSE_CODES),
    }


def _messages(schemas: Payloads) -> Document:
    found = {}
    for kind, (cls, _) in TALK.items():
        found[kind] = _message(
            kind, sentence(cls), schemas.talk(kind, cls), example_of_talk(kind, cls)
        )
    for order in catalog.orders():
        text = f"{order.text} By: {', '.join(order.may)}."
        found[order.kind] = _message(
            order.kind, text, schemas.order(order), example_of_order(order)
        )
    for sent in MESSAGES:
        kind = catalog.kind_of(sent)
        found[kind] = _message(kind, sentence(sent), schemas.sent(sent), example_of_sent(sent))
    for event in catalog.happenings():
        text = f"{event.text} Told to {event.told}."
        found[event.kind] = _message(
            event.kind, text, schemas.event(event), example_of_event(event)
        )
    return found


def _message(kind: str, text: str, payload: Document, example: Document) -> Document:
    return {
        "name": kind,
        "title": kind,
        "summary": text,
        "payload": payload,
        "examples": [{"payload": example}],
    }


def _operations() -> Document:
    found: Document = {}
    for kind, (cls, answer) in TALK.items():
        found[_camel(kind)] = _received(kind, sentence(cls), answer)
    for order in catalog.orders():
        found[_camel(order.kind)] = _received(order.kind, order.text, Done)
    for name, (text, sent) in _UNASKED.items():
        found[name] = _operation("send", text, [catalog.kind_of(each) for each in sent])
    kinds = [event.kind for event in catalog.happenings()]
    found["tellEvents"] = _operation(
        "send", "The events of the runs subscribed to, in the order of seq.", kinds
    )
    return found


def _received(kind: str, text: str, answer: Any) -> Document:
    operation = _operation("receive", text, [kind])
    if answer is None:
        return operation
    reply = {
        "channel": {"$ref": "#/channels/ws"},
        "messages": _refs([catalog.kind_of(answer), "ERROR"]),
    }
    return {**operation, "reply": reply}


def _operation(action: str, text: str, kinds: list[str]) -> Document:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/ws"},
        "summary": text,
        "messages": _refs(kinds),
    }


def _refs(kinds: list[str]) -> list[Document]:
    return [{"$ref": f"#/channels/ws/messages/{kind}"} for kind in kinds]


def _camel(kind: str) -> str:
    first, *rest = kind.lower().split("_")
    return first + "".join(map(str.capitalize, rest))
