"""The JSON messages of protocol version 1, both ways."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

from trainhub.access.identity import Identity
from trainhub.core.about import About
from trainhub.core.codec import dump, load
from trainhub.core.errors import BadMessage, UnknownType
from trainhub.core.journal import Record
from trainhub.domain.chart import read_amendment, read_chart
from trainhub.domain.commands import COMMANDS, AmendChart, Command, OfferCommand, RegisterTrain
from trainhub.domain.events import TYPES
from trainhub.domain.fields import Seq, StartDate, TrainNo
from trainhub.domain.model import RunKey
from trainhub.domain.offers import run_of_offer
from trainhub.hub.figures import Epoch
from trainhub.hub.messages import (
    PROTOCOL_VERSION,
    FleetSubscribed,
    FleetUnsubscribed,
    Goodbye,
    Identified,
    LoggedOut,
    NextRun,
    Pong,
    RunFields,
    Subscribed,
    Unsubscribed,
    Welcome,
)

# Bytes of a client's message on a socket, and of an HTTP body without a chart.
MOST_SOCKET_BYTES = 64 * 1024
# Bytes of an HTTP body with a chart: as many as the chart's texts may have.
MOST_BODY_BYTES = 8 * 1024 * 1024
# Characters of a token. A token for a hundred runs has some 4 KB; HTTP headers may have 16 KB.
LONGEST_TOKEN = 12 * 1024
# The last time that a datetime can hold; a token may expire later.
_LAST_MOMENT = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


@dataclass(frozen=True, kw_only=True)
class Identify:
    """Say who you are. In the rooms that you are in already, a new SNAPSHOT follows."""

    token: Annotated[
        str,
        About("A JWT that the hub trusts.", longest=LONGEST_TOKEN, example="eyJhbGciOi…"),
    ]


@dataclass(frozen=True, kw_only=True)
class Logout:
    """Give up your token. In the rooms that you are in, a new SNAPSHOT follows.

    A hub that needs a token takes you out of these rooms.
    """


@dataclass(frozen=True, kw_only=True)
class Since:
    """The last event that you saw: the epoch and the run's seq."""

    epoch: Epoch
    seq: Annotated[int, About("Its seq.", example=17)]


@dataclass(frozen=True, kw_only=True)
class SubscribeTrain:
    """Join a run's room.

    The events that you missed follow, or a SNAPSHOT, and then BOARDING_UPDATE. A client that
    subscribes without a date gets NEXT_RUN when another run of the train takes over.
    """

    train_no: TrainNo
    start_date: StartDate | None = None
    since: Since | None = None
    next_run: Annotated[
        bool,
        About("Whether NEXT_RUN comes for a run with a date too, as on a reconnect.", example=True),
    ] = False


@dataclass(frozen=True, kw_only=True)
class UnsubscribeTrain:
    """Leave a run's room."""

    train_no: TrainNo
    start_date: StartDate | None = None


@dataclass(frozen=True, kw_only=True)
class SubscribeFleet:
    """Follow the figures of the hub and of all runs. No token is needed: no person is in them."""


@dataclass(frozen=True, kw_only=True)
class UnsubscribeFleet:
    """Follow these figures no more."""


@dataclass(frozen=True, kw_only=True)
class Ping:
    """Ask whether the hub is there."""


@dataclass(frozen=True, kw_only=True)
class Ack:
    """Say that the event numbered `seq` has arrived on this device. There is no answer.

    Passengers send it for an event with `ack`.
    """

    train_no: TrainNo
    start_date: StartDate | None = None
    seq: Seq


Message = (
    Identify
    | Logout
    | SubscribeTrain
    | UnsubscribeTrain
    | SubscribeFleet
    | UnsubscribeFleet
    | Ping
    | Ack
    | Command
)
# The messages of a client apart from commands, each with the type of its answer.
TALK: dict[str, tuple[type[Any], type | None]] = {
    "IDENTIFY": (Identify, Identified),
    "LOGOUT": (Logout, LoggedOut),
    "SUBSCRIBE_TRAIN": (SubscribeTrain, Subscribed),
    "UNSUBSCRIBE_TRAIN": (UnsubscribeTrain, Unsubscribed),
    "SUBSCRIBE_FLEET": (SubscribeFleet, FleetSubscribed),
    "UNSUBSCRIBE_FLEET": (UnsubscribeFleet, FleetUnsubscribed),
    "PING": (Ping, Pong),
    "ACK": (Ack, None),
}
_MESSAGES: dict[str, type[Any]] = {**{kind: cls for kind, (cls, _) in TALK.items()}, **COMMANDS}


