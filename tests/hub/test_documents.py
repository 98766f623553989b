"""trainhub/hub/documents.py: the documents that a record changes, and their content."""

from dataclasses import replace
from datetime import datetime, timedelta

import bson
import pytest
from railway import MORNING, RUN, Driver, chart, largest_chart, person, register_chart
from voyage import to_its_cancelling, to_its_end

from trainhub.core.codec import load
from trainhub.core.journal import Deed, Record
from trainhub.core.ledger import Ledger
from trainhub.core.notifications import Channel, Notification, Outcome, Told
from trainhub.domain import events as e
from trainhub.domain.fields import MOST_PASSENGERS, MOST_TEXT_BYTES
from trainhub.domain.model import Role
from trainhub.domain.train import TrainState
from trainhub.hub.documents import (
    AUDIT,
    DOCUMENT_SCHEMA,
    EVENT_COLLECTION,
    INDEXES,
    OFFERS,
    PASSENGERS,
    RUNS,
    changes,
    single,
    told,
)

SLEEPER = "12345/2026-11-23/4512345601/1"


def records(driver):
    return [Record(100 + seq, RUN, seq, event) for seq, event in enumerate(driver.events, start=1)]


def rendered(driver, record, epoch="e1"):
    """The documents of a record, as (collection, id) → document, rendered now."""
    return {
        (change.collection, change.id): change.render()
        for change in changes(driver.state, record, epoch)
    }


@pytest.fixture(params=[to_its_end, to_its_cancelling])
def driver(request):
    """A run with its events. The two runs have every type together."""
    return request.param()


def test_a_record_changes_its_event_its_run_its_people_and_its_offers(driver):
    """A record changes its event, its run, and only the event's people and offers."""
    for record in records(driver):
        expected = {(EVENT_COLLECTION, f"{RUN}/{record.seq}"), (RUNS, RUN)}
        people = driver.state.passengers if record.seq == 1 else record.event.persons
        expected |= {(PASSENGERS, f"{RUN}/{key}") for key in people}
        offers = driver.state.offers if record.seq == 1 else record.event.offers
        expected |= {(OFFERS, offer) for offer in offers}
        assert set(rendered(driver, record)) == expected


def test_people_of_a_replaced_chart_are_gone():
    """A person who is only on the first chart keeps a document without personal data."""
    driver = Driver(person(1))
    driver.give(register_chart(chart(person(2))))
    first, second = records(driver)
    assert (PASSENGERS, SLEEPER) not in rendered(driver, first)
    found = rendered(driver, second)
    assert found[PASSENGERS, f"{RUN}/4512345602/1"]["state"] == "DUE"
    gone = found[PASSENGERS, SLEEPER]
    assert gone["state"] == "GONE"
    assert set(gone) == {"_id", "epoch", "schema", "seq", "run", "state"}


def test_a_record_with_a_deed_has_its_entry_in_the_audit(driver):
    """An audit id begins with the time and names the log, so that no entry replaces another."""
    record, other = records(driver)[:2]
    deed = Deed("T1", Role.TTE, "10.1.2.3", "START_JOURNEY", None)
    name = f"2026-11-23T02:30:00.000Z/e1/{RUN}/1"
    done = rendered(driver, replace(record, deed=deed))
    assert done.keys() == {*rendered(driver, record), (AUDIT, name)}
    assert done[AUDIT, name] == {
        "_id": name,
        "epoch": "e1",
        "schema": DOCUMENT_SCHEMA,
        "at": MORNING,
        "user": "T1",
        "role": "TTE",
        "address": "10.1.2.3",
        "command": "START_JOURNEY",
        "run": RUN,
        "about": None,
        "seq": 1,
        "result": "DONE",
    }
    names = [
        name
        for each, epoch in ((record, "e1"), (record, "e2"), (other, "e1"))
        for collection, name in rendered(driver, replace(each, deed=deed), epoch)
        if collection == AUDIT
    ]
    assert len(set(names)) == 3


def test_refusals_never_share_an_id():
    """Refusals of one user at one moment have different ids."""
    deed = Deed("T1", Role.TTE, None, "START_JOURNEY", None)
    made = [single(deed, None, "FORBIDDEN", MORNING, "e1") for _ in range(1000)]
    assert len({each.id for each in made}) == 1000
    assert {each.render()["_id"] for each in made} == {each.id for each in made}


