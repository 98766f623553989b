"""trainhub/web/rest.py: each command and each read over HTTP, for each role."""

import asyncio
import json
from datetime import datetime

import pytest
from railway import PEOPLE, RUN, chart, person, rac
from waiting import until

from trainhub.core.codec import dump, load
from trainhub.core.wire import encode
from trainhub.domain.commands import COMMANDS
from trainhub.domain.model import Role
from trainhub.hub.protocol import MOST_BODY_BYTES, read_command
from trainhub.web import rest
from trainhub.web.routes import ROUTES

ROLES = ("ADMIN", "SERVICE", "TTE", "OTHER_TTE", "PASSENGER", None)
TRAIN = "/api/trains/12345"
FIRST = TRAIN + "/passengers/4512345601/1"
# Address → a valid body for it, on a run that stands at its first station.
GOOD = {
    TRAIN + "/departures": {"stationCode": "AAA"},
    TRAIN + "/announcements": {"text": "hello"},
    FIRST + "/board": {},
    FIRST + "/no-show": {},
    FIRST + "/undo-no-show": {},
}


@pytest.fixture
def scheduled(io_loop, site):
    io_loop.run_sync(site.register)


@pytest.fixture
def running(io_loop, call, scheduled):
    """Train 12345 of 23 November stands at its first station."""
    io_loop.run_sync(lambda: call("POST", TRAIN + "/start", b"", "ADMIN"))


def status_for(who, may):
    """Return the status for a caller's request that only the roles in `may` may make."""
    if who is None:
        return 401
    return 200 if who in may else 403


def seq(site):
    return site.hub.state(RUN).seq


# --- commands -----------------------------------------------------------------------------------


def test_every_command_has_an_address():
    """Each command of the WebSocket has an address over HTTP."""
    assert {route.command for route in ROUTES if route.command} == set(COMMANDS.values())


@pytest.mark.gen_test
@pytest.mark.parametrize("who", ROLES)
async def test_register(call, site, who):
    """POST /api/trains with a chart, for control and feeds, answers which people were left out."""
    body = chart(person(1), person(2, to="ZZZ"))
    answer = await call("POST", "/api/trains", body, who)
    assert answer.status == status_for(who, {"ADMIN", "SERVICE"})
    if answer.status == 200:
        assert answer.result.pop("warnings") == []
        assert answer.result == {
            "seq": 1,
            "trainNo": "12345",
            "startDate": "2026-11-23",
            "stations": 5,
            "passengers": 1,
            "rejected": [
                {
                    "line": 2,
                    "pnr": "4512345602",
                    "reason": answer.result["rejected"][0]["reason"],
                }
            ],
        }
        again = await call("POST", "/api/trains", body, who)
        assert (again.status, again.code) == (409, "CONFLICT")
    else:
        assert list(site.hub.runs.all()) == []


@pytest.mark.gen_test
async def test_register_with_a_table(call):
    """The passengers may come as CSV with the chart's names as its header."""
    table = (
        "pnr,index,irctcId,name,from,to,class,status,coach,berth\r\n"
        '4512345601,1,IR_1,"Doe, Jane",AAA,EEE,SL,CNF,S1,1\r\n'
        "4512345602,1,IR_2,John,AAA,EEE,SL,WL,,\r\n"
    )
    answer = await call("POST", "/api/trains", chart(passengers=table), "SERVICE")
    assert (answer.status, answer.result["passengers"]) == (200, 2)
    people = await call("GET", TRAIN + "/passengers", who="TTE")
    assert [each["name"] for each in people.result] == ["Doe, Jane", "John"]


@pytest.mark.gen_test
@pytest.mark.parametrize("who", ROLES)
async def test_start(call, site, scheduled, who):
    """POST /start: for control, feeds and the train's own TTE; a second time is a conflict."""
    answer = await call("POST", TRAIN + "/start", b"", who)
    assert answer.status == status_for(who, {"ADMIN", "SERVICE", "TTE"})
    if answer.status == 200:
        assert answer.result["seq"] == 2
        assert answer.result["next"]["code"] == "BBB"
        again = await call("POST", TRAIN + "/start", b"", who)
        assert (again.status, again.code) == (409, "CONFLICT")
    else:
        assert seq(site) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("who", ROLES)
