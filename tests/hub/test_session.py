"""trainhub/hub/session.py: each message is answered, and the conversation goes on."""

import asyncio
import base64
import json
import os
from datetime import UTC, date, datetime, timedelta

import pytest
from built import build_of_fakes
from fakes import Ear, MemoryJournal
from hypothesis import example, given, settings
from hypothesis import strategies as st
from load import seeded
from railway import RUN, chart, person, register, register_chart
from samples import APPROVAL, JOURNEY
from talk import TOKENS, Talk

from trainhub.access.identity import ANONYMOUS, Identity, Tokens
from trainhub.domain import commands as c
from trainhub.domain.events import EVENTS
from trainhub.domain.model import Role
from trainhub.domain.views import run_view
from trainhub.hub.protocol import MOST_SOCKET_BYTES
from trainhub.hub.subscriptions import PASSENGER_ROOMS

OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
TOKEN = {
    "ADMIN": TOKENS.issue("control", Role.ADMIN, ["*"]),
    "SERVICE": TOKENS.issue("feed", Role.SERVICE, ["*"]),
    "TTE": TOKENS.issue("T1", Role.TTE, ["12345"]),
    "OTHER_TTE": TOKENS.issue("T2", Role.TTE, ["54321"]),
    "PASSENGER": TOKENS.issue("IR_1", Role.PASSENGER, ["12345"]),
}
HERE = {"trainNo": "12345", "startDate": "2026-11-23"}
TOMORROW = {"train_no": "12345", "start_date": date(2026, 11, 24)}
MARK = {**HERE, "pnr": "4512345601", "index": 1}


async def running(hub, *dates):
    """A hub with a run of 12345 for each date; today's is at its first station."""
    for day in dates or ("2026-11-23",):
        await hub.execute(register(startDate=day), OPERATOR)
    await hub.execute(c.StartJourney(train_no="12345", start_date=date(2026, 11, 23)), OPERATOR)
    return hub


def types(messages):
    return [message["type"] for message in messages]


async def settle():
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def talk(make_hub):
    """Return a maker of clients of a running hub, with a token or without one."""

    async def make(who=None, hub=None, **options):
        client = Talk(hub or await running(make_hub()), **options)
        if who is not None:
            assert types(await client.say("IDENTIFY", token=TOKEN[who])) == ["IDENTIFIED"]
        return client

    return make


# --- each message and its answer --------------------------------------------------------------


@pytest.mark.gen_test
async def test_identify(talk):
    """IDENTIFIED has role, user, trains and expiresAt of the token."""
    client = await talk()
    token = TOKENS.issue("T1", Role.TTE, ["12345"], timedelta(hours=1))
    (answer,) = await client.say("IDENTIFY", token=token)
    ends = datetime.fromisoformat(answer.pop("expiresAt")) - datetime.now(UTC)
    assert answer == {"type": "IDENTIFIED", "role": "TTE", "user": "T1", "trains": ["12345"]}
    assert timedelta(minutes=59) < ends <= timedelta(hours=1)
    assert client.session.identity.user == "T1"


@pytest.mark.gen_test
async def test_a_bad_token_leaves_one_who_one_was(talk):
    """BAD_TOKEN changes neither the identity nor the rooms."""
    client = await talk("TTE")
    await client.say("SUBSCRIBE_TRAIN", **HERE)
    assert await client.error("IDENTIFY", token="forged") == "BAD_TOKEN"
    assert client.session.identity.user == "T1"
    assert types(await client.say("MARK_NO_SHOW", **MARK)) == ["NO_SHOW", "BERTH_VACATED", "DONE"]


def unsigned(**claims):
    """A token without a signature."""
    said = {"sub": "T1", "role": "TTE", "trains": ["12345"], "exp": 4_000_000_000, **claims}
    parts = ({"alg": "none", "kid": "k1"}, said)
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode() for p in parts) + "."


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "BAD_MESSAGE"),
        ({"role": "TTE", "user": "T1", "trains": ["12345"]}, "BAD_MESSAGE"),
        ({"token": None}, "BAD_MESSAGE"),
        ({"token": {"role": "TTE"}}, "BAD_MESSAGE"),
        ({"token": ["TTE"]}, "BAD_MESSAGE"),
        ({"token": "TTE"}, "BAD_TOKEN"),
        ({"token": ""}, "BAD_MESSAGE"),
        ({"token": json.dumps({"role": "TTE"})}, "BAD_TOKEN"),
        ({"token": unsigned()}, "BAD_TOKEN"),
        ({"token": TOKEN["PASSENGER"], "role": "TTE"}, "BAD_MESSAGE"),
        ({"token": f"Bearer {TOKEN['TTE']}"}, "BAD_TOKEN"),
        ({"token": Tokens({"k1": "o" * 40}).issue("T1", Role.TTE, ["12345"])}, "BAD_TOKEN"),
    ],
)
async def test_only_a_signed_token_makes_a_tte(talk, fields, code):
    """Role, user and trains come from a signed token only."""
    client = await talk()
    await client.say("SUBSCRIBE_TRAIN", **HERE)
    assert await client.error("IDENTIFY", **fields) == code
    assert client.session.identity == ANONYMOUS
    assert await client.error("MARK_NO_SHOW", **MARK) == "NOT_IDENTIFIED"
    before = len(client.ear.heard)
    mark = c.MarkNoShow(train_no="12345", pnr="4512345601", index=1)
    await client.hub.execute(mark, OPERATOR)
    assert client.ear.heard[before:] == []