def test_which_events_change_people_and_which_change_offers():
    """A mark changes one person, a chart all people, an upgrade a person and its offer.

    A corrected clock changes each open offer: one in this journey.
    """
    driver, counts = to_its_end(), {}
    for record in records(driver):
        made = [collection for collection, _ in rendered(driver, record)]
        counts.setdefault(type(record.event), (made.count(PASSENGERS), made.count(OFFERS)))
    one_person = {cls for cls in counts if issubclass(cls, e.PersonEvent)}
    expected = dict.fromkeys(counts, (0, 0)) | dict.fromkeys(one_person, (1, 0))
    people = len(driver.state.passengers)  # the first record stands for all later ones
    expected |= {e.TrainRegistered: (people, len(driver.state.offers)), e.UpgradeConfirmed: (1, 1)}
    expected[e.ChartAmended] = 1, 0
    one_offer = (e.UpgradePending, e.UpgradeDelivered, e.UpgradeClosed, e.ClockCorrected)
    expected |= dict.fromkeys(one_offer, (0, 1))
    assert counts == expected


def test_a_document_s_id_is_the_one_it_is_filed_under(driver):
    """The id of a change is the `_id` of its document."""
    for record in records(driver):
        for (_, name), document in rendered(driver, record).items():
            assert document["_id"] == name


def test_every_document_says_which_log_and_how_far(driver):
    """Each document has `epoch`, `seq` and `schema`. An event has its own seq."""
    last = driver.state.seq
    for record in records(driver):
        for (collection, _), document in rendered(driver, record, "another").items():
            assert document["epoch"] == "another"
            assert document["schema"] == DOCUMENT_SCHEMA
            assert document["seq"] == (record.seq if collection == EVENT_COLLECTION else last)


def test_every_document_can_be_stored(driver):
    """BSON stores each document and returns it unchanged, with times to the millisecond."""
    options = bson.CodecOptions(tz_aware=True)
    for record in records(driver):
        for document in rendered(driver, record).values():
            assert bson.decode(bson.encode(document), options) == document


def test_the_largest_chart_can_be_stored():
    """The largest chart, with 10,000 people and 8 MB of texts, makes no document above 16 MB."""
    command = register_chart(largest_chart())
    state = TrainState(command.chart.run)
    (event,) = state.carry_out(command, MORNING)
    sizes = {
        (change.collection, change.id): len(bson.encode(change.render()))
        for change in changes(state, Record(1, state.run, 1, event), "e1")
    }
    assert len(sizes) == 2 + MOST_PASSENGERS
    whole = sizes[EVENT_COLLECTION, f"{state.run}/1"]
    assert MOST_TEXT_BYTES < whole == max(sizes.values()) < 13 * 1024 * 1024


def test_every_index_is_on_a_field_that_is_there():
    """Each index is on fields that the documents have."""
    driver, fields = to_its_end(), {}
    deed = Deed("T1", Role.TTE, None, "START_JOURNEY", None)
    for record in (replace(each, deed=deed) for each in records(driver)):
        for (collection, _), document in rendered(driver, record).items():
            fields.setdefault(collection, set()).update(document)
    one = Notification("n1", 3, Channel.PUSH, "IR_1", "subject", "body")
    change = told(Ledger().tell(Told(one, Outcome.QUEUED, 0, one.queued)), 3, "e1")
    fields[change.collection] = set(change.render())
    assert set(INDEXES) == set(fields)
    for collection, indexes in INDEXES.items():
        for keys in indexes:
            assert set(keys) <= fields[collection]


def test_an_event_s_document_holds_the_whole_event(driver):
    """A hub without its data folder can read the same events from the documents."""
    for record in records(driver):
        document = rendered(driver, record)[EVENT_COLLECTION, f"{RUN}/{record.seq}"]
        assert load(e.EVENTS[document["type"]], document["data"]) == record.event
        assert document["run"] == RUN
        assert (document["trainNo"], document["startDate"]) == ("12345", "2026-11-23")
        assert document["timestamp"] == record.event.at


def test_an_event_s_document_is_the_same_whenever_it_is_rendered():
    """An event's document is not changed by later events."""
    driver = Driver()
    driver.start()
    record = records(driver)[1]
    change = next(
        each for each in changes(driver.state, record, "e1") if each.collection == EVENT_COLLECTION
    )
    before = change.render()
    driver.go_to("CCC")
    assert change.render() == before


def test_runs_and_people_are_rendered_as_they_are_at_the_write():
    """A document of a run or person shows the state at the time of the write."""
    driver = Driver()
    made = {each.id: each for each in changes(driver.state, records(driver)[0], "e1")}
    driver.start()
    driver.no_show(1)
    run, sleeper = made[RUN].render(), made[SLEEPER].render()
    assert (run["status"], run["seq"]) == ("RUNNING", driver.state.seq)
    assert (sleeper["state"], sleeper["seq"]) == ("NT", driver.state.seq)