async def test_departures_and_arrivals(call, site, running, who):
    """POST /departures and /arrivals {stationCode, at?, platform?}: in the stations' order."""
    may = {"ADMIN", "SERVICE", "TTE"}
    left = await call("POST", TRAIN + "/departures", {"stationCode": "AAA", "platform": "3"}, who)
    came = await call("POST", TRAIN + "/arrivals", {"stationCode": "BBB"}, who)
    assert left.status == came.status == status_for(who, may)
    if left.status == 200:
        assert left.result["platform"] == "3"
        assert came.result["station"]["code"] == "BBB"
        wrong = await call("POST", TRAIN + "/arrivals", {"stationCode": "DDD"}, who)
        assert (wrong.status, wrong.code) == (409, "CONFLICT")
        assert wrong.json["error"]["details"] == {"next": "BBB"}
        unknown = await call("POST", TRAIN + "/arrivals", {"stationCode": "ZZZ"}, who)
        assert (unknown.status, unknown.code) == (404, "UNKNOWN_STATION")
    else:
        assert seq(site) == 2


@pytest.mark.gen_test
@pytest.mark.parametrize("who", ROLES)
async def test_marks(call, site, running, who):
    """POST …/no-show, /undo-no-show, /board: for the run's staff; a repeat changes nothing."""
    seqs = {"no-show": 4, "undo-no-show": 5, "board": 6}
    for mark, number in seqs.items():
        for repeat in (False, True):
            answer = await call("POST", f"{FIRST}/{mark}", b"", who)
            assert answer.status == status_for(who, {"ADMIN", "TTE"})
            if answer.status == 200:
                assert answer.result["seq"] == number
                assert answer.result.get("unchanged", False) is repeat
                assert ("name" in answer.result) is not repeat
    if status_for(who, {"ADMIN", "TTE"}) != 200:
        assert seq(site) == 2


@pytest.mark.gen_test
@pytest.mark.parametrize("who", ROLES)
async def test_announcements(call, site, running, who):
    """POST /announcements {text, level?, to?, user?}: for control, the feeds and the TTEs."""
    body = {"text": "hello", "level": "WARNING", "to": "USER", "user": "IR_1"}
    answer = await call("POST", TRAIN + "/announcements", body, who)
    assert answer.status == status_for(who, {"ADMIN", "SERVICE", "TTE"})
    if answer.status == 200:
        assert answer.result["text"] == "hello"
        body["user"] = "IR_9"
        unknown = await call("POST", TRAIN + "/announcements", body, who)
        assert (unknown.status, unknown.code) == (404, "UNKNOWN_PASSENGER")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/trains/99999/start", {}, 404, "UNKNOWN_TRAIN"),
        (TRAIN + "/start?date=2026-11-24", {}, 404, "UNKNOWN_TRAIN"),
        (TRAIN + "/start", {"startDate": "2026-11-24"}, 404, "UNKNOWN_TRAIN"),
        (TRAIN + "/start?date=tomorrow", {}, 400, "BAD_MESSAGE"),
        (TRAIN + "/start", {"more": 1}, 400, "BAD_MESSAGE"),
        (TRAIN + "/start", [], 400, "BAD_MESSAGE"),
        (TRAIN + "/arrivals", {}, 400, "BAD_MESSAGE"),
        (TRAIN + "/arrivals", {"stationCode": 7}, 400, "BAD_MESSAGE"),
        (TRAIN + "/arrivals", {"stationCode": "CCC"}, 409, "CONFLICT"),
        (TRAIN + "/departures", {"stationCode": "AAA", "at": "now"}, 400, "BAD_MESSAGE"),
        (
            TRAIN + "/departures",
            {"stationCode": "AAA", "at": "2026-11-23T23:59:00Z"},
            400,
            "BAD_MESSAGE",
        ),
        (TRAIN + "/announcements", {"text": "x", "to": "USER"}, 400, "BAD_MESSAGE"),
        (TRAIN + "/announcements", {"text": "x" * 1_001}, 400, "BAD_MESSAGE"),
        (TRAIN + "/passengers/4512345601/2/board", {}, 404, "UNKNOWN_PASSENGER"),
        (TRAIN + "/passengers/9999999999/1/board", {}, 404, "UNKNOWN_PASSENGER"),
        (TRAIN + "/passengers/4512345601/one/board", {}, 400, "BAD_MESSAGE"),
        (TRAIN + "/passengers/4512345601/-1/board", {}, 400, "BAD_MESSAGE"),
        (TRAIN + "/passengers/4512345601/%D9%A1/board", {}, 400, "BAD_MESSAGE"),
        (TRAIN + "/passengers/4512345603/1/board", {}, 409, "CONFLICT"),
        (TRAIN + "/passengers/4512345601/1/fly", {}, 404, "UNKNOWN_TYPE"),
        ("/api/trains", {"trainNo": "1"}, 400, "BAD_MESSAGE"),
        ("/api/trains", chart(stations=[]), 400, "BAD_MESSAGE"),
        ("/api/trains", chart(passengers="pnr\n1"), 400, "BAD_MESSAGE"),
        ("/api/trains", chart(trainNo=None), 400, "BAD_MESSAGE"),
    ],
)
async def test_what_cannot_be_done(call, site, running, path, body, status, code):
    """The answer has the status and the protocol's code, and nothing changes."""
    answer = await call("POST", path, body, "ADMIN")
    assert (answer.status, answer.code) == (status, code)
    assert answer.json["error"]["message"]
    assert seq(site) == 2
    assert len(site.journal.records) == 2


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in GOOD),
        ("GET", TRAIN + "/start"),
        ("POST", TRAIN),
        ("POST", TRAIN + "/passengers"),
        ("POST", TRAIN + "/events"),
        ("POST", "/api/me"),
        ("POST", "/api/monitor"),
        ("DELETE", "/api/trains"),
        ("DELETE", TRAIN),
        ("PUT", TRAIN + "/start"),
        ("PATCH", TRAIN),
    ],
)
async def test_another_method_is_a_405(call, site, running, method, path):
    """The error is JSON like every other, and nothing happens."""
    answer = await call(method, path, b"" if method != "GET" else None, "ADMIN")
    assert answer.status == 405
    assert answer.json["error"]["message"]
    assert seq(site) == 2


