"""trainhub/hub/protocol.py: the messages of clients and of the hub."""

import json
import math
from datetime import date

import pytest
from railway import MORNING, RUN, Driver, chart, person
from samples import MESSAGES
from voyage import voyages

from trainhub.core.codec import dump, load
from trainhub.core.errors import BadMessage, UnknownType
from trainhub.core.journal import Record
from trainhub.core.wire import encode, error_fields, parse
from trainhub.domain import commands as c
from trainhub.domain.errors import UnknownOffer
from trainhub.domain.events import EVENTS
from trainhub.domain.model import RunKey
from trainhub.domain.train import TrainState
from trainhub.hub.protocol import (
    _MESSAGES,
    SubscribeTrain,
    UnsubscribeTrain,
    event_message,
    figure_message,
    goodbye,
    read_command,
    read_message,
    run_fields,
    welcome,
)

DAY = date(2026, 11, 23)
MARK = {"trainNo": "12345", "pnr": "4512345601", "index": 1}


@pytest.mark.parametrize("kind", [kind for kind in MESSAGES if kind != "REGISTER_TRAIN"])
def test_each_message_is_read(kind):
    """Each type of message is read with all its fields."""
    message = read_message({"type": kind, **MESSAGES[kind]})
    assert type(message) is _MESSAGES[kind]
    read = dump(message)
    if kind == "AMEND_CHART":
        read |= read.pop("amendment")
        assert [each["pnr"] for each in read.pop("passengers")] == ["4512345604"]
        assert [read.pop(name) for name in ("lines", "rejected", "warnings")] == [[1], [], []]
        read["passengers"] = MESSAGES[kind]["passengers"]
        read["coaches"] = [{name: each[name] for name in OTHER} for each in read["coaches"]]
    for name, value in MESSAGES[kind].items():
        assert _with_defaults(read[name], value) == value
    assert {*read} - {*MESSAGES[kind]} <= {"trainNo", "startDate"}  # an offer's id has these
    assert read.get("startDate", "2026-11-23") == "2026-11-23"


OTHER = ("code", "class", "berths")


def _with_defaults(read, given):
    """Return what was read, without the optional fields of marks that were not given."""
    if not isinstance(given, list) or any(isinstance(each, str) for each in given):
        return read
    return [{name: each[name] for name in mark} for each, mark in zip(read, given, strict=True)]


def test_a_message_may_be_short():
    """Fields with a default may be missing or null."""
    assert read_message({"type": "SUBSCRIBE_TRAIN", "trainNo": "12345"}) == SubscribeTrain(
        train_no="12345"
    )
    assert read_message({"type": "UNSUBSCRIBE_TRAIN", "trainNo": "12345", "startDate": None}) == (
        UnsubscribeTrain(train_no="12345")
    )
    platform = {"trainNo": 12345, "stationCode": "BBB", "platform": "9"}
    assert read_message({"type": "SET_PLATFORM", **platform}) == c.SetPlatform(
        train_no="12345", station_code="BBB", platform="9", confirmed=True
    )


def test_every_command_is_a_message_too():
    """Each command is a message on a socket."""
    for kind in c.COMMANDS:
        with pytest.raises(BadMessage) as raised:
            read_message({"type": kind, "nonsense": 1})
        assert not isinstance(raised.value, UnknownType)


@pytest.mark.parametrize("kind", ["ACCEPT_OFFER", "DENY_OFFER", "APPROVE_OFFER", "WITHDRAW_OFFER"])
def test_an_offer_s_id_names_its_run(kind):
    """The run of an offer's id replaces a train that the message names."""
    data = {"type": kind, "offerId": "12345.2026-11-23.17"}
    message = read_message({**data, "trainNo": "54321", "startDate": "2026-01-01"})
    assert (message.train_no, message.start_date) == ("12345", DAY)
    for missing in ({"type": kind}, {"type": kind, "offerId": None}, {"type": kind, "offerId": 7}):
        with pytest.raises(BadMessage):
            read_message(missing)


@pytest.mark.parametrize(
    "offer_id",
    [
        "", "17", "12345", "12345.2026-11-23", "12345.2026-11-23.", "12345.2026-11-23.x",
        "12345/2026-11-23.17", "12345.2026-11-23.17\n", "12345.2026-13-45.17", "..", "x" * 5_000,
    ],
)  # fmt: skip
def test_what_is_no_offer_s_id_names_no_offer(offer_id):
    """An invalid id is UNKNOWN_OFFER, like an id without an offer."""
    with pytest.raises(UnknownOffer):
        read_message({"type": "ACCEPT_OFFER", "offerId": offer_id})


def test_a_chart_is_read_whole():
    """REGISTER_TRAIN has the chart's fields, and unsound passengers are rejected."""
    command = read_message({"type": "REGISTER_TRAIN", **chart(person(1), person(2, to="ZZZ"))})
    assert isinstance(command, c.RegisterTrain)
    assert (command.train_no, command.start_date) == ("12345", DAY)
    assert [each.pnr for each in command.chart.passengers] == ["4512345601"]
    assert [(each.line, each.pnr) for each in command.rejected] == [(2, "4512345602")]