@pytest.mark.gen_test
async def test_a_token_that_names_many_runs_is_taken(talk):
    """A token of 64 runs is accepted, as staff may be in 64 rooms."""
    client = await talk()
    runs = [f"{number}/2026-11-23" for number in range(12_000, 12_064)]
    token = TOKENS.issue("T1", Role.TTE, runs)
    (answer,) = await client.say("IDENTIFY", token=token)
    assert (answer["type"], answer["trains"]) == ("IDENTIFIED", runs)


@pytest.mark.gen_test
async def test_subscribe(talk):
    """SUBSCRIBED comes first, then a SNAPSHOT at its seq, then the figures."""
    client = await talk()
    subscribed, snapshot, figures = await client.say("SUBSCRIBE_TRAIN", trainNo="12345")
    assert subscribed == {
        "type": "SUBSCRIBED",
        **HERE,
        "epoch": "e1",
        "seq": 2,
        "recovered": False,
    }
    assert snapshot["type"] == "SNAPSHOT"
    assert (snapshot["epoch"], snapshot["seq"]) == ("e1", 2)
    assert snapshot["run"]["status"] == "RUNNING"
    assert figures["type"] == "BOARDING_UPDATE"
    await client.hub.execute(c.Announce(train_no="12345", text="hello"), OPERATOR)
    assert client.ear.heard[-1]["seq"] == 3


@pytest.mark.gen_test
async def test_subscribe_since(talk):
    """With `since` the missed events come instead of the SNAPSHOT."""
    client = await talk()
    since = {"epoch": "e1", "seq": 1}
    subscribed, started, figures = await client.say("SUBSCRIBE_TRAIN", **HERE, since=since)
    assert subscribed["recovered"] is True
    assert subscribed["seq"] == 2
    assert types([started, figures]) == ["JOURNEY_STARTED", "BOARDING_UPDATE"]
    subscribed, *rest = await client.say("SUBSCRIBE_TRAIN", **HERE, since={"epoch": "e0", "seq": 1})
    assert subscribed["recovered"] is False
    assert types(rest) == ["SNAPSHOT", "BOARDING_UPDATE"]


@pytest.mark.gen_test
async def test_unsubscribe(talk):
    """After UNSUBSCRIBED a client gets nothing of the run, even if it was not in the room."""
    client = await talk()
    await client.say("SUBSCRIBE_TRAIN", **HERE)
    for _ in range(2):
        assert await client.say("UNSUBSCRIBE_TRAIN", **HERE) == [{"type": "UNSUBSCRIBED", **HERE}]
    before = list(client.ear.heard)
    await client.hub.execute(c.Announce(train_no="12345", text="hello"), OPERATOR)
    assert client.ear.heard == before


@pytest.mark.gen_test
async def test_ping(talk):
    """PONG has the hub's time."""
    client = await talk()
    assert await client.say("PING") == [
        {"type": "PONG", "serverTime": "2026-11-23T02:30:00.000+00:00"}
    ]


async def done(client, kind, **fields):
    """Give a command. Returns the result in its DONE."""
    (answer,) = await client.say(kind, **fields)
    assert answer["type"] == "DONE", answer
    return answer["result"]


@pytest.mark.gen_test
@pytest.mark.parametrize("journey", [JOURNEY, APPROVAL], ids=["to its end", "until cancelled"])
async def test_each_command_is_done(talk, make_hub, journey):
    """DONE has the data of the command's event, and the run's seq.

    A repeat is answered `unchanged` if the command is idempotent.
    """
    hub = make_hub()
    client, state = await talk("ADMIN", hub), None
    for step in journey:
        fields = {**HERE, **(step.on(state) if state else step.fields)}
        before = state.seq if state else 0
        result = await done(client, step.kind, **fields)
        state = hub.state(RUN)
        if step.cls.answer:
            events = [each.event for each in hub._journal.records if each.seq > before]
            event = next(each for each in events if type(each) is EVENTS[step.cls.answer])
            assert result == {**HERE, **json.loads(json.dumps(event.told)), "seq": state.seq}
            (again,) = await client.say(step.kind, **fields)
            assert again.get("result", {}).get("unchanged", False) is step.cls.idempotent