@pytest.mark.gen_test
@pytest.mark.parametrize("path", GOOD)
async def test_a_command_s_body_is_json(call, running, path):
    """A body of another kind gets 415 at each address."""
    answer = await call("POST", path, b"x=1", "ADMIN", headers={"Content-Type": "text/plain"})
    assert answer.status == 415


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_what_the_path_says_counts(call, site, running):
    """A body cannot name another train or person than the address does."""
    await site.register(trainNo="54321")
    body = {"trainNo": "54321", "pnr": "4512345602", "index": 2}
    answer = await call("POST", FIRST + "/no-show", body, "TTE")
    assert (answer.status, answer.result["trainNo"]) == (200, "12345")
    assert answer.result["pnr"] == "4512345601"


@pytest.mark.gen_test
async def test_the_date_names_the_run(call, site, running):
    """Both ?date= and startDate in the body name the run."""
    await site.register(startDate="2026-11-24")
    for given in ({"path": "?date=2026-11-24"}, {"body": {"startDate": "2026-11-24"}}):
        path = TRAIN + "/announcements" + given.get("path", "")
        answer = await call("POST", path, {"text": "x", **given.get("body", {})}, "TTE")
        assert answer.result["startDate"] == "2026-11-24"
    without = await call("POST", TRAIN + "/announcements", {"text": "x"}, "TTE")
    assert without.result["startDate"] == "2026-11-23"  # the running one


@pytest.mark.gen_test
async def test_without_a_date_it_is_the_run_that_is_meant(call, site):
    """If yesterday's run never ended, reads and commands go to the run that the token names."""
    for day in ("2026-11-22", "2026-11-23", "2026-11-24"):
        await site.register(startDate=day)
    await call("POST", TRAIN + "/start?date=2026-11-22", b"", "ADMIN")
    assert (await call("GET", TRAIN)).result["startDate"] == "2026-11-23"
    for day in ("2026-11-23", "2026-11-24"):
        token = site.tokens.issue("T9", Role.TTE, [f"12345/{day}"])
        headers = {"Authorization": f"Bearer {token}"}
        for path in ("", "/report"):
            answer = await call("GET", TRAIN + path, headers=headers)
            assert answer.result["startDate"] == day
        started = await call("POST", f"{TRAIN}/start", b"", headers=headers)
        assert (started.status, started.result["startDate"]) == (200, day)
    assert (await call("GET", TRAIN)).code == "AMBIGUOUS_RUN"  # today's and tomorrow's run


