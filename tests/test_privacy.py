"""Who hears what of people: each type of event, with a mark in every field, to each kind of ear.

tests/web/test_privacy.py does the same over a whole hub, on every byte that leaves it.
"""

import dataclasses
import enum
import types
import typing
from datetime import UTC, date, datetime

import pytest
from fakes import Ear
from railway import RUN, register

from trainhub.domain import events as e
from trainhub.domain.commands import To
from trainhub.domain.model import Role
from trainhub.hub import Hub
from trainhub.identity import Identity, Standing
from trainhub.journal import Record
from trainhub.subscriptions import told

OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
OWNER, OTHER = "MARK-user", "IR_2"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

# Who is in the room. Whoever has no part in the run, as a TTE of another train, has no standing.
ROOM = {
    "owner": Standing(Role.PASSENGER, OWNER),
    "other passenger": Standing(Role.PASSENGER, OTHER),
    "a TTE of the owner's name": Standing(Role.TTE, OWNER),
    "TTE": Standing(Role.TTE, "T1"),
    "ADMIN": Standing(Role.ADMIN, "control"),
    "SERVICE": Standing(Role.SERVICE, OWNER),
    "anonymous": Standing(),
}
STAFF = {"a TTE of the owner's name", "TTE", "ADMIN"}
# The protocol's table of audiences, once more and by hand.
EVERYONE = {
    *("TRAIN_REGISTERED", "JOURNEY_STARTED", "JOURNEY_COMPLETED", "TRAIN_CANCELLED"),
    *("STATION_ARRIVAL", "STATION_DEPARTURE", "STATION_SKIPPED", "DELAY_UPDATE"),
    "PLATFORM_CHANGE",
}
OWN_AND_STAFF = {
    *("PASSENGER_BOARDED", "PASSENGER_ALIGHTED", "PASSENGER_CANCELLED", "NO_SHOW"),
    *("NO_SHOW_UNDONE", "BOARDING_CHANGED", "UPGRADE_CONFIRMED", "UPGRADE_CLOSED"),
}
OWN, STAFFS = {"UPGRADE_OFFER", "CO_PASSENGER_CHANGED"}, {"BERTH_VACATED", "UPGRADE_PENDING"}
ANNOUNCED = {To.EVERYONE: set(ROOM), To.STAFF: STAFF, To.USER: {"owner"}}
# What nobody is told of an event though it holds it: whose person it is, and who was passed over.
UNTOLD = {"user": OWN | OWN_AND_STAFF | {"ANNOUNCEMENT"}, "reason": {"UPGRADE_CONFIRMED"}}