@pytest.mark.gen_test
async def test_each_command_about_a_berth_is_done(talk):
    """Offers are answered by their id only, and a BATCH mark by mark."""
    client = await talk("ADMIN")
    at_last = {"pnr": "4512345603", "index": 1}
    boarded = {"mark": "BOARDED", "index": 1}
    marks = [{**boarded, "pnr": "4512345610"}, {**boarded, "pnr": "4512345611"}]
    batch = await done(client, "BATCH", **HERE, marks=marks)
    assert [mark["result"]["seq"] for mark in batch["marks"]] == [3, 4]
    assert (await done(client, "MARK_NO_SHOW", **MARK))["seq"] == 8
    denied = await done(client, "DENY_OFFER", offerId="12345.2026-11-23.7")
    assert (denied["outcome"], denied["pnr"]) == ("DENIED", "4512345610")
    accepted = await done(client, "ACCEPT_OFFER", offerId="12345.2026-11-23.10")
    assert (accepted["pnr"], accepted["coach"], accepted["berth"]) == ("4512345611", "S1", 1)
    withdrawn = await done(client, "WITHDRAW_OFFER", offerId="12345.2026-11-23.15")
    assert (withdrawn["outcome"], withdrawn["pnr"]) == ("WITHDRAWN", "4512345610")
    moved = await done(client, "CHANGE_BOARDING", **HERE, **at_last, stationCode="CCC")
    assert (moved["from"], moved["oldFrom"]) == ("CCC", "BBB")
    assert (await done(client, "CANCEL_JOURNEY", **HERE, **at_last))["pnr"] == "4512345603"


@pytest.mark.gen_test
async def test_an_upgrade_is_approved(talk):
    """Under APPROVAL, DONE of APPROVE_OFFER has the upgrade."""
    client = await talk("ADMIN")
    there = {"trainNo": "54321", "startDate": "2026-11-23"}
    await done(client, "REGISTER_TRAIN", **chart(trainNo="54321", policy="APPROVAL"))
    await done(client, "START_JOURNEY", **there)
    await done(client, "MARK_BOARDED", **there, pnr="4512345610", index=1)
    await done(client, "MARK_NO_SHOW", **there, pnr="4512345601", index=1)
    assert await client.error("ACCEPT_OFFER", offerId="54321.2026-11-23.6") == "CONFLICT"
    approved = await done(client, "APPROVE_OFFER", offerId="54321.2026-11-23.6")
    assert (approved["trainNo"], approved["pnr"]) == ("54321", "4512345610")


@pytest.mark.gen_test
async def test_an_answer_carries_its_message_s_id(talk):
    """Each answer has the id of its message, and events have none."""
    client = await talk()
    asked = [
        ("IDENTIFY", {"token": TOKEN["TTE"]}, "IDENTIFIED"),
        ("SUBSCRIBE_TRAIN", HERE, "SUBSCRIBED"),
        ("MARK_NO_SHOW", MARK, "DONE"),
        ("PING", {}, "PONG"),
        ("NONSENSE", {}, "ERROR"),
        ("ARRIVE", {**HERE, "stationCode": "CCC"}, "ERROR"),
        ("PING", {"more": 1}, "ERROR"),
        ("UNSUBSCRIBE_TRAIN", HERE, "UNSUBSCRIBED"),
    ]
    for number, (kind, fields, answer) in enumerate(asked):
        for mark in (number, f"m{number}"):
            heard = await client.say(kind, **fields, id=mark)
            answers = [each for each in heard if "id" in each]
            assert [(each["type"], each["id"]) for each in answers] == [(answer, mark)]
    (without,) = await client.say("PING")
    assert "id" not in without


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("HELLO", {}, "UNKNOWN_TYPE"),
        ("PING", {"more": 1}, "BAD_MESSAGE"),
        ("IDENTIFY", {}, "BAD_MESSAGE"),
        ("IDENTIFY", {"token": 1}, "BAD_MESSAGE"),
        ("IDENTIFY", {"token": "x.y.z"}, "BAD_TOKEN"),
        ("SUBSCRIBE_TRAIN", {}, "BAD_MESSAGE"),
        ("SUBSCRIBE_TRAIN", {"trainNo": None}, "BAD_MESSAGE"),
        ("SUBSCRIBE_TRAIN", {"trainNo": "99999"}, "UNKNOWN_TRAIN"),
        ("SUBSCRIBE_TRAIN", {"trainNo": "*"}, "UNKNOWN_TRAIN"),
        (
            "SUBSCRIBE_TRAIN",
            {"trainNo": "12345", "startDate": "2026-11-30"},
            "UNKNOWN_TRAIN",
        ),
        ("SUBSCRIBE_TRAIN", {"trainNo": "12345/2026-11-23"}, "UNKNOWN_TRAIN"),
        ("UNSUBSCRIBE_TRAIN", {"trainNo": "99999"}, "UNKNOWN_TRAIN"),
        ("ARRIVE", {**HERE, "stationCode": "ZZZ"}, "UNKNOWN_STATION"),
        ("ARRIVE", {**HERE, "stationCode": "CCC"}, "CONFLICT"),
        ("MARK_BOARDED", {**MARK, "pnr": "4512345699"}, "UNKNOWN_PASSENGER"),
        ("MARK_BOARDED", {**MARK, "index": "1"}, "BAD_MESSAGE"),
        ("MARK_BOARDED", {**MARK, "pnr": "4512345603"}, "CONFLICT"),
        ("ANNOUNCE", {**HERE, "text": "x", "to": "USER"}, "BAD_MESSAGE"),
        ("ANNOUNCE", {**HERE, "text": float("nan")}, "BAD_MESSAGE"),
        ("ANNOUNCE", {**HERE, "text": "\ud83d"}, "BAD_MESSAGE"),
        ("ANNOUNCE", {**HERE, "text": "x", "to": "USER", "user": "IR_9"}, "UNKNOWN_PASSENGER"),
        ("PING", {"\ud83d": 1}, "BAD_MESSAGE"),
        ("START_JOURNEY", HERE, "CONFLICT"),
        ("REGISTER_TRAIN", chart(), "CONFLICT"),
        ("REGISTER_TRAIN", {"trainNo": "1"}, "BAD_MESSAGE"),
    ],
)
async def test_what_cannot_be_done_is_an_error(talk, kind, fields, code):
    """ERROR has a code and a text, changes nothing, and leaves the socket open."""
    client = await talk("ADMIN")
    before = client.hub.state(RUN).seq
    assert await client.error(kind, **fields) == code
    assert client.hub.state(RUN).seq == before
    assert types(await client.say("PING")) == ["PONG"]