@pytest.mark.gen_test
async def test_a_passenger_s_pnr_is_found_on_the_booked_run(call, site):
    """Today's train is running, and the passenger travels the day after."""
    await site.register()
    await site.register(person(5), startDate="2026-11-24")
    await call("POST", TRAIN + "/start?date=2026-11-23", b"", "ADMIN")
    token = site.tokens.issue("IR_5", Role.PASSENGER, ["12345"])
    headers = {"Authorization": f"Bearer {token}"}
    for path in ("/passengers/4512345605", "/passengers"):
        answer = await call("GET", TRAIN + path, headers=headers)
        assert [each["name"] for each in answer.result] == ["Person 5"]


@pytest.mark.gen_test
async def test_a_chart_may_have_8_mb(call, site):
    """The limit itself passes, one byte more is a 413, and the server goes on."""
    body = json.dumps(chart()).encode()
    full = body + b" " * (MOST_BODY_BYTES - len(body))
    headers = {"Content-Type": "application/json"}
    options = {"headers": headers, "request_timeout": 10}
    over = await call("POST", "/api/trains", full + b" ", "ADMIN", **options)
    assert (over.status, over.code) == (413, "BAD_MESSAGE")
    assert list(site.hub.runs.all()) == []
    assert (await call("POST", "/api/trains", full, "ADMIN", **options)).status == 200
    assert (await call("GET", TRAIN)).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize(("who", "status"), [(None, 401), ("PASSENGER", 403), ("TTE", 403)])
async def test_a_chart_is_read_only_from_callers_who_may_register(call, monkeypatch, who, status):
    """8 MB of JSON are work: the hub reads them only for callers who may register a train."""
    read = []
    monkeypatch.setattr(
        rest, "read_command", lambda *asked: read.append(asked) or read_command(*asked)
    )
    answer = await call("POST", "/api/trains", chart(), who)
    assert read == []
    assert answer.status == status


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("day", "last_day"),
    [("9999-12-31", 2), ("0001-01-01", 1), ("1970-06-01", 1), ("9500-01-01", 1)],
)
async def test_a_chart_out_of_time_does_no_harm(call, site, scheduled, day, last_day):
    """With any date the other runs can still be read, and the journal loads again."""
    odd = chart(startDate=day, trainNo="777")
    odd["stations"][4]["day"] = last_day
    answer = await call("POST", "/api/trains", odd, "SERVICE")
    await call("POST", "/api/trains/777/start", b"", "ADMIN")
    for path in ("/api/trains", TRAIN, "/api/monitor"):
        assert (await call("GET", path)).status == 200
    assert_the_journal_loads(site.journal)
    assert answer.status in (200, 400)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "at",
    ["1971-01-01T00:00:00+14:00", "1970-12-31T23:59:59+05:30", "2026-11-23T02:30:59Z"],
)
async def test_a_reported_time_does_no_harm(call, site, running, at):
    """The journal gives back any `at` that a station may report."""
    await call("POST", TRAIN + "/departures", {"stationCode": "AAA", "at": at}, "SERVICE")
    await call("POST", TRAIN + "/arrivals", {"stationCode": "BBB", "at": at}, "SERVICE")
    assert_the_journal_loads(site.journal)


