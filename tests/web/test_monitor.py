"""trainhub/web/monitor.py: figures for the page and the watchdogs, without names of people."""

import json

import pytest
from railway import MORNING, RUN, person, rac
from waiting import until, wait_for

from trainhub import __version__
from trainhub.access.identity import Identity
from trainhub.core.write_buffer import Refused, StoreAway, TooNew
from trainhub.domain import commands as c
from trainhub.domain.model import Role
from trainhub.web import monitor

OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
HERE = {"trainNo": "12345", "startDate": "2026-11-23"}
# A passenger whose every field is a word that the test can search for.
MARKED = {
    "pnr": "4598765432",
    "irctcId": "IR_MARKED",
    "name": "Zarathustra Quux",
    "phone": "+919198765432",
    "email": "quux@example.org",
}


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch):
    """Make a report at each call, except in the test of its cache."""
    monkeypatch.setattr(monitor, "REPORT_SECONDS", 0.0)


@pytest.fixture
def running(io_loop, site):
    """Train 12345 with a marked person and two others stands at its first station."""

    async def start():
        await site.register(person(1, **MARKED), rac(10, 1), person(3, "BBB"))
        await site.hub.execute(c.StartJourney(train_no="12345"), OPERATOR)

    io_loop.run_sync(start)


def mark(site, kind):
    return site.hub.execute(kind(train_no="12345", pnr=MARKED["pnr"], index=1), OPERATOR)


CHANNEL = {
    "depth": 0,
    "sentLastMinute": 0,
    "oldestSeconds": None,
    "sent": 0,
    "cancelled": 0,
    "expired": 0,
    "failed": 0,
    "refused": 0,
    "lastError": None,
}


@pytest.mark.gen_test
async def test_the_report_of_an_empty_hub(call, site):
    """Every part is there from the start, with zeros."""
    report = (await call("GET", "/api/monitor")).json
    assert report.pop("serverTime").endswith("+00:00")
    assert 0 <= report.pop("uptimeSeconds") < 60
    assert report == {
        "version": __version__,
        "hubTime": MORNING.isoformat(timespec="seconds"),
        "epoch": "e1",
        "demo": False,
        "sockets": 0,
        "notifications": {
            "depth": 0,
            "capacity": 20_000,
            "sent": 0,
            "failed": 0,
            "retried": 0,
            "setAside": 0,
            "failing": None,
            "behind": 0,
            "channels": {"EMAIL": CHANNEL, "PUSH": CHANNEL},
        },
        "writeBuffer": {
            "depth": 0,
            "capacity": 50_000,
            "flushed": 0,
            "lastFlush": None,
            "refused": 0,
            "failing": None,
            "behind": 0,
            "refills": 0,
        },
        "journal": {"records": 0, "bytes": 0, "limit": 4 << 30, "lastCommitMillis": 0.0},
        "audit": {"refusals": 0, "leftOut": 0, "unidentified": 0},
        "loop": {"held": 0, "longestMillis": 0},
        "clients": {"heldBytes": 0, "heldLimit": 128 << 20, "cutOff": 0, "tooOften": 0},
        "degraded": [],
        "trains": [],
    }


@pytest.mark.gen_test
async def test_the_report_of_a_run(call, site, running):
    """It has the run's position, and how many are booked, aboard and NT."""
    await site.hub.execute(c.Depart(train_no="12345", station_code="AAA"), OPERATOR)
    (train,) = (await call("GET", "/api/monitor")).json["trains"]
    assert train == {
        "run": RUN,
        "reportDue": train["next"]["expected"],
        **HERE,
        "trainName": "TEST EXP",
        "status": "RUNNING",
        "seq": 3,
        "zone": None,
        "stations": 5,
        "index": 0,
        "departed": True,
        "station": {"code": "AAA", "name": "STATION AAA"},
        "next": {
            "code": "BBB",
            "name": "STATION BBB",
            "index": 1,
            "expected": train["next"]["expected"],
        },
        "delayMinutes": -70,
        "booked": 3,
        "aboard": 0,
        "noShow": 0,
        "sockets": {"total": 0, "passengers": 0, "ttes": 0, "admins": 0, "others": 0},
    }


@pytest.mark.gen_test
async def test_people_are_counted_as_they_are_now(call, site, running):
    """The next report has each mark."""

    async def figures():
        (train,) = (await call("GET", "/api/monitor")).json["trains"]
        return train["booked"], train["aboard"], train["noShow"]

    assert await figures() == (3, 0, 0)
    await mark(site, c.MarkNoShow)
    assert await figures() == (3, 0, 1)
    await mark(site, c.MarkBoarded)
    assert await figures() == (3, 1, 0)