@pytest.mark.gen_test
async def test_what_is_no_message_is_an_error(talk):
    """Broken JSON, other JSON, deep nesting and binary frames are BAD_MESSAGE."""
    client = await talk()
    deep = "[" * (MOST_SOCKET_BYTES - 1)
    bad = ["", "{", "PING", "[]", "null", "7", '"PING"', '{"type":"PING"', deep, '{"a":' * 10_000]
    binary = [b"", b'{"type":"PING"}', b"\xff\xfe", bytes(1000)]
    for text in bad + binary + ['{"type":NaN}', "NaN", "-" * 60_000, "1" * 60_000]:
        (answer,) = await client.raw(text)
        assert (answer["type"], answer["code"]) == ("ERROR", "BAD_MESSAGE"), text[:20]
    assert types(await client.say("PING")) == ["PONG"]


@pytest.mark.gen_test
@pytest.mark.parametrize("who", [None, "PASSENGER", "OTHER_TTE", "SERVICE"])
async def test_roles_are_those_of_http(talk, who):
    """NOT_IDENTIFIED without a token, FORBIDDEN without the role or on another train."""
    client = await talk(who)
    code = "FORBIDDEN" if who else "NOT_IDENTIFIED"
    assert await client.error("MARK_NO_SHOW", **MARK) == code
    assert await client.error("CANCEL_TRAIN", **HERE) == code
    announced = types(await client.say("ANNOUNCE", **HERE, text="x"))
    assert announced == (["DONE"] if who == "SERVICE" else ["ERROR"])


@pytest.mark.gen_test
async def test_two_runs_of_one_number_are_ambiguous(make_hub, talk):
    """AMBIGUOUS_RUN has the dates, and a message with a date selects its run."""
    hub = make_hub()
    for day in ("2026-11-24", "2026-11-25"):
        await hub.execute(register(startDate=day), OPERATOR)
    client = await talk(hub=hub)
    for kind in ("SUBSCRIBE_TRAIN", "UNSUBSCRIBE_TRAIN"):
        (answer,) = await client.say(kind, trainNo="12345")
        assert answer["code"] == "AMBIGUOUS_RUN"
        assert answer["details"] == {"startDates": ["2026-11-24", "2026-11-25"]}
    subscribed, *_ = await client.say("SUBSCRIBE_TRAIN", trainNo="12345", startDate="2026-11-25")
    assert subscribed["startDate"] == "2026-11-25"
    (answer,) = await client.say("UNSUBSCRIBE_TRAIN", trainNo="12345")
    assert (answer["type"], answer["startDate"]) == ("UNSUBSCRIBED", "2026-11-25")


@pytest.mark.gen_test
async def test_a_passenger_comes_to_the_run_they_are_booked_on(make_hub):
    """A passenger's run is the one of the booking, although today's train is running.

    That holds for SUBSCRIBE_TRAIN, for commands, and for a token that names the run.
    """
    hub = await running(make_hub(), "2026-11-22", "2026-11-23")
    await hub.execute(register_chart(chart(person(5), startDate="2026-11-24")), OPERATOR)
    booked = TOKENS.issue("IR_5", Role.PASSENGER, ["12345"])
    named = TOKENS.issue("IR_1", Role.PASSENGER, ["12345/2026-11-24"])
    for token, own in ((booked, ["IR_5"]), (named, [])):
        client = Talk(hub)
        await client.say("IDENTIFY", token=token)
        subscribed, snapshot, *_ = await client.say("SUBSCRIBE_TRAIN", trainNo="12345")
        assert subscribed["startDate"] == snapshot["startDate"] == "2026-11-24"
        assert [each["irctcId"] for each in snapshot["run"]["passengers"]] == own
    client = Talk(hub)
    await client.say("IDENTIFY", token=booked)
    (done,) = await client.say("CANCEL_JOURNEY", trainNo="12345", pnr="4512345605", index=1)
    assert (done["type"], done["result"]["startDate"]) == ("DONE", "2026-11-24")