def assert_the_journal_loads(journal):
    """Read each record as a restart does: from JSON, as strictly as a client's message."""
    for record in journal.records:
        event = record.event
        assert load(type(event), json.loads(encode(dump(event)))) == event


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_the_list_of_trains_is_for_everyone(call, site, running):
    """GET /api/trains: a line for each run, without a person in it."""
    await site.register(trainNo="54321")
    for who in ROLES:
        answer = await call("GET", "/api/trains", who=who)
        assert answer.status == 200
        assert [each["trainNo"] for each in answer.result] == ["12345", "54321"]
        assert [each["status"] for each in answer.result] == ["RUNNING", "SCHEDULED"]
        assert b"Person" not in answer.body
        assert b"45123456" not in answer.body


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("who", "seen"),
    [("ADMIN", 6), ("TTE", 6), ("PASSENGER", 1), ("OTHER_TTE", 0), ("SERVICE", 0), (None, 0)],
)
async def test_a_train_is_shown_as_the_reader_may_see_it(call, running, who, seen):
    """GET /api/trains/{no}: all see the run, staff its people, a passenger their own."""
    answer = await call("GET", TRAIN, who=who)
    assert answer.status == 200
    assert len(answer.result["stations"]) == 5
    assert len(answer.result.get("passengers", ())) == seen
    assert answer.body.count(b'"pnr"') == seen
    if who == "PASSENGER":
        assert [each["irctcId"] for each in answer.result["passengers"]] == ["IR_1"]
    if not seen:
        assert b"IR_" not in answer.body


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("who", "status", "seen"),
    [
        ("ADMIN", 200, 6),
        ("TTE", 200, 6),
        ("PASSENGER", 200, 1),
        ("OTHER_PASSENGER", 200, 1),
        ("SERVICE", 403, None),
        (None, 401, None),
    ],
)
async def test_people(call, running, who, status, seen):
    """GET …/passengers: staff see all, passengers their own; feeds and anonymous get errors."""
    answer = await call("GET", TRAIN + "/passengers", who=who)
    assert answer.status == status
    if status == 200:
        assert len(answer.result) == seen
        assert {each["irctcId"] for each in answer.result} == (
            {"IR_1"} if who == "PASSENGER" else {"IR_2"} if seen == 1 else
            {each["irctcId"] for each in PEOPLE}
        )  # fmt: skip


@pytest.mark.gen_test
async def test_another_train_s_tte_sees_no_one(call, running):
    """A TTE sees the people of the trains that the token covers."""
    answer = await call("GET", TRAIN + "/passengers", who="OTHER_TTE")
    assert answer.status == 403 or answer.result == []
    answer = await call("GET", TRAIN + "/passengers/4512345601", who="OTHER_TTE")
    assert answer.status in (403, 404)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [1, 2, 3, 10, 11, 20]),
        ("?status=RAC", [10, 11]),
        ("?status=WL", [20]),
        ("?status=CNF&coach=S1", [1, 2, 3]),
        ("?coach=S1", [1, 2, 3, 10, 11]),
        ("?coach=S2", []),
        ("?status=LOST", []),
        ("?state=NT", [1]),
        ("?state=DUE&status=CNF", [2, 3]),
        ("?q=person%202", [2, 20]),
        ("?q=PERSON%201", [1, 10, 11]),
        ("?q=4512345611", [11]),
        ("?q=S1", []),
        ("?q=.*", []),
        ("?q=", [1, 2, 3, 10, 11, 20]),
        ("?q=person&status=RAC&coach=S1&date=2026-11-23", [10, 11]),
    ],
)
async def test_people_may_be_narrowed(call, running, query, found):
    """?status=, ?state=, ?coach= and ?q= (name or PNR) narrow the list, also together."""
    await call("POST", FIRST + "/no-show", b"", "TTE")
    answer = await call("GET", TRAIN + "/passengers" + query, who="TTE")
    assert [each["name"] for each in answer.result] == [f"Person {who}" for who in found]


@pytest.mark.gen_test
async def test_a_filter_widens_nothing(call, running):
    """A passenger who asks for others by name or PNR still sees only people of their own."""
    for query in ("?q=4512345602", "?q=person%202", "?coach=S1", "?status=RAC"):
        answer = await call("GET", TRAIN + "/passengers" + query, who="PASSENGER")
        assert {each["irctcId"] for each in answer.result} <= {"IR_1"}


@pytest.mark.gen_test
async def test_a_person_is_shown_as_they_are_now(call, running):
    """The answer has the chart's fields, with the present status, state, coach and berth."""
    await call("POST", FIRST + "/no-show", b"", "TTE")
    (found,) = (await call("GET", TRAIN + "/passengers/4512345601", who="TTE")).result
    names = (
        "number",
        "age",
        "gender",
        "phone",
        "upgradedFrom",
        "left",
        "need",
        "quota",
        "waitingKind",
    )
    unknown = dict.fromkeys(names)
    assert datetime.fromisoformat(found.pop("markedAt"))
    assert found == {**person(1), **unknown, "state": "NT", "assumed": False}


