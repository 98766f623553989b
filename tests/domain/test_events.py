"""trainhub/domain/events.py: what happened, who may be told, and what they read."""

import contextlib
import dataclasses
import json
import re

import pytest
from railway import MORNING, PEOPLE, Driver, chart, person, rac, register

from trainhub.core.audience import Standing, may_be_told
from trainhub.core.errors import Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.model import Level, Role

PERSON = {"user": "IR_1", "pnr": "4512345601", "index": 1, "name": "Person 1", "coach": "S1"}
PERSON |= {"berth": 1, "from_": "AAA", "to": "EEE", "at": MORNING}
HERE = e.Place(code="BBB", name="STATION BBB", index=1)
TIMES = {"scheduled": MORNING, "expected": MORNING, "actual": MORNING, "delay_minutes": 0}
AT_STATION = {"at": MORNING, "station": HERE, "platform": "2", "next": None, **TIMES}
BERTH = {"coach": "S1", "berth": 1, "class_": "SL", "from_": "AAA", "to": "EEE"}

WHOSE = {"user": "IR_1", "pnr": "4512345601", "index": 1}
OFFER = {"at": MORNING, "offer_id": "12345.2026-11-23.7", **WHOSE, "coach": "S1", "berth": 1}
OFFER["berth_type"] = "LOWER"
PASSED = e.Considered(pnr="4512345699", index=1, status="RAC", number=1, outcome="is DUE")
CHOSEN = e.Considered(pnr="4512345601", index=1, status="RAC", number=2, outcome="chosen")
UPGRADE = {"status": "RAC", "number": 2, "old_coach": "S1", "old_berth": 7, "cause": "NO_SHOW"}
UPGRADE["reason"] = (PASSED, CHOSEN)

# One event of each type; an announcement in each of its three forms.
MADE = {
    "TRAIN_REGISTERED": e.TrainRegistered(at=MORNING, chart=register().chart),
    "JOURNEY_STARTED": e.JourneyStarted(at=MORNING, station=HERE, next=HERE),
    "STATION_ARRIVAL": e.StationArrival(**AT_STATION, alighted=2),
    "STATION_DEPARTURE": e.StationDeparture(**AT_STATION),
    "JOURNEY_COMPLETED": e.JourneyCompleted(at=MORNING, station=HERE),
    "PASSENGER_BOARDED": e.PassengerBoarded(**PERSON),
    "PASSENGER_ALIGHTED": e.PassengerAlighted(**PERSON),
    "NO_SHOW": e.NoShow(**PERSON),
    "NO_SHOW_UNDONE": e.NoShowUndone(**PERSON),
    "BERTH_VACATED": e.BerthVacated(at=MORNING, **BERTH, cause="NO_SHOW"),
    "TRAIN_CANCELLED": e.TrainCancelled(at=MORNING, station=HERE, reason="flood"),
    "STATION_SKIPPED": e.StationSkipped(at=MORNING, station=HERE, next=None),
    "DELAY_UPDATE": e.DelayUpdate(at=MORNING, delay_minutes=5, reason=None, next=None),
    "PLATFORM_CHANGE": e.PlatformChange(at=MORNING, station=HERE, platform="4", confirmed=True),
    "PASSENGER_CANCELLED": e.PassengerCancelled(**PERSON),
    "BOARDING_CHANGED": e.BoardingChanged(**PERSON, old_from="AAA"),
    "UPGRADE_PENDING": e.UpgradePending(
        **OFFER, name="Person 1", **UPGRADE, from_="BBB", to="EEE", expires_at=MORNING
    ),
    "UPGRADE_OFFER": e.UpgradeOffer(**OFFER, to="EEE", expires_at=MORNING),
    "UPGRADE_DELIVERED": e.UpgradeDelivered(
        at=MORNING, offer_id="12345.2026-11-23.7", pnr="4512345601", index=1, devices=2
    ),
    "UPGRADE_CONFIRMED": e.UpgradeConfirmed(**PERSON, offer_id="12345.2026-11-23.7", **UPGRADE),
    "UPGRADE_CLOSED": e.UpgradeClosed(
        at=MORNING, offer_id="12345.2026-11-23.7", **WHOSE, outcome="DENIED"
    ),
    "CO_PASSENGER_CHANGED": e.CoPassengerChanged(at=MORNING, **WHOSE, coach="S1", berth=7),
    "CLOCK_CORRECTED": e.ClockCorrected(at=MORNING, by_seconds=3600, moved=("12345.2026-11-23.7",)),
    "ANNOUNCEMENT": e.Announcement(
        at=MORNING, text="Tea is served", level=Level.INFO, audience_=c.To.EVERYONE
    ),
}
TO_STAFF = dataclasses.replace(MADE["ANNOUNCEMENT"], audience_=c.To.STAFF)
TO_USER = dataclasses.replace(MADE["ANNOUNCEMENT"], audience_=c.To.USER, user="IR_1")