@pytest.mark.gen_test
async def test_a_client_without_a_date_is_told_of_the_next_run(make_hub):
    """NEXT_RUN comes once, when another run of the train is meant, and not to a dated client."""
    hub = await running(make_hub(), "2026-11-23", "2026-11-24")
    clients = undated, dated, left, back = [Talk(hub) for _ in range(4)]
    for client in (undated, left):
        assert (await client.say("SUBSCRIBE_TRAIN", trainNo="12345"))[0]["type"] == "SUBSCRIBED"
    for client in (dated, back):
        await client.say("SUBSCRIBE_TRAIN", **HERE)
    await left.say("UNSUBSCRIBE_TRAIN", trainNo="12345")

    def told(client):
        client.session.tell_next_runs({"12345"})
        client.session.tell_next_runs({"54321"})
        return [each for each in client.ear.heard if each["type"] == "NEXT_RUN"]

    assert [told(client) for client in clients] == [[], [], [], []]
    await hub.execute(c.CancelTrain(train_no="12345", start_date=date(2026, 11, 23)), OPERATOR)
    expected = {"type": "NEXT_RUN", **HERE, "data": {**HERE, "startDate": "2026-11-24"}}
    assert [told(client) for client in clients] == [[expected], [], [], []]
    assert told(undated) == [expected]  # once
    *_, last = await back.say("SUBSCRIBE_TRAIN", **HERE, nextRun=True)
    assert last == expected  # as it took over while the client was away


@pytest.mark.gen_test
async def test_a_client_may_become_a_user_of_the_next_run(make_hub):
    """After IDENTIFY the run that this user means counts, and a booked passenger stays."""
    hub = await running(make_hub(), "2026-11-23")
    await hub.execute(register_chart(chart(person(5), startDate="2026-11-24")), OPERATOR)
    client, booked = Talk(hub), Talk(hub)
    await booked.say("IDENTIFY", token=TOKENS.issue("IR_1", Role.PASSENGER, ["12345"]))
    for each in (client, booked):
        await each.say("SUBSCRIBE_TRAIN", trainNo="12345")
    *_, last = await client.say("IDENTIFY", token=TOKENS.issue("IR_5", Role.PASSENGER, ["12345"]))
    assert (last["type"], last["data"]) == ("NEXT_RUN", {**HERE, "startDate": "2026-11-24"})
    await hub.execute(c.CancelTrain(train_no="12345", start_date=date(2026, 11, 23)), OPERATOR)
    booked.session.tell_next_runs({"12345"})
    assert "NEXT_RUN" not in types(booked.ear.heard)


@pytest.mark.gen_test
async def test_a_client_that_has_logged_out_is_told_of_no_next_run(make_hub, talk):
    """A hub that needs a token does not tell NEXT_RUN after LOGOUT."""
    hub = await running(make_hub(), "2026-11-23", "2026-11-24")
    client = await talk("TTE", hub, anonymous=False)
    await client.say("SUBSCRIBE_TRAIN", trainNo="12345")
    await client.say("LOGOUT")
    await hub.execute(c.CancelTrain(train_no="12345", start_date=date(2026, 11, 23)), OPERATOR)
    client.session.tell_next_runs({"12345"})
    assert "NEXT_RUN" not in types(client.ear.heard)


@pytest.mark.gen_test
async def test_an_undated_client_remembers_no_more_runs_than_it_has_rooms(make_hub):
    """Runs whose rooms were closed do not pile up in a session."""
    hub = make_hub()
    days = [f"2026-11-{day}" for day in range(23, 23 + PASSENGER_ROOMS + 1)]
    client = Talk(await running(hub, *days))
    for day in days:
        await client.say("SUBSCRIBE_TRAIN", trainNo="12345", startDate=day, nextRun=True)
        hub.rooms.close(f"12345/{day}")
    assert len(client.session._undated) == PASSENGER_ROOMS


@pytest.mark.gen_test
async def test_a_passenger_has_four_rooms(make_hub, talk):
    """The fifth room is TOO_MANY_ROOMS, until the client leaves one."""
    days = [f"2026-11-{day}" for day in range(23, 23 + PASSENGER_ROOMS + 1)]
    client = await talk(hub=await running(make_hub(), *days))
    for day in days[:-1]:
        answer, *_ = await client.say("SUBSCRIBE_TRAIN", trainNo="12345", startDate=day)
        assert answer["type"] == "SUBSCRIBED"
    last = {"trainNo": "12345", "startDate": days[-1]}
    assert await client.error("SUBSCRIBE_TRAIN", **last) == "TOO_MANY_ROOMS"
    await client.say("UNSUBSCRIBE_TRAIN", trainNo="12345", startDate=days[0])
    answer, *_ = await client.say("SUBSCRIBE_TRAIN", **last)
    assert answer["type"] == "SUBSCRIBED"


@pytest.mark.gen_test
async def test_a_journal_that_fails_is_unavailable(make_hub, talk):
    """If the journal fails, a command gets UNAVAILABLE."""
    journal = MemoryJournal()
    client = await talk("ADMIN", hub=await running(make_hub(journal)))
    journal.broken = True
    for kind, fields in (("ANNOUNCE", {**HERE, "text": "x"}), ("SUBSCRIBE_TRAIN", HERE)):
        assert await client.error(kind, **fields) == "UNAVAILABLE"
    assert types(await client.say("PING")) == ["PONG"]


