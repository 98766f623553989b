"""Offers over HTTP and WebSocket: races, audiences, reads, and equal answers on both."""

import asyncio
import csv
import io
import json
import re
from urllib.parse import unquote

import pytest
from railway import RUN, chart, person, rac
from samples import STEPS
from waiting import until

from trainhub.access.identity import Identity
from trainhub.core.history import EVENTS_KEPT
from trainhub.domain import commands as c
from trainhub.domain.model import Role
from trainhub.hub.permissions import MAY
from trainhub.hub.protocol import read_command
from trainhub.web.routes import route_of

OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
HERE = {"trainNo": "12345", "startDate": "2026-11-23"}
TRAIN = "/api/trains/12345"
OFFER = "12345.2026-11-23.7"
# PASSENGER (IR_1) is RAC 1, OTHER_PASSENGER (IR_2) RAC 2; IR_5 does not turn up.
PEOPLE = (
    person(1, irctcId="IR_5"),
    person(2, "BBB", "DDD", irctcId="IR_1"),
    person(3, "BBB", "DDD", irctcId="IR_2"),
    {**rac(10, 1), "irctcId": "IR_1"},
    {**rac(11, 2), "irctcId": "IR_2"},
)
STAFF = {"ADMIN", "TTE"}
# Each role in each relation: the run is theirs or not, the person is theirs or not.
CALLERS = (
    *("ADMIN", "OTHER_ADMIN", "TTE", "OTHER_TTE", "TTE_OF_ANOTHER_DAY", "SERVICE", "OTHER_SERVICE"),
    *("PASSENGER", "OTHER_PASSENGER", "PASSENGER_ELSEWHERE", None),
)


async def give(site, command, **fields):
    return await site.hub.execute(command(train_no="12345", **fields), OPERATOR)


async def offering(site, **fields):
    """Bring train 12345 to its first station, where IR_1 has an offer of S1-1."""
    await site.register(*PEOPLE, **fields)
    await give(site, c.StartJourney)
    for number in (10, 11):
        await give(site, c.MarkBoarded, pnr=f"45123456{number}", index=1)
    await give(site, c.MarkNoShow, pnr="4512345601", index=1)
    assert list(site.hub.state(RUN).offers) == [OFFER]


@pytest.fixture
def offered(io_loop, site):
    io_loop.run_sync(lambda: offering(site))


def state(site):
    return site.hub.state(RUN)


def plain(answer):
    """Return the part of an answer that HTTP and WebSocket must share."""
    return {name: value for name, value in answer.items() if name not in ("type", "id")}


# --- the race -----------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_of_twenty_answers_at_once_the_first_wins(call, connect, site, offered):
    """Over HTTP and WebSocket together one answer succeeds; nineteen get OFFER_CLOSED."""
    people = ["PASSENGER", "TTE", "ADMIN", "PASSENGER", "TTE"] * 2
    sockets = [await connect(who) for who in people]

    async def over_http(who):
        answer = await call("POST", f"/api/offers/{OFFER}/accept", b"", who)
        return answer.json.get("result"), answer.json.get("error"), answer.status

    async def over_socket(client):
        await client.say("ACCEPT_OFFER", offerId=OFFER)
        while (message := await client.next())["type"] not in ("DONE", "ERROR"):
            pass
        error = None if message["type"] == "DONE" else message
        return message.get("result"), error, 409 if error else 200

    before = state(site).seq
    answers = await asyncio.gather(
        *(over_http(who) for who in people), *(over_socket(client) for client in sockets)
    )
    won = [answer for answer in answers if answer[1] is None]
    lost = [answer for answer in answers if answer[1] is not None]
    assert (len(won), len(lost)) == (1, 19)
    assert (won[0][0]["coach"], won[0][0]["berth"], won[0][2]) == ("S1", 1, 200)
    for _, error, status in lost:
        assert (error["code"], error["details"], status) == (
            "OFFER_CLOSED",
            {"outcome": "ACCEPTED"},
            409,
        )
    assert state(site).passengers["4512345610/1"].berth == 1
    confirmed = [r for r in site.journal.records if r.seq > before and OFFER in r.event.offers]
    assert len(confirmed) == 1