# Everybody who may sit in a run's room: a role and a user, or neither.
ANYBODY = (None, None)
SERVICE = (Role.SERVICE, "feed")
TTE, ADMIN = (Role.TTE, "T1"), (Role.ADMIN, "control")
SELF, ANOTHER = (Role.PASSENGER, "IR_1"), (Role.PASSENGER, "IR_2")
ALL = {ANYBODY, SERVICE, TTE, ADMIN, SELF, ANOTHER}

OWN = {SELF, TTE, ADMIN}
WHO = {
    "TRAIN_REGISTERED": ALL,
    "JOURNEY_STARTED": ALL,
    "STATION_ARRIVAL": ALL,
    "STATION_DEPARTURE": ALL,
    "JOURNEY_COMPLETED": ALL,
    "PASSENGER_BOARDED": OWN,
    "PASSENGER_ALIGHTED": OWN,
    "NO_SHOW": OWN,
    "NO_SHOW_UNDONE": OWN,
    "TRAIN_CANCELLED": ALL,
    "STATION_SKIPPED": ALL,
    "DELAY_UPDATE": ALL,
    "PLATFORM_CHANGE": ALL,
    "PASSENGER_CANCELLED": OWN,
    "BOARDING_CHANGED": OWN,
    "BERTH_VACATED": {TTE, ADMIN},
    "UPGRADE_PENDING": {TTE, ADMIN},
    "UPGRADE_OFFER": {SELF},
    "UPGRADE_DELIVERED": {TTE, ADMIN},
    "UPGRADE_CONFIRMED": OWN,
    "UPGRADE_CLOSED": OWN,
    "CO_PASSENGER_CHANGED": {SELF},
    "CLOCK_CORRECTED": ALL,
    "ANNOUNCEMENT": ALL,
}

PERSON_FIELDS = "pnr index name coach berth from to"
READ = {
    "TRAIN_REGISTERED": "trainName timezone stations",
    "JOURNEY_STARTED": "station next",
    "STATION_ARRIVAL": "station scheduled expected actual delayMinutes platform next alighted",
    "STATION_DEPARTURE": "station scheduled expected actual delayMinutes platform next",
    "JOURNEY_COMPLETED": "station",
    "PASSENGER_BOARDED": PERSON_FIELDS,
    "PASSENGER_ALIGHTED": PERSON_FIELDS,
    "NO_SHOW": PERSON_FIELDS,
    "NO_SHOW_UNDONE": PERSON_FIELDS,
    "BERTH_VACATED": "coach berth class from to cause",
    "TRAIN_CANCELLED": "station reason",
    "STATION_SKIPPED": "station next",
    "DELAY_UPDATE": "delayMinutes reason next",
    "PLATFORM_CHANGE": "station platform confirmed",
    "PASSENGER_CANCELLED": PERSON_FIELDS,
    "BOARDING_CHANGED": f"{PERSON_FIELDS} oldFrom",
    "UPGRADE_PENDING": "offerId user pnr index name status number coach berth berthType"
    " oldCoach oldBerth from to cause expiresAt reason passedOver",
    "UPGRADE_OFFER": "offerId pnr index coach berth berthType to expiresAt",
    "UPGRADE_DELIVERED": "offerId pnr index devices",
    "UPGRADE_CONFIRMED": f"{PERSON_FIELDS} offerId status number oldCoach oldBerth cause",
    "UPGRADE_CLOSED": "offerId pnr index outcome",
    "CO_PASSENGER_CHANGED": "pnr index coach berth",
    "CLOCK_CORRECTED": "bySeconds",
    "ANNOUNCEMENT": "text level",
}


def concrete(cls):
    """The classes below `cls` that have none below them."""
    below = cls.__subclasses__()
    return {cls} if not below else set().union(*(concrete(each) for each in below))


def hearers(event):
    return {(role, user) for role, user in ALL if may_be_told(event.audience, Standing(role, user))}