@pytest.mark.gen_test
async def test_a_fault_of_the_hub_is_logged_and_answered(talk, caplog, monkeypatch):
    """After an unexpected exception, the client gets UNAVAILABLE, and the log the traceback."""
    client = await talk("ADMIN")
    with monkeypatch.context() as patch:
        patch.setattr(client.hub, "find", lambda *_: 1 / 0)
        (answer,) = await client.say("SUBSCRIBE_TRAIN", **HERE, id=3)
    assert (answer["code"], answer["id"]) == ("UNAVAILABLE", 3)
    assert "ZeroDivisionError" not in answer["message"]
    assert "ZeroDivisionError" in caplog.text
    assert types(await client.say("PING")) == ["PONG"]


# --- a new identity in the same rooms ---------------------------------------------------------


@pytest.mark.gen_test
async def test_identifying_in_a_room_sends_a_new_snapshot(make_hub, talk):
    """After IDENTIFIED, each room sends a SNAPSHOT for the new identity."""
    client = await talk(hub=await running(make_hub(), "2026-11-23", "2026-11-24"))
    for day in ("2026-11-23", "2026-11-24"):
        await client.say("SUBSCRIBE_TRAIN", trainNo="12345", startDate=day)
    seen = {"PASSENGER": 1, "TTE": 6, "OTHER_TTE": None, "ADMIN": 6, "SERVICE": None}
    for who, count in seen.items():
        heard = await client.say("IDENTIFY", token=TOKEN[who])
        presence = ["PRESENCE"] * (who in ("TTE", "ADMIN"))
        assert types(heard) == ["IDENTIFIED", *["SNAPSHOT", *presence, "BOARDING_UPDATE"] * 2]
        snapshots = [each for each in heard if each["type"] == "SNAPSHOT"]
        assert [each["startDate"] for each in snapshots] == ["2026-11-23", "2026-11-24"]
        for snapshot in snapshots:
            people = snapshot["run"].get("passengers")
            assert (None if people is None else len(people)) == count
    assert len(client.hub.rooms.rooms_of(client.ear)) == 2


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("first", "then", "heard"),
    [
        ("TTE", "PASSENGER", ["NO_SHOW"]),
        ("TTE", "OTHER_TTE", []),
        ("PASSENGER", "SERVICE", []),
        (None, "PASSENGER", ["NO_SHOW"]),
        ("PASSENGER", "TTE", ["NO_SHOW", "BERTH_VACATED"]),
    ],
)
async def test_a_second_identify_changes_what_is_heard(talk, first, then, heard):
    """After a second IDENTIFY, the socket gets what the new identity may hear, and no more."""
    client = await talk(first)
    await client.say("SUBSCRIBE_TRAIN", **HERE)
    await client.say("IDENTIFY", token=TOKEN[then])
    before = len(client.ear.heard)
    mark = c.MarkNoShow(train_no="12345", pnr="4512345601", index=1)
    await client.hub.execute(mark, OPERATOR)
    assert types(client.ear.heard[before:]) == heard


@pytest.mark.gen_test
async def test_from_identified_on_nothing_of_the_old_standing_is_heard(make_hub, talk):
    """A former TTE gets nothing more as a TTE, not even a commit in flight."""
    journal = MemoryJournal()
    client = await talk("TTE", hub=await running(make_hub(journal)))
    await client.say("SUBSCRIBE_TRAIN", **HERE)
    before = len(client.ear.heard)
    journal.gate.clear()
    mark = c.MarkNoShow(train_no="12345", pnr="4512345602", index=1)
    command = asyncio.ensure_future(client.hub.execute(mark, OPERATOR))
    await settle()
    identifying = asyncio.ensure_future(client.say("IDENTIFY", token=TOKEN["PASSENGER"]))
    await settle()
    journal.gate.set()
    await asyncio.gather(command, identifying)
    heard = client.ear.heard[before:]
    after = heard[types(heard).index("IDENTIFIED") :]
    assert types(after) == ["IDENTIFIED", "SNAPSHOT", "BOARDING_UPDATE"]


@pytest.mark.gen_test
async def test_a_client_that_logs_out_has_no_identity(talk):
    """After LOGGED_OUT, each room sends a SNAPSHOT without people."""
    client = await talk("TTE")
    await client.say("SUBSCRIBE_TRAIN", **HERE)
    out, snapshot, _ = await client.say("LOGOUT")
    assert out == {"type": "LOGGED_OUT"}
    assert "passengers" not in snapshot["run"]
    before = len(client.ear.heard)
    mark = c.MarkNoShow(train_no="12345", pnr="4512345601", index=1)
    await client.hub.execute(mark, OPERATOR)
    await client.hub.execute(c.Announce(train_no="12345", text="hello"), OPERATOR)
    assert types(client.ear.heard[before:]) == ["ANNOUNCEMENT"]
    assert await client.error("START_JOURNEY", **HERE) == "NOT_IDENTIFIED"
    assert client.session.is_idle is False


@pytest.mark.gen_test
async def test_who_logs_out_where_a_token_is_wanted_is_in_no_room(talk):
    """With `--anonymous off`, a client that logs out leaves its rooms."""
    client = await talk("TTE", anonymous=False)
    await client.say("SUBSCRIBE_TRAIN", **HERE)
    assert await client.say("LOGOUT") == [{"type": "LOGGED_OUT"}]
    assert client.session.is_idle
    assert await client.error("SUBSCRIBE_TRAIN", **HERE) == "NOT_IDENTIFIED"