ITS_DEVICES = {"PASSENGER", "SECOND_DEVICE"}


def each(people, types):
    """Return a dictionary with the same types for each of the people."""
    return {who: list(types) for who in people}


# --- who hears ----------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_each_audience_hears_its_side_of_an_offer(connect, site):
    """UPGRADE_OFFER for that passenger on each device, UPGRADE_PENDING for the staff alone."""
    await site.register(*PEOPLE)
    await site.register(*PEOPLE, trainNo="54321")
    await give(site, c.StartJourney)
    room = {who: await connect(who) for who in CALLERS}
    room["SECOND_DEVICE"] = await connect("PASSENGER")
    for client in room.values():
        await client.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
    for who, name in (("ADMIN", "ADMIN_ELSEWHERE"), ("OTHER_TTE", "TTE_ELSEWHERE")):
        room[name] = await connect(who)
        await room[name].ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", trainNo="54321")
    room["UNSUBSCRIBED"] = await connect("TTE")

    async def heard():
        """Return what each was told since the last call, by type."""
        told = {}
        for who, client in room.items():
            await client.all_told()
            told[who] = [m["type"] for m in client.heard if "seq" in m and "data" in m]
            client.heard.clear()
        return told

    await heard()
    silent = each(room, [])
    for number in (10, 11):
        await give(site, c.MarkBoarded, pnr=f"45123456{number}", index=1)
    aboard = ["PASSENGER_BOARDED"]
    assert await heard() == {
        **silent,
        **each(STAFF, aboard * 2),
        **each({*ITS_DEVICES, "OTHER_PASSENGER"}, aboard),
    }
    await give(site, c.MarkNoShow, pnr="4512345601", index=1)
    assert await heard() == {
        **silent,
        **each(STAFF, ["NO_SHOW", "BERTH_VACATED", "UPGRADE_PENDING"]),
        **each(ITS_DEVICES, ["UPGRADE_OFFER"]),
    }
    await room["PASSENGER"].ask("DONE", "DENY_OFFER", offerId=OFFER)
    closed = ["UPGRADE_CLOSED"]
    assert await heard() == {
        **silent,
        **each(STAFF, [*closed, "UPGRADE_PENDING"]),
        **each(ITS_DEVICES, closed),
        "OTHER_PASSENGER": ["UPGRADE_OFFER"],
    }
    second = next(reversed(state(site).offers))
    await room["OTHER_PASSENGER"].ask("DONE", "ACCEPT_OFFER", offerId=second)
    # RAC 1 now has S1-7 alone, and gets an offer of it as a full berth.
    shared = ["CO_PASSENGER_CHANGED", "UPGRADE_OFFER"]
    assert await heard() == {
        **silent,
        **each(STAFF, ["UPGRADE_CONFIRMED", "BERTH_VACATED", "UPGRADE_PENDING"]),
        **each(ITS_DEVICES, shared),
        "OTHER_PASSENGER": ["UPGRADE_CONFIRMED"],
    }