def read_message(data: Any) -> Message:
    """Return a socket's message from its JSON object.

    The caller handles `id` and a command's `key`. Raises BadMessage or UnknownType.
    """
    if not isinstance(data, Mapping):
        raise BadMessage('a message is an object like {"type": "PING"}')
    fields = {name: value for name, value in data.items() if name not in ("type", "id")}
    kind = data.get("type")
    if not isinstance(kind, str):
        raise BadMessage('a message has a type, like {"type": "PING"}')
    cls = _MESSAGES.get(kind)
    if cls is None:
        raise UnknownType(f"unknown type; expected one of {', '.join(_MESSAGES)}")
    if issubclass(cls, Command):
        fields.pop("key", None)
        return read_command(cls, fields)
    return load(cls, fields)  # type: ignore[no-any-return]


def read_command(cls: type[Command], fields: Mapping[str, Any]) -> Command:
    """Return a command from its fields, for sockets and HTTP. Raises BadMessage."""
    if cls is RegisterTrain:
        chart, rejected, warnings = read_chart(fields)
        return RegisterTrain(
            train_no=chart.train_no,
            start_date=chart.start_date,
            chart=chart,
            rejected=rejected,
            warnings=warnings,
        )
    if cls is AmendChart:
        named = {name: fields[name] for name in ("trainNo", "startDate") if name in fields}
        rest = {name: value for name, value in fields.items() if name not in named}
        amendment, lines, rejected, warnings = read_amendment(rest)
        return replace(
            load(AmendChart, {**named, "amendment": {"source": amendment.source}}),
            amendment=amendment,
            lines=lines,
            rejected=rejected,
            warnings=warnings,
        )
    if issubclass(cls, OfferCommand):
        return load(cls, _with_offers_run(fields))
    return load(cls, fields)


def _with_offers_run(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the run that the offer's id names. A message about an offer needs nothing else."""
    found = fields.get("offerId")
    if not isinstance(found, str):
        return fields  # `load` raises what is wrong
    train_no, start_date = run_of_offer(found)
    return {**fields, "trainNo": train_no, "startDate": start_date}


def event_message(record: Record, *, ack: bool = False) -> dict[str, Any]:
    """Return an event as its audience gets it; `ack` asks passengers to acknowledge it."""
    return {
        "type": TYPES[type(record.event)],
        **run_fields(record.stream),
        "seq": record.seq,
        "timestamp": moment_text(record.event.at),
        **({"ack": True} if ack else {}),
        "data": record.event.told,
    }


def figure_message(kind: str, run: RunKey, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, **run_fields(run), "data": data}


def run_fields(run: RunKey) -> RunFields:
    train_no, start_date = run.split("/")
    return {"trainNo": train_no, "startDate": dump(start_date)}


def next_run(known: RunKey, taken_over: RunKey) -> NextRun:
    """Return the message to a client in the room of `known`."""
    return {"type": "NEXT_RUN", **run_fields(known), "data": run_fields(taken_over)}


def welcome(client: str, now: datetime, heartbeat_seconds: int) -> Welcome:
    return {
        "type": "WELCOME",
        "clientId": client,
        "protocol": PROTOCOL_VERSION,
        "serverTime": moment_text(now),
        "heartbeatSeconds": heartbeat_seconds,
    }


def identified(identity: Identity) -> Identified:
    """Return the client's role, user and trains, and the end of its token."""
    assert identity.user is not None
    assert identity.role is not None
    message: Identified = {
        "type": "IDENTIFIED",
        "role": identity.role,
        "user": identity.user,
        "trains": sorted(identity.trains),
    }
    if identity.source is not None:
        until = datetime.fromtimestamp(min(identity.source.expires, _LAST_MOMENT), UTC)
        message["expiresAt"] = dump(until)
    return message


def goodbye(reason: str, retry_after_ms: int) -> Goodbye:
    return {"type": "GOODBYE", "reason": reason, "retryAfterMs": retry_after_ms}


def moment_text(at: datetime) -> Any:
    """Return a time in JSON, to the millisecond."""
    return at.isoformat(timespec="milliseconds")