@pytest.mark.parametrize("train_no", ["12345", " 12345 ", 12345])
def test_a_train_number_may_be_written_in_three_ways(train_no):
    """12345, "12345" and " 12345 " are the same train in messages and charts."""
    for kind in ("SUBSCRIBE_TRAIN", "UNSUBSCRIBE_TRAIN", "START_JOURNEY"):
        assert read_message({"type": kind, "trainNo": train_no}).train_no == "12345"
    registered = read_message({"type": "REGISTER_TRAIN", **chart(trainNo=train_no)})
    assert registered.chart.train_no == "12345"


@pytest.mark.parametrize("train_no", [None, True, 1.5, math.nan, math.inf, [], {}, "", " "])
@pytest.mark.parametrize("kind", ["SUBSCRIBE_TRAIN", "START_JOURNEY", "REGISTER_TRAIN"])
def test_what_is_no_train_number_is_refused(kind, train_no):
    """Null and true are not train numbers."""
    fields = chart() if kind == "REGISTER_TRAIN" else {}
    with pytest.raises(BadMessage):
        read_message({**fields, "type": kind, "trainNo": train_no})


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (None, BadMessage),
        ([], BadMessage),
        ("PING", BadMessage),
        (1, BadMessage),
        ({}, BadMessage),
        ({"type": None}, BadMessage),
        ({"type": ["PING"]}, BadMessage),
        ({"type": {}}, BadMessage),
        ({"type": "ping"}, UnknownType),
        ({"type": ""}, UnknownType),
        ({"type": "SNAPSHOT"}, UnknownType),
        ({"type": "PING", "more": 1}, BadMessage),
        ({"type": "PING", "key": "k"}, BadMessage),
        ({"type": "UNSUBSCRIBE_TRAIN", "trainNo": "1", "key": 1.5}, BadMessage),
        ({"type": "IDENTIFY"}, BadMessage),
        ({"type": "IDENTIFY", "token": None}, BadMessage),
        ({"type": "IDENTIFY", "token": 7}, BadMessage),
        ({"type": "IDENTIFY", "token": ""}, BadMessage),
        ({"type": "SUBSCRIBE_TRAIN"}, BadMessage),
        ({"type": "SUBSCRIBE_TRAIN", "trainNo": "1", "startDate": "23-11-2026"}, BadMessage),
        ({"type": "SUBSCRIBE_TRAIN", "trainNo": "1", "startDate": 20261123}, BadMessage),
        ({"type": "SUBSCRIBE_TRAIN", "trainNo": "1", "startDate": "2026-02-30"}, BadMessage),
        ({"type": "SUBSCRIBE_TRAIN", "trainNo": "1", "since": 5}, BadMessage),
        ({"type": "SUBSCRIBE_TRAIN", "trainNo": "1", "since": {"epoch": "e"}}, BadMessage),
        (
            {"type": "SUBSCRIBE_TRAIN", "trainNo": "1", "since": {"epoch": "e", "seq": "1"}},
            BadMessage,
        ),
        (
            {"type": "SUBSCRIBE_TRAIN", "trainNo": "1", "since": {"epoch": "e", "seq": True}},
            BadMessage,
        ),
        ({"type": "MARK_BOARDED", **MARK, "index": "1"}, BadMessage),
        ({"type": "MARK_BOARDED", **MARK, "index": 1.0}, BadMessage),
        ({"type": "MARK_BOARDED", **MARK, "index": math.nan}, BadMessage),
        ({"type": "MARK_BOARDED", **MARK, "index": 2**53}, BadMessage),
        ({"type": "MARK_BOARDED", **MARK, "pnr": 45123.5}, BadMessage),
        ({"type": "ARRIVE", "trainNo": "1", "stationCode": "A", "at": "10:00"}, BadMessage),
        (
            {"type": "ARRIVE", "trainNo": "1", "stationCode": "A", "at": "2026-11-23T10:00"},
            BadMessage,
        ),
        ({"type": "ANNOUNCE", "trainNo": "1", "text": "half \ud83d of a pair"}, BadMessage),
        ({"type": "ANNOUNCE", "trainNo": "1", "text": "a NUL \0"}, BadMessage),
        ({"type": "ANNOUNCE", "trainNo": "1", "text": "x" * 1_001}, BadMessage),
        ({"type": "ANNOUNCE", "trainNo": "1", "text": math.nan}, BadMessage),
        ({"type": "ANNOUNCE", "trainNo": "1", "text": "x", "level": "LOUD"}, BadMessage),
        ({"type": "ANNOUNCE", "trainNo": "1", "text": "x", "level": []}, BadMessage),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_refused(data, error):
    """Values are not converted, unknown fields are refused, and required fields must be there."""
    with pytest.raises(error) as raised:
        read_message(data)
    assert type(raised.value) is error


def test_an_unknown_type_is_told_the_known_ones():
    """The error of an unknown type names the known types."""
    with pytest.raises(UnknownType, match=r"IDENTIFY, LOGOUT, SUBSCRIBE_TRAIN.*ANNOUNCE"):
        read_message({"type": "HELLO"})