@pytest.mark.gen_test
async def test_a_passenger_hears_about_no_other(connect, site, offered):
    """No message about an offer has another's PNR, name or place in the queue."""
    client = await connect("OTHER_PASSENGER")
    since = {"epoch": "e1", "seq": 1}
    await client.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE, since=since)
    await give(site, c.DenyOffer, offer_id=OFFER)
    await give(site, c.AcceptOffer, offer_id=next(reversed(state(site).offers)))
    told = json.dumps(await client.all_told())
    assert "UPGRADE_CONFIRMED" in told
    assert "4512345611" in told
    for value in ("4512345610", "4512345601", "Person 10", "IR_1", "IR_5", "RAC 1", "reason"):
        assert value not in told


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_offers_as_the_reader_may_see_them(call, site, offered):
    """Staff see all with the reason, a passenger their own without it, other callers none."""
    await give(site, c.DenyOffer, offer_id=OFFER)
    second = next(reversed(state(site).offers))
    expected = {
        "ADMIN": (200, [OFFER, second]),
        "TTE": (200, [OFFER, second]),
        "PASSENGER": (200, [OFFER]),
        "OTHER_PASSENGER": (200, [second]),
        "OTHER_TTE": (200, []),
        "SERVICE": (403, None),
        None: (401, None),
    }
    for who, (status, offers) in expected.items():
        answer = await call("GET", TRAIN + "/offers", who=who)
        assert answer.status == status
        if status == 200:
            assert [each["offerId"] for each in answer.result] == offers
    staff = (await call("GET", TRAIN + "/offers", who="TTE")).result
    assert [each["outcome"] for each in staff[1]["reason"]] == [
        "had an offer of this berth before",
        "chosen",
    ]
    own = await call("GET", TRAIN + "/offers", who="OTHER_PASSENGER")
    only_staff = {"reason", "passedOver", "cause", "name", "delivered", "deliveredAt"}
    assert own.result[0].keys() == staff[1].keys() - only_staff
    for value in (b"4512345610", b"4512345601", b"Person 1", b"IR_", b"reason", b"passedOver"):
        assert value not in own.body


@pytest.mark.gen_test
async def test_offers_come_in_pages_the_newest_page_first(call, site, offered, monkeypatch):
    """?limit= and ?before= lead from page to page back to the first offer, each page in order."""
    await give(site, c.DenyOffer, offer_id=OFFER)
    second = next(reversed(state(site).offers))
    read = TRAIN + "/offers"
    newest = await call("GET", f"{read}?limit=1", who="TTE")
    assert [each["offerId"] for each in newest.result] == [second]
    older = await call("GET", f"{read}?limit=1&before={second}", who="TTE")
    assert [each["offerId"] for each in older.result] == [OFFER]
    assert (await call("GET", f"{read}?before={OFFER}", who="TTE")).result == []
    own = await call("GET", f"{read}?limit=1", who="PASSENGER")
    assert [each["offerId"] for each in own.result] == [OFFER]
    monkeypatch.setattr("trainhub.web.rest.OffersQuery.limit", 1)
    assert (await call("GET", read, who="TTE")).result == newest.result
    for odd, status in (("limit=0", 400), ("limit=501", 400), ("limit=x", 400), ("before=x", 404)):
        assert (await call("GET", f"{read}?{odd}", who="TTE")).status == status


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("wanted", "found"),
    [("", 2), ("?state=OPEN", 1), ("?state=DENIED", 1), ("?state=LOST", 0), ("?state=", 0)],
)
async def test_offers_may_be_narrowed(call, site, offered, wanted, found):
    """?state= selects offers of one state, such as the open ones."""
    await give(site, c.DenyOffer, offer_id=OFFER)
    answer = await call("GET", TRAIN + "/offers" + wanted, who="TTE")
    assert (answer.status, len(answer.result)) == (200, found)


STAFF_ONLY = ("/rac", "/vacancies", "/coaches/S1", "/handover", "/report", "/report?format=csv")


@pytest.mark.gen_test
@pytest.mark.parametrize("path", STAFF_ONLY)
@pytest.mark.parametrize("who", CALLERS)
async def test_reads_for_the_run_s_staff_only(call, offered, path, who):
    """Callers get 401 without a token, and 403 as a passenger, feed or TTE of another run."""
    path += "&date=2026-11-23" if "?" in path else "?date=2026-11-23"
    answer = await call("GET", TRAIN + path, who=who)
    expected = 200 if who in ("ADMIN", "TTE") else 401 if who is None else 403
    assert answer.status == expected
    if expected != 200:
        assert answer.code == ("NOT_IDENTIFIED" if who is None else "FORBIDDEN")
        assert b"Person" not in answer.body