def test_the_run_s_document():
    """A run's document has its position, its delay, and each stop with its times."""
    driver = Driver()
    driver.go_to("CCC")
    driver.depart("CCC")
    run = rendered(driver, records(driver)[0])[RUNS, RUN]
    assert run["trainNo"] == "12345"
    assert run["trainName"] == "TEST EXP"
    assert run["startDate"] == "2026-11-23"
    assert run["timezone"] == "Asia/Kolkata"
    assert (run["policy"], run["boarding"]) == ("OFFER", "verify")
    assert (run["status"], run["endedAt"]) == ("RUNNING", None)
    assert (run["index"], run["departed"]) == (2, True)
    coach = {"code": "S1", "class": "SL", "berths": 72}
    unset = {"layout": None, "numbers": None, "rac": None, "blocked": []}
    assert run["coaches"] == [{**coach, **unset}]
    assert [stop["code"] for stop in run["stations"]] == ["AAA", "BBB", "CCC", "DDD", "EEE"]
    first, *_, third, fourth, last = run["stations"]
    assert first["scheduledArrival"] is None
    assert last["scheduledDeparture"] is None
    assert third["scheduledArrival"] == datetime.fromisoformat("2026-11-23T11:00:00+05:30")
    assert third["actualArrival"] is not None
    assert third["actualDeparture"] is not None
    assert fourth["actualArrival"] is None
    assert (fourth["name"], fourth["platform"]) == ("STATION DDD", "4")


def test_a_run_that_has_ended_says_when():
    """A completed run has `endedAt`, and is not live."""
    driver = Driver()
    driver.go_to("EEE")
    run = rendered(driver, records(driver)[0])[RUNS, RUN]
    assert run["status"] == "COMPLETED"
    assert run["endedAt"] == driver.events[-1].at


def test_a_person_s_document():
    """A person's document has the chart's fields and the present state."""
    driver = Driver(person(1, phone="+91 12345", age=44), person(2))
    driver.start()
    driver.board(1)
    sleeper = rendered(driver, records(driver)[0])[PASSENGERS, SLEEPER]
    assert sleeper["run"] == RUN
    assert (sleeper["pnr"], sleeper["index"], sleeper["irctcId"]) == ("4512345601", 1, "IR_1")
    assert (sleeper["name"], sleeper["phone"], sleeper["age"]) == ("Person 1", "+91 12345", 44)
    assert (sleeper["from"], sleeper["to"], sleeper["class"]) == ("AAA", "EEE", "SL")
    assert (sleeper["status"], sleeper["state"]) == ("CNF", "ABOARD")
    assert (sleeper["coach"], sleeper["berth"]) == ("S1", 1)


def offers_of(driver):
    """The offers' documents in the order of the offers, as they are now."""
    return [
        document
        for record in records(driver)
        if isinstance(record.event, e.UpgradePending)
        for (collection, _), document in rendered(driver, record).items()
        if collection == OFFERS
    ]


def test_an_offer_s_document():
    """An offer's document has all that the staff read, and the user."""
    driver = Driver()
    driver.start()
    for number in (10, 11):
        driver.board(number)
    driver.no_show(1)
    (offer,) = offers_of(driver)
    assert offer == {
        "_id": "12345.2026-11-23.7",
        "offerId": "12345.2026-11-23.7",
        "epoch": "e1",
        "schema": DOCUMENT_SCHEMA,
        "seq": driver.state.seq,
        "run": RUN,
        "irctcId": "IR_10",
        "pnr": "4512345610",
        "index": 1,
        "name": "Person 10",
        "state": "OPEN",
        "coach": "S1",
        "berth": 1,
        "berthType": "LOWER",
        "oldCoach": "S1",
        "oldBerth": 7,
        "from": "AAA",
        "to": "EEE",
        "cause": "NO_SHOW",
        "reason": [
            {"pnr": "4512345610", "index": 1, "status": "RAC", "number": 1, "outcome": "chosen"}
        ],
        "passedOver": [],
        "expiresAt": MORNING + timedelta(seconds=300),
        "closedAt": None,
        "answeredBy": None,
        "delivered": 0,
        "deliveredAt": None,
    }


def test_an_offer_s_document_shows_how_it_ended():
    """An offer's document has its outcome and the time of it."""
    driver = to_its_end()
    ends = [(each["irctcId"], each["state"]) for each in offers_of(driver)]
    assert ends == [
        ("IR_10", "DENIED"),
        ("IR_11", "ACCEPTED"),
        ("IR_10", "WITHDRAWN"),
        ("IR_1", "WITHDRAWN"),
        ("IR_10", "WITHDRAWN"),
    ]
    closed = [each["closedAt"] for each in offers_of(driver)]
    assert closed[:3] == [MORNING] * 3
    assert closed[3:] == [driver.events[-1].at] * 2