@pytest.mark.gen_test
async def test_sockets_are_counted_by_role(call, connect, running):
    """The role is the socket's on that run: another train's TTE counts among the others."""
    clients = {}
    for who in ("ADMIN", "TTE", "OTHER_TTE", "PASSENGER", "SERVICE", None):
        clients[who] = await connect(who)
        await clients[who].ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
    await connect("PASSENGER")  # joins no room
    report = (await call("GET", "/api/monitor")).json
    assert report["sockets"] == 7
    assert report["trains"][0]["sockets"] == {
        "total": 6,
        "passengers": 1,
        "ttes": 1,
        "admins": 1,
        "others": 3,
    }
    clients["TTE"].connection.close()
    await clients[None].ask("UNSUBSCRIBED", "UNSUBSCRIBE_TRAIN", **HERE)
    await until(lambda: len(monitor.TrainSocket.sockets) == 6)
    report = (await call("GET", "/api/monitor")).json
    assert report["sockets"] == 6
    assert report["trains"][0]["sockets"]["total"] == 4
    assert report["trains"][0]["sockets"]["ttes"] == 0


@pytest.mark.gen_test
async def test_queues_and_journal(call, site, running):
    """The report has what waits, what was sent, and how long the last commit took."""
    await mark(site, c.MarkNoShow)
    report = (await call("GET", "/api/monitor")).json
    assert report["notifications"]["depth"] == 2
    # Events, audit entries, the run, its people, and what became of two letters.
    assert report["writeBuffer"]["depth"] == 4 + 3 + 1 + 3 + 2
    assert report["journal"]["records"] == 4
    assert report["journal"]["lastCommitMillis"] >= 0
    for queue in site.parts.queues.values():
        await queue.drain()
    await site.hub.save_places()  # with what became of the letters, which is due soon
    await site.parts.write_buffer.flush()
    report = (await call("GET", "/api/monitor")).json
    assert (report["notifications"]["depth"], report["notifications"]["sent"]) == (0, 2)
    assert (report["writeBuffer"]["depth"], report["writeBuffer"]["flushed"]) == (0, 13)
    assert report["writeBuffer"]["lastFlush"]["documents"] == 13
    assert report["notifications"]["behind"] == report["writeBuffer"]["behind"] == 0


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_a_report_is_made_once_for_many_who_ask(call, site, running, monkeypatch):
    """A hundred open pages cost no more than a single page."""
    monkeypatch.setattr(monitor, "REPORT_SECONDS", 60.0)
    made = []
    monkeypatch.setattr(site.monitor, "figures", lambda: made.append(1) or {"n": len(made)})
    site.monitor._fresh_since = -60.0
    assert [(await call("GET", "/api/monitor")).json["n"] for _ in range(5)] == [1] * 5


@pytest.mark.gen_test
async def test_a_run_that_is_gone_is_gone_from_the_report(call, site, running):
    """When a run leaves the hub, the report's data about it goes too."""
    await call("GET", "/api/monitor")
    site.hub.runs._runs.clear()
    assert (await call("GET", "/api/monitor")).json["trains"] == []
    assert site.hub.fleet._rows == {}


@pytest.mark.gen_test
async def test_no_person_is_in_what_is_open_to_all(call, connect, site, running, caplog):
    """No page or report without a token has names, PNRs, users, phones or e-mails."""
    caplog.set_level("DEBUG")
    store = site.parts.write_buffer._store
    client = await connect()
    await client.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
    for kind in (c.MarkNoShow, c.UndoNoShow, c.MarkBoarded):
        await mark(site, kind)
    await site.hub.send_figures()
    await client.ask("FLEET_SUBSCRIBED", "SUBSCRIBE_FLEET")
    await client.until("FLEET")
    site.hour.take()
    store.away = True
    await site.parts.write_buffer.flush()
    paths = ["/", "/api/monitor", "/api/hour", "/healthz", "/readyz", "/version", "/api/trains"]
    paths += ["/api/trains/12345", "/api/trains/12345/events"]
    sent = {path: (await call("GET", path)).body for path in paths}
    sent["/ws"] = json.dumps(await client.all_told()).encode()
    for path, body in sent.items():
        assert body, path
        for value in (*MARKED.values(), "Person 3", "4512345603", "S1-1"):
            assert value.encode() not in body, path
    for value in MARKED.values():
        assert value not in caplog.text
    # The search itself finds words that are there.
    shown = await call("GET", "/api/trains/12345", who="TTE")
    for value in MARKED.values():
        assert value.encode() in shown.body


@pytest.mark.gen_test
async def test_the_store_s_errors_are_not_quoted(call, site, running):
    """A driver's error may quote a document, so `degraded` does not repeat it."""
    store = site.parts.write_buffer._store

    async def refuse(collection, documents):
        raise StoreAway(f"some documents were not written (121: {documents!r:.5000})")

    store.write = refuse
    await site.parts.write_buffer.flush()
    degraded = await call("GET", "/readyz")
    report = await call("GET", "/api/monitor")
    assert degraded.json["degraded"] == [report.json["writeBuffer"]["failing"]]
    for value in MARKED.values():
        assert value.encode() not in degraded.body + report.body