@pytest.mark.gen_test
async def test_a_pnr(call, site):
    """GET …/passengers/{pnr}: its people, for the staff and for the user who booked it."""
    together = {"pnr": "4512345601", "irctcId": "IR_1"}
    await site.register(person(1), person(2, **together, index=2), person(3))
    for who in ("ADMIN", "TTE", "PASSENGER"):
        answer = await call("GET", TRAIN + "/passengers/4512345601", who=who)
        assert [each["index"] for each in answer.result] == [1, 2]
    assert (await call("GET", TRAIN + "/passengers/4512345601")).status == 401
    assert (await call("GET", TRAIN + "/passengers/4512345601", who="SERVICE")).status == 403


@pytest.mark.gen_test
async def test_another_s_pnr_looks_like_one_that_is_not_there(call, running):
    """No answer tells a passenger whether another's PNR is on the train."""
    theirs = await call("GET", TRAIN + "/passengers/4512345602", who="PASSENGER")
    missing = await call("GET", TRAIN + "/passengers/9999999999", who="PASSENGER")
    assert theirs.status == missing.status == 404
    assert theirs.body == missing.body
    assert theirs.code == "UNKNOWN_PASSENGER"


@pytest.mark.gen_test
async def test_a_pnr_of_two_users_shows_each_their_own(call, site):
    """People on one PNR may have booked by different accounts; each account sees its own."""
    await site.register(person(1), person(2, pnr="4512345601", index=2), rac(10, 1))
    for who, index in (("PASSENGER", 1), ("OTHER_PASSENGER", 2)):
        answer = await call("GET", TRAIN + "/passengers/4512345601", who=who)
        assert [each["index"] for each in answer.result] == [index]


@pytest.mark.gen_test
async def test_events(call, running):
    """GET …/events?after= answers the later events that the reader may be told."""
    await call("POST", FIRST + "/no-show", b"", "TTE")
    await call("POST", TRAIN + "/announcements", {"text": "x", "to": "STAFF"}, "TTE")
    both = ["TRAIN_REGISTERED", "JOURNEY_STARTED"]
    expected = {
        "TTE": [*both, "NO_SHOW", "BERTH_VACATED", "ANNOUNCEMENT"],
        "ADMIN": [*both, "NO_SHOW", "BERTH_VACATED", "ANNOUNCEMENT"],
        "PASSENGER": [*both, "NO_SHOW"],
        "OTHER_PASSENGER": both,
        "OTHER_TTE": both,
        "SERVICE": both,
        None: both,
    }
    for who, types in expected.items():
        answer = await call("GET", TRAIN + "/events", who=who)
        assert [each["type"] for each in answer.result] == types
        later = await call("GET", TRAIN + "/events?after=2", who=who)
        assert [each["type"] for each in later.result] == types[2:]
        assert all(each["seq"] > 2 for each in later.result)
    nothing = await call("GET", TRAIN + "/events?after=5", who="TTE")
    assert nothing.result == []


@pytest.mark.gen_test
@pytest.mark.parametrize("after", ["-1", "x", "1.5", "", "%00", "9" * 20, "%D9%A1"])
async def test_after_is_a_number(call, running, after):
    """Any other value gets 400."""
    answer = await call("GET", f"{TRAIN}/events?after={after}")
    assert (answer.status, answer.code) == (400, "BAD_MESSAGE")


@pytest.mark.gen_test
async def test_events_come_in_pages(call, site, running, monkeypatch):
    """`next` is the `after` of the next page, also when the reader may be told none of a page."""
    monkeypatch.setattr("trainhub.hub.subscriptions.PAGE", 10)
    for number in range(35):
        to = "STAFF" if number < 20 else "EVERYONE"
        said = {"text": f"{number}", "to": to}
        await call("POST", TRAIN + "/announcements", said, "ADMIN")
    after, pages = 0, []
    while after is not None:
        answer = (await call("GET", f"{TRAIN}/events?after={after}")).json
        pages.append([each["seq"] for each in answer["result"]])
        after = answer.get("next")
    assert pages == [[1, 2], [], list(range(23, 31)), list(range(31, 38))]