@pytest.mark.gen_test
@pytest.mark.parametrize("path", [*STAFF_ONLY, "/offers"])
async def test_a_train_that_is_not_there(call, offered, path):
    """The answer is 404 UNKNOWN_TRAIN; ?date= names the run."""
    for train in (f"/api/trains/99999{path}", f"{TRAIN}{path.partition('?')[0]}?date=2026-11-24"):
        answer = await call("GET", train, who="ADMIN")
        assert (answer.status, answer.code) == (404, "UNKNOWN_TRAIN")


@pytest.mark.gen_test
@pytest.mark.parametrize("path", [*STAFF_ONLY, "/offers"])
async def test_nothing_is_read_before_it_is_durable(call, site, offered, path):
    """A read waits for the commit in flight: no client sees what a crash could take back."""
    site.journal.gate.clear()
    before = state(site).seq
    tasks = [asyncio.ensure_future(call("POST", f"/api/offers/{OFFER}/accept", b"", "TTE"))]
    await until(lambda: state(site).seq > before)
    tasks.append(asyncio.ensure_future(call("GET", TRAIN + path, who="TTE")))
    for _ in range(3):  # a round trip each
        assert (await call("GET", "/healthz")).status == 200
    assert not any(task.done() for task in tasks)
    site.journal.gate.set()
    assert [(await task).status for task in tasks] == [200, 200]


@pytest.mark.gen_test
async def test_the_queue_and_the_vacancies(call, offered):
    """The next candidate with the open offer; each free berth, and its holder by an offer."""
    queue = (await call("GET", TRAIN + "/rac", who="TTE")).result
    assert [(each["name"], each["number"], each["offerId"]) for each in queue] == [
        ("Person 10", 1, OFFER),
        ("Person 11", 2, None),
    ]
    vacancies = (await call("GET", TRAIN + "/vacancies", who="TTE")).result
    (held,) = (each for each in vacancies if each["offerId"])
    assert held == {
        "coach": "S1",
        "berth": 1,
        "berthType": "LOWER",
        "class": "SL",
        "half": False,
        "from": "AAA",
        "to": "EEE",
        "cause": "NO_SHOW",
        "offerId": OFFER,
    }
    assert {each["cause"] for each in vacancies if not each["offerId"]} == {"UNBOOKED"}
    plan = (await call("GET", TRAIN + "/coaches/S1", who="TTE")).result
    assert len(plan) == 72
    assert [each["name"] for each in plan[6]["holders"]] == ["Person 10", "Person 11"]
    assert plan[0]["holders"] == []
    layout = (await call("GET", TRAIN + "/coaches/s1/layout")).result
    assert layout[6] == {"berth": 7, "class": "SL", "berthType": "SIDE_LOWER"}
    assert [each["berth"] for each in layout] == [each["berth"] for each in plan]
    nowhere = await call("GET", TRAIN + "/coaches/S9", who="TTE")
    assert (nowhere.status, nowhere.code) == (404, "UNKNOWN_COACH")
    assert "expected one of" in nowhere.json["error"]["message"]