@pytest.mark.parametrize("text", ['{"type": "PING", "\\ud800": 1}', '{"\\udfff": 1}'])
def test_any_refusal_can_be_sent(text):
    """An error about half of a surrogate pair is valid Unicode."""
    for refuse in (
        lambda data: read_message(data),
        lambda data: read_message({**data, "type": "PING"}),
        lambda data: read_message({"type": "SUBSCRIBE_TRAIN", "trainNo": "1", "since": data}),
        lambda data: read_command(c.StartJourney, {"trainNo": "1", **data}),
    ):
        with pytest.raises(BadMessage) as raised:
            refuse(parse(text))
        assert encode(error_fields(raised.value))


def test_a_refusal_is_short():
    """An error does not repeat a long field name in full."""
    with pytest.raises(BadMessage) as raised:
        read_message({"type": "PING", "x" * 60_000: 1})
    assert len(raised.value.message) < 1_000


@pytest.mark.parametrize(
    "odd", [{"pnr": "\ud800"}, {"pnr": ["\ud800"]}, {"\ud800": 1, "to": "ZZZ"}, {"coach": "\ud800"}]
)
def test_any_rejected_line_can_be_told(odd):
    """The answer to a chart with a strange line is valid Unicode."""
    command = read_command(c.RegisterTrain, chart(person(1, **odd)))
    (rejected,) = command.rejected
    assert encode({"pnr": rejected.pnr, "reason": rejected.reason})


def test_a_train_has_no_thousands_of_coaches():
    """Each list of a chart has a bound."""
    coaches = [{"code": f"S{number}", "class": "SL", "berths": 1} for number in range(3_000)]
    with pytest.raises(BadMessage, match="coaches"):
        read_command(c.RegisterTrain, chart(coaches=coaches))


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "1970-06-01", "9500-01-01"])
def test_a_run_that_the_journal_could_not_give_back_is_refused(day):
    """A chart is accepted only if its events can be read again after a restart."""
    try:
        command = read_command(c.RegisterTrain, chart(startDate=day))
    except BadMessage:
        return
    state = TrainState(RunKey(f"12345/{day}"))
    for each in (command, c.StartJourney(train_no="12345")):
        for event in state.decide(each, MORNING):
            assert load(type(event), json.loads(encode(dump(event)))) == event
            state.evolve(event)


def test_a_run_after_the_end_of_time_is_refused():
    """A chart whose last stop is after the year 9999 is refused."""
    late = chart(startDate="9999-12-31")
    late["stations"][4]["day"] = 2
    try:
        command = read_command(c.RegisterTrain, late)
    except BadMessage:
        return
    state = TrainState(RunKey("12345/9999-12-31"))
    for event in state.decide(command, MORNING):
        state.evolve(event)


def test_an_event_is_told_in_six_fields():
    """An event has type, trainNo, startDate, seq, timestamp and data."""
    driver = Driver()
    driver.start()
    (event,) = driver.no_show(20)
    assert event_message(Record(9, RUN, 3, event)) == {
        "type": "NO_SHOW",
        "trainNo": "12345",
        "startDate": "2026-11-23",
        "seq": 3,
        "timestamp": "2026-11-23T08:00:00.000+05:30",
        "data": {
            "pnr": "4512345620",
            "index": 1,
            "name": "Person 20",
            "coach": None,
            "berth": None,
            "from": "AAA",
            "to": "EEE",
            "markedAt": None,
        },
    }


def test_every_event_that_happens_can_be_sent():
    """Each kind of event can be sent as JSON with its type."""
    seen = set()
    for driver in voyages():
        for seq, event in enumerate(driver.events, start=1):
            message = json.loads(encode(event_message(Record(seq, RUN, seq, event))))
            assert list(message) == ["type", "trainNo", "startDate", "seq", "timestamp", "data"]
            assert EVENTS[message["type"]] is type(event)
            seen.add(message["type"])
    assert seen == EVENTS.keys()


def test_a_figure_has_no_seq():
    """Figures have no seq, so clients can tell them from events."""
    assert figure_message("BOARDING_UPDATE", RUN, {"x": 1}) == {
        "type": "BOARDING_UPDATE",
        "trainNo": "12345",
        "startDate": "2026-11-23",
        "data": {"x": 1},
    }


def test_the_first_and_last_words():
    """WELCOME has what a client needs to go on, and GOODBYE when to reconnect."""
    assert welcome("c1", MORNING, 25) == {
        "type": "WELCOME",
        "clientId": "c1",
        "protocol": 1,
        "serverTime": "2026-11-23T02:30:00.000+00:00",
        "heartbeatSeconds": 25,
    }
    assert goodbye("stopping", 3_000) == {
        "type": "GOODBYE",
        "reason": "stopping",
        "retryAfterMs": 3_000,
    }


def test_a_run_is_told_in_two_fields():
    """Messages name a run by trainNo and startDate."""
    assert run_fields(RUN) == {"trainNo": "12345", "startDate": "2026-11-23"}