@pytest.mark.gen_test
async def test_events_that_are_not_held_are_gone(call, site, running):
    """Events that the hub no longer holds get 410, so that the client reads the present run."""
    for _ in range(60):
        await call("POST", TRAIN + "/announcements", {"text": "x"}, "TTE")
    site.hub.subscriptions._history._records[RUN].popleft()
    assert (await call("GET", TRAIN + "/events?after=0")).status == 410
    assert (await call("GET", TRAIN + "/events?after=1")).status == 200
    assert (await call("GET", TRAIN + "/events?after=99")).status == 410


@pytest.mark.gen_test
async def test_me(call):
    """GET /api/me answers who the token says the caller is."""
    assert (await call("GET", "/api/me", who="TTE")).result == {
        "user": "T1",
        "role": "TTE",
        "trains": ["12345"],
    }
    anonymous = await call("GET", "/api/me")
    assert (anonymous.status, anonymous.code) == (401, "NOT_IDENTIFIED")


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["", "/passengers", "/passengers/4512345601", "/events"])
async def test_a_train_that_is_not_there(call, running, path):
    """Each address answers 404 UNKNOWN_TRAIN, never with another train."""
    for train in ("99999", "1234", "123456"):
        answer = await call("GET", f"/api/trains/{train}{path}", who="ADMIN")
        assert (answer.status, answer.code) == (404, "UNKNOWN_TRAIN")
    answer = await call("GET", f"{TRAIN}{path}?date=2026-11-24", who="ADMIN")
    assert (answer.status, answer.code) == (404, "UNKNOWN_TRAIN")


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["", "/passengers", "/passengers/4512345601", "/events"])
async def test_nothing_is_read_before_it_is_durable(call, site, running, path):
    """A read waits for the commit in flight: no client sees what a crash could take back."""
    site.journal.gate.clear()
    before = len(site.journal.records)
    tasks = [asyncio.ensure_future(call("POST", FIRST + "/no-show", b"", "TTE"))]
    await until(lambda: seq(site) == 4)
    tasks.append(asyncio.ensure_future(call("GET", TRAIN + path, who="TTE")))
    for _ in range(3):  # one round trip each
        assert (await call("GET", "/healthz")).status == 200
    assert not any(task.done() for task in tasks)
    assert len(site.journal.records) == before
    site.journal.gate.set()
    assert [(await task).status for task in tasks] == [200, 200]


# --- the audit trail ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("limit=0", "limit is a whole number from 1 to"),
        ("limit=1001", "limit is a whole number from 1 to"),
        ("limit=ten", "is not a whole number"),
        ("limit=-1", "is not a whole number"),
        ("run=12345", "like 12345/2026-11-23"),
        ("run=/2026-11-23", "like 12345/2026-11-23"),
        ("run=12345/yesterday", "run's date is a date like 2026-11-23"),
        ("run=12345/[$gt]", "run's date is a date like"),
        ("user[$gt]=", "expected one of run, user, before, limit"),
        ("usr=T1", "unknown parameter 'usr'"),
        ("before=yesterday", "before is a time with its offset"),
        ("before=2026-11-23", "before is a time with its offset"),
        ("before={}", "before is a time with its offset"),
        ("user=" + "x" * 5_000, "user has 5000 characters"),
    ],
)
@pytest.mark.gen_test
async def test_a_query_that_cannot_be(call, query, told):
    """The answer is 400 with what to do, before MongoDB is asked."""
    answer = await call("GET", f"/api/audit?{query}", who="ADMIN")
    assert (answer.status, answer.code) == (400, "BAD_MESSAGE")
    assert told in answer.json["error"]["message"]


@pytest.mark.gen_test
@pytest.mark.parametrize("who", ROLES)
async def test_the_audit_is_for_admins(call, who):
    """Without a store to read from ADMIN gets 503; other roles may not ask."""
    answer = await call("GET", "/api/audit", who=who)
    assert answer.status == (503 if who == "ADMIN" else status_for(who, ()))