def indexes(owner):
    """Each collection of an object, by name."""
    return {name: v for name, v in vars(owner).items() if isinstance(v, dict | set | list)}


@pytest.mark.sized
@pytest.mark.gen_test(timeout=300)
async def test_thousands_of_changes_of_who_one_is_leave_nothing(make_hub):
    """Changes of identity and rooms leave no entries in any index."""
    seed, chance = seeded()
    print(f"SEED={seed}")
    hub = await running(make_hub(), "2026-11-23", "2026-11-24")
    days = ("2026-11-23", "2026-11-24")
    clients = [Talk(hub) for _ in range(10)]
    for _ in range(int(os.environ.get("CYCLES", "2000"))):
        place = chance.randrange(len(clients))
        client = clients[place]
        client.ear.writes.clear()
        await client.say("IDENTIFY", token=TOKEN[chance.choice(list(TOKEN))])
        train = {"trainNo": "12345", "startDate": chance.choice(days)}
        await client.say("SUBSCRIBE_TRAIN", **train)
        match chance.randrange(5):
            case 0:
                await client.say("LOGOUT")
            case 1:
                await client.say("SUBSCRIBE_TRAIN", **train)
            case 2:
                await client.say("UNSUBSCRIBE_TRAIN", **train)
            case 3:
                client.session.close()
                clients[place] = Talk(hub)
        there = {each.ear for each in clients}
        room = hub.rooms._table.get(f"12345/{train['startDate']}")
        assert room is None or room.listeners.keys() <= there
        assert room is None or {e for es in room.by_role.values() for e in es} <= there
    for client in clients:
        client.session.close()
    hub.rooms.presence.news(lambda run: ())
    rooms = hub.rooms
    assert (rooms._table, rooms._rooms_of, rooms._outgoing) == ({}, {}, {})
    ears = {client.ear for client in clients}
    for owner in (hub, rooms, rooms.presence, hub.deliveries, hub.subscriptions):
        for name, index in indexes(owner).items():
            assert not ears & {each for each in index if isinstance(each, Ear)}, name


@pytest.mark.gen_test
async def test_who_is_in_more_rooms_than_the_new_role_may_is_refused(talk):
    """TOO_MANY_ROOMS is the only answer, and the identity and rooms stay."""
    client = await talk("ADMIN")
    for number in range(PASSENGER_ROOMS + 1):
        day = f"2026-12-{number + 1:02}"
        await client.hub.execute(register(startDate=day), OPERATOR)
        await client.say("SUBSCRIBE_TRAIN", trainNo="12345", startDate=day)
    assert await client.error("IDENTIFY", token=TOKEN["PASSENGER"]) == "TOO_MANY_ROOMS"
    assert client.session.identity.user == "control"
    assert len(client.hub.rooms.rooms_of(client.ear)) == PASSENGER_ROOMS + 1
    await client.say("UNSUBSCRIBE_TRAIN", trainNo="12345", startDate=day)
    heard = types(await client.say("IDENTIFY", token=TOKEN["PASSENGER"]))
    assert heard == ["IDENTIFIED", *["SNAPSHOT", "BOARDING_UPDATE"] * PASSENGER_ROOMS]


@pytest.mark.gen_test
async def test_a_run_that_leaves_while_one_identifies_is_no_error(make_hub, talk):
    """IDENTIFIED is the only answer, and the other rooms are joined again."""
    journal = MemoryJournal()
    hub = await running(make_hub(journal), "2026-11-23", "2026-11-24")
    client = await talk("TTE", hub=hub)
    for day in ("2026-11-23", "2026-11-24"):
        await client.say("SUBSCRIBE_TRAIN", trainNo="12345", startDate=day)
    journal.gate.clear()
    command = asyncio.ensure_future(hub.execute(c.StartJourney(**TOMORROW), OPERATOR))
    await settle()
    identifying = asyncio.ensure_future(client.say("IDENTIFY", token=TOKEN["PASSENGER"]))
    await settle()
    del hub.runs._runs["12345/2026-11-24"]
    journal.gate.set()
    await command
    assert types(await identifying) == ["IDENTIFIED", "SNAPSHOT", "BOARDING_UPDATE"]


@pytest.mark.gen_test
async def test_anonymous_off(talk):
    """With `--anonymous off`, a socket needs a token to subscribe."""
    client = await talk(anonymous=False)
    assert await client.error("SUBSCRIBE_TRAIN", **HERE) == "NOT_IDENTIFIED"
    assert await client.error("SUBSCRIBE_TRAIN", trainNo="99999") == "NOT_IDENTIFIED"
    assert types(await client.say("PING")) == ["PONG"]
    assert not client.hub.rooms.is_open(RUN)
    await client.say("IDENTIFY", token=TOKEN["PASSENGER"])
    subscribed, *_ = await client.say("SUBSCRIBE_TRAIN", **HERE)
    assert subscribed["type"] == "SUBSCRIBED"


# --- going ------------------------------------------------------------------------------------


def nothing_left(hub):
    rooms = hub.rooms
    return not (rooms._table or rooms._rooms_of or rooms._outgoing)


@pytest.mark.gen_test
async def test_who_goes_is_in_no_room(talk):
    """Closing leaves every room, and a second close is no error."""
    client = await talk("TTE")
    await client.say("SUBSCRIBE_TRAIN", **HERE)
    client.session.close()
    client.session.close()
    assert nothing_left(client.hub)