@pytest.mark.gen_test
async def test_the_report_as_a_table(call, site, offered):
    """The CSV has all that the JSON has, a file name of the run, and is not cached."""
    await give(site, c.AcceptOffer, offer_id=OFFER)
    answer = await call("GET", TRAIN + "/report?format=csv", who="TTE")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == (
        'attachment; filename="captaincy-12345-2026-11-23.csv"'
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert list(rows[0]) == "coach kind berth from to pnr index name detail".split()
    (upgrade,) = (row for row in rows if row["kind"] == "UPGRADE")
    assert (upgrade["coach"], upgrade["berth"], upgrade["name"]) == ("S1", "1", "Person 10")
    (missing,) = (row for row in rows if row["kind"] == "NT")
    assert missing["name"] == "Person 1"
    report = (await call("GET", TRAIN + "/report", who="TTE")).result
    (coach,) = report["coaches"]
    assert len(rows) == sum(len(coach[part]) for part in ("noShows", "vacant", "upgrades"))


@pytest.mark.gen_test
async def test_a_report_with_names_is_kept_by_no_cache(call, offered):
    """CSV and JSON have names and PNRs, so both say no-store."""
    for form in ("json", "csv"):
        answer = await call("GET", f"{TRAIN}/report?format={form}", who="TTE")
        assert answer.headers.get("Cache-Control") == "no-store"


@pytest.mark.gen_test
async def test_a_report_of_another_kind_is_a_400(call, offered):
    """?format= must be json or csv."""
    for form in ("xml", "", "CSV"):
        answer = await call("GET", f"{TRAIN}/report?format={form}", who="TTE")
        assert (answer.status, answer.code) == (400, "BAD_MESSAGE")


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "offer",
    [
        "12345.2026-11-23.8",
        "12345.2026-11-23.999999999999999",
        "12345.2026-11-24.7",
        "99999.2026-11-23.7",
        "12345.2026-13-45.7",
        "12345.2026-11-23",
        "12345%2F2026-11-23.7",
        "12345.2026-11-23.x",
        "12345.2026-11-23.%D9%A7",
        "7",
        "..",
        "%00",
        "x" * 500,
    ],
)
async def test_an_offer_that_is_not_there(call, connect, site, offered, offer):
    """An id with any wrong part gets 404 UNKNOWN_OFFER, also over WebSocket."""
    before = state(site).seq
    client = await connect("ADMIN")
    for action in ("accept", "deny", "approve", "withdraw"):
        kind = f"{action.upper()}_OFFER"
        error = await client.ask("ERROR", kind, offerId=unquote(offer))
        answer = await call("POST", f"/api/offers/{offer}/{action}", b"", "ADMIN")
        assert (answer.status, answer.code, error["code"]) == (404, *["UNKNOWN_OFFER"] * 2)
        assert answer.json["error"] == plain(error)
    assert state(site).seq == before


@pytest.mark.gen_test
async def test_delay_and_platform_are_put(call, site, offered):
    """PUT sets …/delay and …/platform; another method gets 405 and changes nothing."""
    bodies = {
        "/delay": {"delayMinutes": 12, "reason": "fog"},
        "/platform": {"stationCode": "BBB", "platform": "7"},
    }
    for path, body in bodies.items():
        before = state(site).seq
        for method in ("POST", "PATCH", "DELETE"):
            wrong = await call(method, TRAIN + path, body, "ADMIN")
            assert wrong.status == 405
            assert wrong.json["error"]["message"]
        assert state(site).seq == before
        done = await call("PUT", TRAIN + path, body, "SERVICE")
        assert (done.status, done.result["seq"]) == (200, before + 1)
        again = await call("PUT", TRAIN + path, body, "SERVICE")
        assert (again.status, again.result["unchanged"]) == (200, True)
    stops = (await call("GET", TRAIN)).result
    assert (stops["delayMinutes"], stops["stations"][1]["platform"]) == (12, "7")
    assert (await call("PUT", TRAIN + "/start", b"", "ADMIN")).status == 405


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("method", "path", "right"), [("POST", "/delay", "PUT"), ("PUT", "/start", "POST")]
)
async def test_a_405_names_the_method_that_is_right(call, offered, method, path, right):
    """Every 405 has Allow, as RFC 9110, 15.5.6 requires."""
    answer = await call(method, TRAIN + path, b"", "ADMIN")
    assert (answer.status, answer.headers.get("Allow")) == (405, right)