def test_every_event_is_in_the_table_under_its_own_name():
    """EVENTS is the table by type: StationArrival is STATION_ARRIVAL; TYPES is its reverse."""
    assert set(e.EVENTS.values()) == concrete(e.Event)
    for name, cls in e.EVENTS.items():
        assert name == re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()
        assert e.TYPES[cls] == name


@pytest.mark.parametrize("name", e.EVENTS)
def test_each_event_goes_to_its_audience_and_nobody_else(name):
    """The protocol's table: who may be told an event of each type."""
    assert type(MADE[name]) is e.EVENTS[name]
    assert hearers(MADE[name]) == WHO[name]


def test_an_announcement_goes_to_whom_it_was_asked_for():
    """Everyone, the staff, or one passenger on each of their devices."""
    assert hearers(MADE["ANNOUNCEMENT"]) == ALL
    assert hearers(TO_STAFF) == {TTE, ADMIN}
    assert hearers(TO_USER) == {SELF}


@pytest.mark.parametrize("role", [None, Role.TTE, Role.ADMIN, Role.SERVICE])
def test_a_user_is_a_passenger(role):
    """A TTE, a feed or nobody that goes by a passenger's id is not that passenger."""
    assert not may_be_told(e.to_passenger("IR_1"), Standing(role, "IR_1"))


def test_nobody_is_told_what_has_no_audience():
    """Whoever is named by one of its parts may be told, and nobody else."""
    assert not any(may_be_told((), Standing(role, user)) for role, user in ALL)
    assert not may_be_told(e.to_passenger(""), Standing(Role.PASSENGER))


@pytest.mark.parametrize(
    "event", [*MADE.values(), TO_STAFF, TO_USER], ids=lambda x: type(x).__name__
)
def test_the_audience_reads_the_fields_of_the_protocol(event):
    """An event's data has the protocol's fields: no irctcId, and not whom it is for."""
    assert sorted(event.told) == sorted(READ[e.TYPES[type(event)]].split())


def test_registering_a_train_tells_nothing_of_its_people():
    """A passenger's name, PNR, phone, e-mail or berth goes to that passenger and the staff only."""
    told = repr(MADE["TRAIN_REGISTERED"].told)
    for row in PEOPLE:
        for field in ("pnr", "irctcId", "name", "email"):
            assert row[field] not in told


def test_what_everyone_is_told_names_nobody():
    """On a whole journey no event for everyone holds a name, a PNR, an irctcId or an e-mail."""
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
    """`persons` is whom the write buffer writes again: all on registering, one on a mark."""
    booked = [f"{row['pnr']}/{row['index']}" for row in chart()["passengers"]]
    assert list(MADE["TRAIN_REGISTERED"].persons) == booked
    changed = {name for name in WHO if list(MADE[name].persons)} - {"TRAIN_REGISTERED"}
    assert changed == {
        *("PASSENGER_BOARDED", "PASSENGER_ALIGHTED", "NO_SHOW", "NO_SHOW_UNDONE"),
        *("PASSENGER_CANCELLED", "BOARDING_CHANGED", "UPGRADE_CONFIRMED"),
    }
    for name in changed:
        assert list(MADE[name].persons) == ["4512345601/1"]


def test_an_event_names_the_offers_it_changes():
    """`offers` is which offers the write buffer writes again."""
    changed = {name: list(MADE[name].offers) for name in WHO if list(MADE[name].offers)}
    made = ("UPGRADE_PENDING", "UPGRADE_DELIVERED", "UPGRADE_CONFIRMED", "UPGRADE_CLOSED")
    names = (*made, "CLOCK_CORRECTED")
    assert changed == {name: ["12345.2026-11-23.7"] for name in names}
    assert not list(dataclasses.replace(MADE["UPGRADE_CONFIRMED"], offer_id=None).offers)


@pytest.mark.parametrize("name", [name for name in WHO if SELF in WHO[name]])
def test_no_user_is_told_of_another(name):
    """A passenger's name, PNR or berth goes to that passenger and the staff: no reason, either."""
    told = json.dumps(MADE[name].told)
    assert PASSED.pnr not in told
    assert "reason" not in MADE[name].told or name in ("TRAIN_CANCELLED", "DELAY_UPDATE")


@pytest.mark.parametrize("policy", ["AUTO", "OFFER", "APPROVAL"])
def test_on_a_whole_journey_no_user_is_told_of_another(policy):
    """Whatever a passenger may be told names that passenger's own PNR and name only."""
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