@pytest.mark.gen_test
@pytest.mark.parametrize("what", ["SUBSCRIBE_TRAIN", "IDENTIFY"])
async def test_who_goes_while_being_put_into_a_room_leaves_nothing_behind(make_hub, talk, what):
    """A client that goes while its subscription waits for a commit leaves no entries."""
    journal = MemoryJournal()
    client = await talk(hub=await running(make_hub(journal)))
    if what == "IDENTIFY":
        await client.say("SUBSCRIBE_TRAIN", **HERE)
    journal.gate.clear()
    command = asyncio.ensure_future(
        client.hub.execute(c.Announce(train_no="12345", text="x"), OPERATOR)
    )
    await settle()
    fields = HERE if what == "SUBSCRIBE_TRAIN" else {"token": TOKEN["TTE"]}
    joining = asyncio.ensure_future(client.say(what, **fields))
    await settle()
    assert not joining.done()
    client.session.close()
    journal.gate.set()
    await asyncio.gather(command, joining)
    assert nothing_left(client.hub)


# --- whatever a client sends ------------------------------------------------------------------

texts = st.text(st.characters(), max_size=20)  # halves of surrogate pairs too, as \ud800
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from(["12345", "2026-11-23", "AAA", "e1", "*", TOKEN["TTE"]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    "type id trainNo startDate since epoch seq token stationCode at platform pnr index text level"
    " to user trainName stations coaches passengers offerId marks mark delayMinutes reason"
    " confirmed".split()
)
kinds = st.sampled_from(
    ["IDENTIFY", "SUBSCRIBE_TRAIN", "UNSUBSCRIBE_TRAIN", "PING", *c.COMMANDS, "HELLO"]
)
objects = st.builds(
    lambda fields, kind: {**fields, "type": kind},
    st.dictionaries(names | texts, values, max_size=4),
    kinds,
)
near_misses = st.builds(
    lambda base, extra: {**base, **extra},
    st.sampled_from([{**HERE, "type": "SUBSCRIBE_TRAIN"}, {**MARK, "type": "MARK_BOARDED"}]),
    st.dictionaries(names | texts, values, max_size=2),
)
frames = st.one_of(
    st.text(), st.binary(), values.map(json.dumps), objects.map(json.dumps),
    near_misses.map(json.dumps),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(frames, min_size=1, max_size=5))
@example(['{"type": "PING", "\\ud800": 1}'])
@example(['{"type": "PING", "id": 1e999}'])
@example(['{"type": "REGISTER_TRAIN", "trainNo": null}'])
@example([json.dumps({"type": "REGISTER_TRAIN", **chart(startDate="9999-12-31")})])
def test_whatever_a_client_sends_is_answered(said):
    """Any text or bytes get one answer, raise nothing, and leave no entries."""

    async def talk():
        hub = build_of_fakes().hub
        await running(hub)
        client = Talk(hub)
        client.session.identity = OPERATOR
        for frame in said:
            heard = await client.raw(frame)
            answers = {"IDENTIFIED", "SUBSCRIBED", "UNSUBSCRIBED", "PONG", "DONE", "ERROR"}
            assert len([each for each in heard if each["type"] in answers]) == 1
            codes = [each.get("code") for each in heard]
            assert "UNAVAILABLE" not in codes, "the hub failed at a client's message"
        assert types(await client.say("PING")) == ["PONG"]
        for state in hub.runs.all():
            assert run_view(state, OPERATOR.role, OPERATOR.user)
        client.session.close()
        assert nothing_left(hub)

    asyncio.run(talk())


@pytest.mark.gen_test
async def test_a_new_session_has_no_identity(talk):
    """A new session has no user and no role."""
    client = await talk()
    assert client.session.identity is ANONYMOUS


@pytest.mark.gen_test
async def test_a_command_s_address_is_on_record(make_hub):
    """The audit trail has the socket's address for each command."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await hub.execute(register(), OPERATOR)
    talk = Talk(hub)
    await talk.session.receive(json.dumps({"type": "IDENTIFY", "token": TOKEN["TTE"]}))
    await talk.session.receive(json.dumps({"type": "START_JOURNEY", **HERE}))
    deed = journal.records[-1].deed
    assert (deed.user, deed.address, deed.command) == ("T1", "10.1.2.3", "START_JOURNEY")


@pytest.mark.gen_test
async def test_what_a_message_does_not_have_is_refused(talk):
    """`key` is only for commands, and a seq is at least 1."""
    client = await talk("TTE")
    for kind, fields in (
        *(("PING", {}), ("LOGOUT", {}), ("SUBSCRIBE_TRAIN", HERE), ("UNSUBSCRIBE_TRAIN", HERE)),
        ("ACK", {**HERE, "seq": 1}),
    ):
        assert await client.error(kind, **fields, key="k-1") == "BAD_MESSAGE"
    for seq in (0, -1):
        assert await client.error("ACK", **HERE, seq=seq) == "BAD_MESSAGE"
    assert types(await client.say("ANNOUNCE", **HERE, text="hello", key="k-1")) == ["DONE"]