@pytest.mark.gen_test
async def test_many_marks_in_one_request(call, site, offered):
    """POST …/marks gets 200 with an answer for each mark, in one commit of the journal."""
    site.journal.commits.clear()
    before = state(site).seq
    marks = [
        {"mark": "UNDO_NO_SHOW", "pnr": "4512345601", "index": 1},
        {"mark": "BOARDED", "pnr": "4512345602", "index": 1},
        {"mark": "BOARDED", "pnr": "9999999999", "index": 1},
        {"mark": "BOARDED", "pnr": "4512345601", "index": 1},
    ]
    answer = await call("POST", TRAIN + "/marks", {"marks": marks}, "TTE")
    assert answer.status == 200
    codes = [each.get("error", {}).get("code") for each in answer.result["marks"]]
    assert codes == [None, "CONFLICT", "UNKNOWN_PASSENGER", None]
    assert site.journal.commits == [state(site).seq - before]
    for bad in ([{"mark": "FLY", "pnr": "4512345601", "index": 1}], [7], "x", None):
        wrong = await call("POST", TRAIN + "/marks", {"marks": bad}, "TTE")
        assert (wrong.status, wrong.code) == (400, "BAD_MESSAGE")
    assert (await call("POST", TRAIN + "/marks", {}, "TTE")).status == 400


# --- every command, every role, both edges ------------------------------------------------------


def http_request(kind, fields):
    """Return the method, path and body of a command over HTTP."""
    route, body = route_of(c.COMMANDS[kind]), dict(fields)
    path = re.sub(r"{(\w+)}", lambda found: str(body.pop(found[1], "12345")), route.path)
    return route.method, path, body


async def lead_to(site, kind):
    """Run the steps before the first one of this kind, on a run with only IR_1's people."""
    *before, step = STEPS[kind]
    people = [{**each, "irctcId": "IR_1"} for each in chart()["passengers"]]
    for each in before:
        if each.kind == "REGISTER_TRAIN":
            await site.register(*people, policy=each.fields.get("policy", "OFFER"))
        else:
            fields = {"trainNo": "12345", **each.on(state(site))}
            await site.hub.execute(read_command(each.cls, fields), OPERATOR)
    return step.on(state(site)) if before else step.fields


# Their tokens name a run of another day, which this hub lacks; without a date that run is meant.
OF_ANOTHER_DAY = {"TTE_OF_ANOTHER_DAY": Role.TTE, "PASSENGER_ELSEWHERE": Role.PASSENGER}
STATUS = {None: 200, "NOT_IDENTIFIED": 401, "FORBIDDEN": 403, "UNKNOWN_TRAIN": 404}


@pytest.mark.gen_test
@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("kind", STEPS)
async def test_both_edges_answer_alike(call, connect, site, kind, who):
    """Each command is done or refused as the table says, the same over HTTP and WebSocket.

    Each has a run of its own, so that the first call is no conflict for the second.
    """
    step = STEPS[kind][-1]
    code = None if who in step.may else "NOT_IDENTIFIED" if who is None else "FORBIDDEN"
    dated = step.fields.keys() & {"startDate", "offerId"}
    if not dated and OF_ANOTHER_DAY.get(who) in MAY[c.COMMANDS[kind]]:
        code = "UNKNOWN_TRAIN"
    answers = []
    for edge in ("http", "socket"):
        await restart(site)
        fields = await lead_to(site, kind)
        await site.register(person(1), startDate="2026-11-24")
        before = site.hub.log.last
        if edge == "http":
            method, path, body = http_request(kind, fields)
            answer = await call(method, path, body, who)
            assert answer.status == STATUS[code], answer.json
            answers.append(answer.json.get("error") or {"result": answer.result})
        else:
            client = await connect(who)
            named = {} if "offerId" in fields else {"trainNo": "12345"}
            await client.say(kind, **{**named, **fields})
            answers.append(plain(await client.next()))
        assert (site.hub.log.last > before) is (code is None)
    over_http, over_socket = answers
    assert over_http.get("code") == code
    assert over_http == over_socket


