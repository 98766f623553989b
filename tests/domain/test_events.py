"""trainhub/domain/events.py: each event's audience, and the data that the audience reads."""

import contextlib
import dataclasses
import json
import re

import pytest
from railway import PEOPLE, Driver, chart, person, rac
from samples import HEARD
from voyage import voyages

from trainhub.core.audience import Standing, may_be_told
from trainhub.core.errors import Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.model import Role


def of_ir_1(event):
    """The event, about the first person of user IR_1."""
    names = {each.name for each in dataclasses.fields(event)}
    whose = {"user": "IR_1", "pnr": "4512345601", "index": 1}
    if isinstance(event, e.Announcement):
        return dataclasses.replace(event, audience_=c.To.EVERYONE, user=None)
    return dataclasses.replace(event, **{name: whose[name] for name in whose.keys() & names})


# One event of each type, made by a run; an announcement in each of its three forms.
MADE = {e.TYPES[type(event)]: of_ir_1(event) for driver in voyages() for event in driver.events}
TO_STAFF = dataclasses.replace(MADE["ANNOUNCEMENT"], audience_=c.To.STAFF)
TO_USER = dataclasses.replace(MADE["ANNOUNCEMENT"], audience_=c.To.USER, user="IR_1")

# Each kind of subscriber of a room: a role and a user, or neither.
ANYBODY = (None, None)
SERVICE = (Role.SERVICE, "feed")
TTE, ADMIN = (Role.TTE, "T1"), (Role.ADMIN, "control")
SELF, ANOTHER = (Role.PASSENGER, "IR_1"), (Role.PASSENGER, "IR_2")
ALL = {ANYBODY, SERVICE, TTE, ADMIN, SELF, ANOTHER}

STAFF = {TTE, ADMIN}
WHO = {"all": ALL, "both": {SELF, *STAFF}, "user": {SELF}, "staff": STAFF, "as asked": ALL}


def concrete(cls):
    """The classes below `cls` that have no subclasses."""
    below = cls.__subclasses__()
    return {cls} if not below else set().union(*(concrete(each) for each in below))


def hearers(event):
    return {(role, user) for role, user in ALL if may_be_told(event.audience, Standing(role, user))}


def test_every_event_is_in_the_table_under_its_own_name():
    """EVENTS has StationArrival as STATION_ARRIVAL, and so on. TYPES is its reverse."""
    assert set(e.EVENTS.values()) == concrete(e.Event)
    for name, cls in e.EVENTS.items():
        assert name == re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()
        assert e.TYPES[cls] == name


@pytest.mark.parametrize("name", e.EVENTS)
def test_each_event_goes_to_its_audience_only(name):
    """The audience of each event is as the protocol says."""
    assert type(MADE[name]) is e.EVENTS[name]
    assert hearers(MADE[name]) == WHO[HEARD[name]]


def test_an_announcement_goes_to_its_audience():
    """An announcement goes to everyone, to the staff, or to one passenger on each device."""
    assert hearers(MADE["ANNOUNCEMENT"]) == ALL
    assert hearers(TO_STAFF) == {TTE, ADMIN}
    assert hearers(TO_USER) == {SELF}


@pytest.mark.parametrize("role", [None, Role.TTE, Role.ADMIN, Role.SERVICE])
def test_a_user_is_a_passenger(role):
    """A TTE or feed with a passenger's id does not get the passenger's events."""
    assert not may_be_told(e.to_passenger("IR_1"), Standing(role, "IR_1"))


def test_an_event_without_an_audience_goes_to_no_one():
    """An event without an audience goes to no one, and each part of an audience adds readers."""
    assert not any(may_be_told((), Standing(role, user)) for role, user in ALL)
    assert not may_be_told(e.to_passenger(""), Standing(Role.PASSENGER))


def test_registering_a_train_tells_nothing_of_its_people():
    """TRAIN_REGISTERED has no personal data for its audience."""
    told = repr(MADE["TRAIN_REGISTERED"].told)
    for row in PEOPLE:
        for field in ("pnr", "irctcId", "name", "email"):
            assert row[field] not in told