def made_up(hint, place):
    """A value for a field of that type: a text says where it stands, so that it can be found."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return made_up(next(part for part in parts if part is not type(None)), place)
    if origin is tuple:
        return (made_up(parts[0], f"{place}-0"),)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        names = [each.name for each in dataclasses.fields(hint)]
        return hint(**{name: made_up(hints[name], f"{place}-{name}") for name in names})
    if issubclass(hint, enum.Enum):
        return next(iter(hint))
    plain = {str: place, int: 7, bool: True, datetime: NOON, date: NOON.date()}
    return plain[hint]


def marked(cls, **given):
    """An event of that type, whose every text is a mark, and its user the owner."""
    hints = typing.get_type_hints(cls)
    names = [each.name for each in dataclasses.fields(cls)]
    fields = {name: made_up(hints[name], f"MARK-{name}") for name in names}
    return cls(**{**fields, **{name: OWNER for name in names if name == "user"}, **given})


def hearers(kind, event):
    """Who of the room may hear it."""
    if kind == "ANNOUNCEMENT":
        return ANNOUNCED[event.audience_]
    if kind in EVERYONE:
        return set(ROOM)
    own = {"owner"} if kind in OWN | OWN_AND_STAFF else set()
    return own | (STAFF if kind in STAFFS | OWN_AND_STAFF else set())


EVENTS = [(kind, marked(cls)) for kind, cls in e.EVENTS.items() if kind != "ANNOUNCEMENT"]
EVENTS += [("ANNOUNCEMENT", marked(e.Announcement, audience_=to)) for to in To]


def test_every_type_has_its_line():
    """A new event has to be put into one of the tables above."""
    kinds = [*EVERYONE, *OWN_AND_STAFF, *OWN, *STAFFS, "ANNOUNCEMENT"]
    assert sorted(kinds) == sorted(e.EVENTS)


class Bytes(Ear):
    """An ear that keeps every byte as well."""

    def __init__(self):
        super().__init__()
        self.bytes = b""

    def send(self, frames):
        self.bytes += frames
        super().send(frames)


@pytest.fixture
def room(make_hub, io_loop):
    """A hub with a train, everybody of ROOM in its room, and a TTE in another train's."""
    hub: Hub = make_hub()
    io_loop.run_sync(lambda: hub.execute(register(), OPERATOR))
    io_loop.run_sync(lambda: hub.execute(register(trainNo="54321"), OPERATOR))
    ears = {who: Bytes() for who in ROOM}
    for who, standing in ROOM.items():
        hub.rooms.join(RUN, ears[who], standing)
    ears["elsewhere"] = Bytes()
    hub.rooms.join("54321/2026-11-23", ears["elsewhere"], Standing(Role.TTE, "T1"))
    return hub, ears


@pytest.mark.made_up
@pytest.mark.gen_test
@pytest.mark.parametrize(("kind", "event"), EVENTS, ids=lambda value: str(value)[:20])
async def test_an_event_is_heard_by_its_audience_and_by_nobody_else(room, kind, event):
    """Not one byte of it goes to another; and those who hear it hear only what is told."""
    hub, ears = room
    await hub.log.append(RUN, hub.state(RUN).seq + 1, [event])
    expected = hearers(kind, event)
    for who, ear in ears.items():
        if who not in expected:
            assert ear.bytes == b"", who
            continue
        (message,) = ear.heard
        assert message["type"] == kind
        for name, kinds in UNTOLD.items():
            assert kind not in kinds or f"MARK-{name}".encode() not in ear.bytes, who
        # What is told was there to be found, and nothing of a chart is but the train's name.
        marks = set(texts_of(message["data"])) & set(texts_of(dataclasses.asdict(event)))
        assert any("MARK" in mark for mark in marks)
        assert kind != "TRAIN_REGISTERED" or not {m for m in marks if "passengers" in m}


@pytest.mark.parametrize(("kind", "event"), EVENTS, ids=lambda value: str(value)[:20])
def test_what_was_missed_is_told_as_the_new_standing_may_hear(kind, event):
    """Whoever comes back as somebody else hears of the past what the present one may."""
    expected = hearers(kind, event)
    for who, standing in ROOM.items():
        kinds = [message["type"] for message in told([Record(1, RUN, 1, event)], standing)]
        assert kinds == ([kind] if who in expected else []), who


@pytest.mark.made_up
@pytest.mark.gen_test
@pytest.mark.parametrize("then", ROOM)
@pytest.mark.parametrize("first", ROOM)
async def test_who_was_somebody_else_hears_as_who_one_is(room, first, then):
    """One socket, two standings: from the change on nothing is heard as the first."""
    hub, _ = room
    ear = Bytes()
    hub.rooms.join(RUN, ear, ROOM[first])
    hub.rooms.join(RUN, ear, ROOM[then])
    heard = []
    for kind, event in EVENTS:
        await hub.log.append(RUN, hub.log.last + 1, [event])
        heard += [kind] if then in hearers(kind, event) else []
    assert [message["type"] for message in ear.heard] == heard


def texts_of(value):
    """Every text in it."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [text for each in value for text in texts_of(each)]
    return [value] if isinstance(value, str) else []