@pytest.mark.gen_test
async def test_a_command_s_address_is_on_record(call, site, scheduled):
    """The audit trail has the address of the connection."""
    await call("POST", TRAIN + "/start", b"", "TTE")
    deed = site.journal.records[-1].deed
    assert (deed.user, deed.address, deed.command) == ("T1", "127.0.0.1", "START_JOURNEY")


# --- the board of a station ----------------------------------------------------------------------


@pytest.mark.gen_test
async def test_the_board_of_a_station(call, site, running):
    """Everyone reads the trains in the order in which they are due, and no person."""
    await site.register(trainNo="54321", trainName="LATER EXP")
    await call("PUT", TRAIN + "/delay", {"delayMinutes": 20}, "ADMIN")
    answer = await call("GET", "/api/stations/bbb?hours=3")
    assert [line["trainNo"] for line in answer.result] == ["54321", "12345"]
    assert answer.json["station"] == {"code": "BBB", "name": "STATION BBB"}
    assert answer.json["at"] == "2026-11-23T08:00:00+05:30"
    for each in PEOPLE:
        for field in ("pnr", "name", "irctcId"):
            assert each[field].encode() not in answer.body
    assert (await call("GET", "/api/stations/EEE?hours=2")).result == []


@pytest.mark.gen_test
@pytest.mark.parametrize("code", ["ZZZ", "%3Cb%3E", "S1%2F2", "x" * 500])
async def test_the_board_of_an_unknown_station(call, running, code):
    """A code that no run has is an error, so that a misspelt one is noticed."""
    answer = await call("GET", f"/api/stations/{code}")
    assert (answer.status, answer.code) == (404, "UNKNOWN_STATION")


@pytest.mark.gen_test
@pytest.mark.parametrize("query", ["hours=0", "hours=25", "hours=x", "hour=3", "date=2026-11-23"])
async def test_the_board_s_hours_are_checked(call, running, query):
    assert (await call("GET", f"/api/stations/BBB?{query}")).status == 400


# --- what an amendment would do ------------------------------------------------------------------

CHECK = TRAIN + "/chart/check"
TABLE = "pnr,index,name,from,to,class,status,coach,berth\n"
LINES = (
    "4512345690,1,NEW ONE,AAA,EEE,SL,CNF,S1,30\n"
    "4512345601,1,CORRECTED,AAA,EEE,SL,CNF,S1,1\n"
    "4512345691,1,LOST,AAA,ZZZ,SL,CNF,S1,31\n"
)


@pytest.mark.gen_test
@pytest.mark.parametrize("who", ROLES)
async def test_a_check_of_an_amendment_changes_nothing(call, site, running, who):
    """It answers as the command would, line by line, to those who may give the command."""
    before = seq(site)
    body = {"source": "CORRECTION", "passengers": TABLE + LINES}
    answer = await call("POST", CHECK, body, who)
    assert answer.status == status_for(who, {"ADMIN", "SERVICE", "TTE"})
    if answer.status == 200:
        fault = answer.result.pop("rejected")
        assert [each["line"] for each in fault] == [4]
        assert "ZZZ" in fault[0]["reason"]
        assert answer.result == {"added": 1, "corrected": 1, "removed": 0, "warnings": []}
    assert seq(site) == before
    done = await call("POST", TRAIN + "/chart", body, "ADMIN")
    assert (done.result["added"], done.result["corrected"]) == (1, 1)
    again = await call("POST", CHECK, body, "ADMIN")
    assert again.code == "BAD_MESSAGE"  # no other line is left to load
    assert [each["line"] for each in again.json["error"]["details"]["rejected"]] == [4]


@pytest.mark.gen_test
async def test_a_check_of_a_table_that_cannot_be_read(call, running):
    """An unknown source, a table without its columns, and an unknown train are errors."""
    for body in ({"source": "X"}, {"source": "CORRECTION", "passengers": "a,b\n1,2\n"}, {}):
        assert (await call("POST", CHECK, body, "ADMIN")).status == 400
    body = {"source": "CORRECTION", "passengers": []}
    assert (await call("POST", "/api/trains/99/chart/check", body, "ADMIN")).status == 404
    assert (await call("GET", CHECK, who="ADMIN")).status == 405