def test_events_for_everyone_name_no_person():
    """On a whole journey, events for everyone have no name, PNR, irctcId or e-mail address."""
    run = Driver()
    run.start()
    for number in (1, 2, 10):
        run.board(number)
    run.no_show(11)
    run.go_to("EEE")
    open_to_all = [event for event in run.events if ANYBODY in hearers(event)]
    assert {e.TYPES[type(event)] for event in open_to_all} == {
        *("TRAIN_REGISTERED", "JOURNEY_STARTED", "JOURNEY_COMPLETED"),
        *("STATION_ARRIVAL", "STATION_DEPARTURE"),
    }
    secrets = [row[field] for row in PEOPLE for field in ("pnr", "irctcId", "name", "email")]
    told = repr([event.told for event in open_to_all])
    assert [secret for secret in secrets if secret in told] == []


def test_an_event_names_the_people_it_changes():
    """`persons` has the people that an event changes: all at registration, one at a mark."""
    booked = [f"{row['pnr']}/{row['index']}" for row in chart()["passengers"]]
    assert list(MADE["TRAIN_REGISTERED"].persons) == booked
    changed = {name for name in MADE if list(MADE[name].persons)}
    changed -= {"TRAIN_REGISTERED", "CHART_AMENDED"}
    assert changed == {name for name in HEARD if HEARD[name] == "both"} - {"UPGRADE_CLOSED"}
    for name in changed:
        assert list(MADE[name].persons) == ["4512345601/1"]


def test_an_event_names_the_offers_it_changes():
    """`offers` has the offers whose documents are written again."""
    changed = {name for name in MADE if list(MADE[name].offers)}
    made = ("UPGRADE_PENDING", "UPGRADE_DELIVERED", "UPGRADE_CONFIRMED", "UPGRADE_CLOSED")
    names = (*made, "CLOCK_CORRECTED")
    assert changed == set(names)
    assert all(re.fullmatch(r"12345\.2026-11-23\.\d+", *MADE[name].offers) for name in names)
    assert not list(dataclasses.replace(MADE["UPGRADE_CONFIRMED"], offer_id=None).offers)


@pytest.mark.parametrize("name", [name for name in HEARD if SELF in WHO[HEARD[name]]])
def test_no_user_is_told_of_another(name):
    """An event for a passenger has no data of other passengers, and no reason."""
    told = json.dumps(MADE[name].told)
    others = {row["pnr"] for row in PEOPLE} - {"4512345601"}
    assert not [pnr for pnr in others if pnr in told]
    assert "reason" not in MADE[name].told or name in (
        "TRAIN_CANCELLED",
        "SHORT_TERMINATED",
        "DELAY_UPDATE",
    )


@pytest.mark.parametrize("policy", ["AUTO", "OFFER", "APPROVAL"])
def test_on_a_whole_journey_no_user_is_told_of_another(policy):
    """On a whole journey, a passenger's events have only the passenger's own PNR and name."""
    run = Driver(person(1), person(2), *(rac(n, n) for n in (10, 11)), policy=policy)
    run.start()
    for number in (10, 11):
        run.board(number)
    run.no_show(1)
    for command in (c.ApproveOffer, c.AcceptOffer, c.DenyOffer):
        for offer in list(run.state.open_by_berth.values()):
            with contextlib.suppress(Conflict):
                run.give(command(train_no="12345", offer_id=offer.id))
    run.no_show(2)
    run.go_to("EEE")
    assert run.state.upgrades
    for number in (1, 2, 10, 11):
        own = Standing(Role.PASSENGER, f"IR_{number}")
        mine = [x for x in run.events if may_be_told(x.audience, own)]
        told = json.dumps([event.told for event in mine])
        assert f"45123456{number:02}" in told
        for other in {1, 2, 10, 11} - {number}:
            assert f"45123456{other:02}" not in told
            assert f'"Person {other}"' not in told
            assert f"IR_{other}" not in told