@pytest.mark.gen_test
async def test_what_mongodb_refuses_for_good_is_counted(call, site, running, caplog):
    """Each such document counts once, is logged without a PNR, and delays no other."""
    store, refused = site.parts.write_buffer._store, f"{RUN}/{MARKED['pnr']}/1"

    async def refuse(collection, documents):
        if any(each["_id"] == refused for each in documents):
            raise Refused({refused: "error 121"})

    store.write = refuse
    await site.parts.write_buffer.flush()
    buffer = (await call("GET", "/api/monitor")).json["writeBuffer"]
    assert (buffer["refused"], buffer["failing"], buffer["depth"]) == (1, None, 0)
    (complaint,) = (await call("GET", "/readyz")).json["degraded"]
    assert complaint.startswith("MongoDB refused 1 documents for good within an hour")
    told, lines = caplog.text, caplog.records[:]
    caplog.clear()
    assert [line.levelname for line in lines] == ["ERROR"]
    assert MARKED["pnr"] not in told


@pytest.mark.gen_test
async def test_ready(call, site):
    """/readyz is 200 once the runs are loaded, and says what is degraded."""
    assert (await call("GET", "/readyz")).json == {
        "ready": True,
        "degraded": [],
        "timers": {},
        "late": {each.shown: 0.0 for each in site.parts.followers},
        "loop": {"held": 0, "longestMillis": 0},
    }
    await site.register()
    site.parts.write_buffer._store.away = True
    await site.parts.write_buffer.flush()
    answer = await call("GET", "/readyz")
    assert answer.status == 200
    assert answer.json["degraded"] == [
        f"MongoDB does not take writes, {site.parts.write_buffer.depth} documents wait"
    ]
    site.parts.write_buffer._store.away = False
    await site.parts.write_buffer.flush_now()
    assert (await call("GET", "/readyz")).json["degraded"] == []


@pytest.mark.gen_test
async def test_a_database_that_is_too_new_is_told_with_its_reason(call, site):
    """The reason names no person, and tells the operator what to do."""

    async def write(collection, documents):
        raise TooNew("run a newer trainhub")

    await site.register()
    site.parts.write_buffer._store.write = write
    await site.parts.write_buffer.flush()
    (told,) = (await call("GET", "/readyz")).json["degraded"]
    assert told.endswith("documents wait: run a newer trainhub")


@pytest.mark.gen_test
async def test_while_the_runs_are_loaded(call, site):
    """/readyz and /api/monitor are 503; /healthz and /version answer."""
    site.hub.loaded = False
    for path in ("/readyz", "/api/monitor"):
        answer = await call("GET", path)
        assert (answer.status, answer.code) == (503, "UNAVAILABLE")
    assert (await call("GET", "/healthz")).json == {"ok": True}
    assert (await call("GET", "/version")).json == {"version": __version__}
    assert (await call("GET", "/")).status == 200


@pytest.mark.gen_test
async def test_when_the_journal_has_failed(call, site, running):
    """/readyz is 503, so that no more requests are sent to this hub."""
    site.journal.broken = True
    refused = await call("POST", "/api/trains/12345/announcements", {"text": "x"}, "TTE")
    assert refused.status == 503
    assert (await call("GET", "/readyz")).status == 503
    assert (await call("GET", "/healthz")).status == 200


# Collects what the page's policy blocks, from the start of the page.
WATCH = """
window.stopped = [];
addEventListener('securitypolicyviolation', event => stopped.push(event.effectiveDirective));
"""
PLANT = """
async () => {
  const script = document.createElement('script');
  script.textContent = 'window.planted = true';
  document.body.append(script);
  const text = document.createElement('div');
  text.innerHTML = '<p style="color: red" onclick="window.planted = true">x</p>';
  document.body.append(text);
  text.firstChild.click();
  const image = new Image();
  image.src = 'https://elsewhere.example/x.png';
  document.body.append(image);
  const frame = document.createElement('iframe');
  frame.src = '/version';
  document.body.append(frame);
  try { await fetch('https://elsewhere.example/') } catch {}
}
"""


def test_the_page_s_policy_in_a_browser(page, start_again):
    """The whole page works under its policy; script that an attacker plants does not run."""
    hub = start_again()
    page.add_init_script(WATCH)
    page.goto(hub.url)
    page.click("button:has-text('TEST EXP')")
    page.wait_for_selector(".follow:has-text('live')")
    hub.ask("/api/trains/12345/announcements", {"text": "<b onclick=x style=y>hello</b>"})
    page.wait_for_selector(".events li:has-text('hello')")
    assert page.evaluate("stopped") == []
    assert page.complaints == []
    page.evaluate(PLANT)
    wait_for(lambda: len(set(page.evaluate("stopped"))) >= 6)
    assert page.evaluate("window.planted") is None
    wanted = {
        *("script-src-elem", "style-src-attr", "script-src-attr"),
        *("img-src", "frame-src", "connect-src"),
    }
    assert set(page.evaluate("stopped")) == wanted