# The commands that a passenger may give.
OWNERS = [kind for kind, steps in STEPS.items() if "PASSENGER" in steps[-1].may]


async def restart(site):
    """Empty the site's hub of its runs, as after a restart."""
    site.hub.runs._runs.clear()
    site.hub.runs._by_train.clear()
    site.hub.subscriptions._history._records.clear()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "kind", [kind for kind, steps in STEPS.items() if "PASSENGER" in steps[-1].may]
)
async def test_a_refusal_tells_a_passenger_nothing(call, site, offered, kind):
    """Another's person or offer, and a missing one, get the very same 403."""
    fields = STEPS[kind][-1].fields
    wrong = [{"pnr": "4512345603"}, {"pnr": "9999999999"}, {"index": 2}]
    if "offerId" in fields:
        await give(site, c.DenyOffer, offer_id=OFFER)
        second = next(reversed(state(site).offers))
        wrong = [{"offerId": second}, {"offerId": "12345.2026-11-23.99"}]
    before = state(site).seq
    bodies = set()
    for changed in wrong:
        method, path, body = http_request(kind, {**fields, **changed})
        answer = await call(method, path, body, "PASSENGER")
        assert answer.status == 403
        bodies.add(answer.body)
    assert len(bodies) == 1
    assert state(site).seq == before


# --- why ----------------------------------------------------------------------------------------

HISTORY = TRAIN + "/passengers/4512345611/1/history"


@pytest.mark.gen_test
async def test_why_a_passenger_was_not_asked(call, offered):
    """The staff and the passenger read the same: which berth went to another one, and why."""
    for who in ("TTE", "ADMIN", "OTHER_PASSENGER"):
        answer = await call("GET", HISTORY, who=who)
        body = json.loads(answer.body)
        assert body["complete"] is True
        assert body["standing"] == "no berth of the class is free"
        assert [each["reason"] for each in answer.result] == [
            "is aboard",
            "the berth is for RAC 1: RAC 1 is before RAC 2",
        ]
        assert answer.result[-1] | {"at": 0, "seq": 0} == {
            "at": 0,
            "seq": 0,
            "event": "UPGRADE_PENDING",
            "coach": "S1",
            "berth": 1,
            "reason": "the berth is for RAC 1: RAC 1 is before RAC 2",
        }


@pytest.mark.gen_test
async def test_another_s_history_is_not_read(call, offered):
    """A passenger gets the same error for another user's person and for an unknown one."""
    unknown = HISTORY.replace("4512345611", "4512345699")
    for path in (HISTORY, unknown):
        answer = await call("GET", path, who="PASSENGER")
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (
            404,
            "UNKNOWN_PASSENGER",
        )
    for who, status in (
        ("OTHER_TTE", 404),
        ("PASSENGER_ELSEWHERE", 404),
        ("SERVICE", 403),
        (None, 401),
    ):
        assert (await call("GET", HISTORY, who=who)).status == status
    for index in ("2", "0", "99"):
        path = TRAIN + f"/passengers/4512345611/{index}/history"
        assert (await call("GET", path, who="TTE")).status == 404


@pytest.mark.gen_test
async def test_a_history_whose_oldest_events_were_trimmed(call, site, offered):
    """The answer says so, and has what is left."""
    for number in range(EVENTS_KEPT - 3):
        await give(site, c.Announce, text=f"number {number}")
    answer = await call("GET", HISTORY, who="TTE")
    body = json.loads(answer.body)
    assert (body["complete"], body["standing"]) == (False, None)
    assert answer.result == []
    own = await call("GET", HISTORY.replace("11/1", "10/1"), who="TTE")
    assert [each["reason"] for each in own.result] == [
        "the berth is for this passenger",
        "is asked",
    ]
