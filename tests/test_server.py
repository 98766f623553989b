"""trainhub/server.py: how the hub's process starts, stops, and refuses to start."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from datetime import timedelta

import pytest
from hub_process import ROOT
from load import answered
from mongods import embedded, embedded_uri
from pymongo import MongoClient
from railway import RUN, chart, person, rac
from waiting import PATIENCE, wait_for
from witness import WITNESS

from trainhub.domain.model import Role


class Control:
    """A control room that speaks HTTP to a hub process."""

    def __init__(self, hub):
        self.url = hub.url
        tokens = hub.tokens
        self.token = tokens.issue("control", Role.ADMIN, ["*"], timedelta(hours=1))

    def ask(self, path, body=None, key=None):
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        if key is not None:
            request.add_header("Idempotency-Key", key)
        with answered(request) as answer:
            content = json.load(answer)
        WITNESS.answered(request.get_method(), path.partition("?")[0], answer.status, content)
        return content.get("result", content)


def what_the_clock_leaves(control):
    """Return the run without how long its next report is missing, which each minute changes."""
    run = control.ask("/api/trains/12345")
    assert run.pop("overdueMinutes") >= 0
    return run


def refused(start_hub, *options, **named):
    """Start a hub that should refuse to start; return its only line."""
    hub = start_hub(*options, wait=False, **named)
    assert hub.wait(PATIENCE) == 2
    complaints = [line for line in hub.logged if line.startswith("trainhub: ")]
    assert len(complaints) == 1
    assert not any("Traceback" in line for line in hub.logged)
    return complaints[0]


# --- starting and stopping ----------------------------------------------------------------------


def test_it_starts_with_nothing_but_itself_and_leaves_only_its_folder(start_hub, tmp_path):
    """Without a URI the embedded mongod runs in the data folder; Ctrl-C stops all."""
    hub = start_hub()
    control = Control(hub)
    assert control.ask("/api/trains", chart())["passengers"] == 6
    mongod = embedded(hub.folder)
    assert hub.stop(signal.SIGINT) == 0
    assert not os.path.exists(f"/proc/{mongod}")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert (hub.folder.stat().st_mode & 0o777) == 0o700


def test_ctrl_c_while_it_starts_stops_it(start_hub):
    """A hub that is asked to stop before it listens does so, with exit code 0."""
    hub = start_hub(wait=False)
    wait_for(lambda: (hub.folder / "mongodb").exists())
    assert hub.stop(signal.SIGTERM) == 0
    assert embedded(hub.folder) is None


def test_it_is_ready_when_its_charts_are_loaded(start_hub, tmp_path, unused_port):
    """Until then a train that is still to come is UNAVAILABLE, over HTTP and WebSocket alike.

    A client that was told UNKNOWN_TRAIN would not ask again.
    """
    from websockets.exceptions import InvalidStatus
    from witness import connect

    folder = tmp_path / "charts"
    folder.mkdir()
    people = [person(who, pnr=str(4_500_000_000 + who), berth=None, coach=None, status="WL",
                     number=who) for who in range(1, 800)]  # fmt: skip
    numbers = [str(10_000 + number) for number in range(25)]
    for number in numbers:
        (folder / f"{number}.json").write_text(json.dumps(chart(*people, trainNo=number)))
    hub = start_hub("--charts", str(folder), "--port", str(unused_port), wait=False)
    base, last = f"127.0.0.1:{unused_port}", numbers[-1]

    def status(path):
        try:
            with urllib.request.urlopen(f"http://{base}{path}", timeout=120) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return None

    def subscribe():
        with connect(f"ws://{base}/ws") as client:
            client.send(json.dumps({"type": "SUBSCRIBE_TRAIN", "trainNo": last}))
            while (heard := json.loads(client.recv(timeout=120)))["type"] == "WELCOME":
                pass
            return heard["type"]

    seen = []
    deadline = time.monotonic() + 90
    while (ready := status("/readyz")) != 200:
        assert time.monotonic() < deadline
        seen += [ready, status(f"/api/trains/{last}")]
        try:
            assert subscribe() == "SUBSCRIBED"
        except (OSError, InvalidStatus) as error:
            seen.append(getattr(getattr(error, "response", None), "status_code", None))
    assert 503 in seen
    assert set(seen) <= {None, 503, 200}
    assert status(f"/api/trains/{last}") == 200
    assert subscribe() == "SUBSCRIBED"
    hub.wait_until_listening()
    assert len(Control(hub).ask("/api/trains")) == len(numbers)


def test_what_was_answered_is_there_after_kill_9(start_hub):
    """An answer means durable; the outbox and MongoDB catch up after the crash."""
    hub = start_hub()
    control = Control(hub)
    control.ask("/api/trains", chart())
    control.ask("/api/trains/12345/start", {})
    control.ask("/api/trains/12345/passengers/4512345601/1/no-show", {})
    hub.kill()
    hub = start_hub(folder=hub.folder)
    control = Control(hub)
    (person,) = control.ask("/api/trains/12345/passengers?state=NT")
    assert person["pnr"] == "4512345601"
    outbox = hub.folder / "outbox"
    wait_for(lambda: len(list(outbox.glob("*.eml"))) == 1 and len(list(outbox.glob("*.json"))) == 1)
    with MongoClient(embedded_uri(hub.folder)) as client:
        events = client["trainhub"].events
        wait_for(lambda: events.count_documents({"run": RUN}) == 4)


def test_a_command_sent_again_after_kill_9_happens_once(start_hub, mongod_options):
    """Over HTTP and WebSocket alike a repeat under its key gets the first answer."""
    from websockets.sync.client import connect

    hub = start_hub(*mongod_options)
    control = Control(hub)
    control.ask("/api/trains", chart())
    address, body = "/api/trains/12345/announcements", {"text": "hello"}
    first = control.ask(address, body, key="k-1")
    hub.kill()
    control = Control(start_hub(*mongod_options, folder=hub.folder))
    assert control.ask(address, body, key="k-1") == first
    with connect(control.url.replace("http", "ws") + "/ws") as client:
        client.recv()
        client.send(json.dumps({"type": "IDENTIFY", "token": control.token}))
        client.recv()
        asked = {"type": "ANNOUNCE", "trainNo": "12345", "startDate": "2026-11-23", **body}
        for key, seq in (("k-2", 3), ("k-2", 3), ("k-3", 4)):
            client.send(json.dumps({**asked, "key": key}))
            assert json.loads(client.recv())["result"]["seq"] == seq
        client.send(json.dumps({**asked, "key": ""}))
        assert json.loads(client.recv())["code"] == "BAD_MESSAGE"


def test_check_says_whether_a_data_folder_is_sound(start_hub):
    """`run.py check` exits with 0 for a sound folder, also while a hub runs; with 3 for faults."""
    hub = start_hub()
    control = Control(hub)
    control.ask("/api/trains", chart())
    control.ask("/api/trains/12345/start", {})
    done = check(hub.folder)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "sound")
    assert "2 records of 1 runs" in done.stdout
    assert "0 dead letters" in done.stdout
    assert "embedded database: " in done.stdout
    assert hub.stop() == 0
    keys = (hub.folder / "keys.json").read_text()
    (hub.folder / "keys.json").write_text("no keys")
    assert "FAULT: keys.json" in check(hub.folder).stdout
    (hub.folder / "keys.json").write_text(keys)
    with closing(sqlite3.connect(hub.folder / "journal.db")) as journal:
        journal.execute("UPDATE records SET event = '{}' WHERE position = 2")
        journal.commit()
    done = check(hub.folder)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (3, "not sound")
    assert "FAULT: record 2 " in done.stdout
    broken = start_hub(folder=hub.folder, wait=False)
    assert broken.wait(PATIENCE) == 3
    assert any("record 2 " in line for line in broken.logged)


def check(folder):
    command = [sys.executable, str(ROOT / "run.py"), "check", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def with_offer(hub, **fields):
    """Return a control room on a hub whose run has one open offer, S1-1 for person 10."""
    control = Control(hub)
    control.ask("/api/trains", chart(person(1), rac(10, 1), rac(11, 2), **fields))
    control.ask("/api/trains/12345/start", {})
    for pnr, mark in ((10, "board"), (11, "board"), (1, "no-show")):
        control.ask(f"/api/trains/12345/passengers/45123456{pnr:02}/1/{mark}", {})
    (offer,) = control.ask("/api/trains/12345/offers?state=OPEN")
    assert offer["pnr"] == "4512345610"
    return control, offer


def test_an_open_offer_survives_kill_9(start_hub):
    """After the crash the offer is still open, and can be accepted once."""
    hub = start_hub()
    _, offer = with_offer(hub)
    hub.kill()
    hub = start_hub(folder=hub.folder)
    control = Control(hub)
    assert control.ask("/api/trains/12345/offers?state=OPEN") == [offer]
    result = control.ask(f"/api/offers/{offer['offerId']}/accept", {})
    assert (result["coach"], result["berth"]) == ("S1", 1)
    with MongoClient(embedded_uri(hub.folder)) as client:
        offers = client["trainhub"].offers
        wait_for(lambda: offers.find_one({"_id": offer["offerId"], "state": "ACCEPTED"}))


def test_an_offer_that_ran_out_while_the_hub_was_down_is_offered_on(start_hub, mongod_options):
    """It expires at the start, and the next candidate is asked."""
    hub = start_hub(*mongod_options)
    _, offer = with_offer(hub, offerSeconds=1)
    hub.kill()
    control = Control(start_hub(*mongod_options, folder=hub.folder))
    (first, *_) = wait_for(lambda: control.ask("/api/trains/12345/offers?state=EXPIRED"))
    assert first["offerId"] == offer["offerId"]
    asked = [each["pnr"] for each in control.ask("/api/trains/12345/offers")]
    assert asked[:2] == ["4512345610", "4512345611"]


def test_a_second_hub_on_the_folder_is_refused(start_hub, mongod_options):
    """One hub holds a data folder; the second says whose it is and what to do."""
    hub = start_hub(*mongod_options)
    line = refused(start_hub, folder=hub.folder)
    assert f"another hub (process {hub.process.pid})" in line
    assert "--data-dir" in line
    assert Control(hub).ask("/healthz") == {"ok": True}


def test_stopping_tells_the_sockets_to_come_back(start_hub, mongod_options):
    """GOODBYE with retryAfterMs, then close code 1001."""
    from websockets.sync.client import connect

    hub = start_hub(*mongod_options)
    with connect(hub.url.replace("http", "ws") + "/ws") as client:
        assert json.loads(client.recv())["type"] == "WELCOME"
        hub.process.send_signal(signal.SIGTERM)
        goodbye = json.loads(client.recv(timeout=PATIENCE))
        assert goodbye["type"] == "GOODBYE"
        assert goodbye["retryAfterMs"] > 0
        with pytest.raises(Exception, match="1001"):
            client.recv(timeout=PATIENCE)
    assert hub.wait() == 0


def announce(control):
    """Send a long announcement; return the status of the answer."""
    try:
        control.ask("/api/trains/12345/announcements", {"text": "x" * 900})
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def test_a_full_disk_stops_the_hub_and_loses_nothing_answered(tiny_disk, start_hub, unused_port):
    """503, sockets closed with 4503, exit code 3; every answered command is in the journal."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    away = f"mongodb://127.0.0.1:{unused_port}"  # so that only the journal is on the disk
    hub = start_hub("--mongodb-uri", away, "--new", folder=tiny_disk.folder / "data")
    control = Control(hub)
    control.ask("/api/trains", chart())
    answered = 1
    with connect(hub.url.replace("http", "ws") + "/ws") as client:
        client.recv()
        while (status := announce(control)) == 200:
            answered += 1
        assert status == 503
        assert json.loads(client.recv(timeout=PATIENCE))["type"] == "GOODBYE"
        with pytest.raises(ConnectionClosed, match="4503"):
            client.recv(timeout=PATIENCE)
    assert hub.wait() == 3
    assert "Traceback" not in "".join(hub.logged)
    done = check(hub.folder)
    assert f"{answered} records of 1 runs" in done.stdout, done.stdout
    assert done.returncode == 0


# --- MongoDB ------------------------------------------------------------------------------------


def test_it_works_on_while_mongodb_is_away(start_hub, unused_port):
    """Commands are answered, one line is logged, /readyz says what is degraded."""
    hub = start_hub("--mongodb-uri", f"mongodb://127.0.0.1:{unused_port}", "--new")
    control = Control(hub)
    control.ask("/api/trains", chart())
    wait_for(lambda: "MongoDB does not take writes" in str(hub.degraded()))
    control.ask("/api/trains/12345/start", {})
    report = control.ask("/api/monitor")
    assert report["writeBuffer"]["depth"] >= 8
    assert hub.stop() == 0
    complaints = [line for line in hub.logged if "does not take writes" in line]
    assert len(complaints) == 1
    assert "Traceback" not in "".join(hub.logged)


def test_what_waited_for_mongodb_reaches_the_next_one(
    start_hub, unused_port, mongod_options, database
):
    """What MongoDB missed waits in the journal, however the hub was stopped."""
    hub = start_hub("--mongodb-uri", f"mongodb://127.0.0.1:{unused_port}", "--new")
    Control(hub).ask("/api/trains", chart())
    assert hub.stop() == 0
    start_hub(*mongod_options, folder=hub.folder)
    wait_for(lambda: database.passengers.count_documents({"run": RUN}) == 6)


def test_an_empty_folder_takes_its_live_runs_from_mongodb(
    start_hub, mongod_options, database, tmp_path
):
    """A hub that lost its folder goes on from MongoDB, under a new epoch."""
    hub = start_hub(*mongod_options)
    control = Control(hub)
    control.ask("/api/trains", chart())
    control.ask("/api/trains/12345/start", {})
    control.ask("/api/trains/12345/passengers/4512345602/1/board", {})
    before = what_the_clock_leaves(control), control.ask("/api/trains/12345/passengers")
    epoch = control.ask("/api/monitor")["epoch"]
    wait_for(lambda: database.events.count_documents({"run": RUN}) == 3)
    assert hub.stop() == 0
    hub = start_hub(*mongod_options, folder=tmp_path / "new")
    control = Control(hub)
    after = what_the_clock_leaves(control), control.ask("/api/trains/12345/passengers")
    assert after == before
    assert control.ask("/api/monitor")["epoch"] != epoch
    control.ask("/api/trains/12345/departures", {"stationCode": "AAA"})
    wait_for(lambda: database.runs.find_one({"_id": RUN, "departed": True, "seq": 4}))


def test_a_journal_at_its_limit_takes_no_commands_until_mongodb_is_back(
    start_hub, unused_port, mongod_options, database
):
    """At half the limit the hub warns, at the limit changes get 503; nothing is lost."""
    small = ("--journal-limit", "1")
    hub = start_hub("--mongodb-uri", f"mongodb://127.0.0.1:{unused_port}", "--new", *small)
    control = Control(hub)
    control.ask("/api/trains", chart())
    said = 0
    while announce(control) == 200:
        said += 1
    assert said > 500
    assert any("of 1 MB, as MongoDB" in line for line in hub.logged)
    assert any("the journal has" in line for line in hub.degraded())
    assert control.ask("/api/trains/12345")["seq"] == 1 + said
    assert hub.stop() == 0
    hub = start_hub(*mongod_options, *small, folder=hub.folder)
    control = Control(hub)
    wait_for(lambda: announce(control) == 200)
    wait_for(lambda: database.events.count_documents({"run": RUN}) == 2 + said)
    wait_for(lambda: hub.degraded() == [])


def test_a_start_says_from_what_and_how_fast(start_hub, mongod_options):
    """One line in the log says from which snapshot and records the hub started, and how fast."""
    hub = start_hub(*mongod_options)
    control = Control(hub)
    control.ask("/api/trains", chart())
    for _ in range(250):
        announce(control)
    wait_for(lambda: "1 snapshots" in check(hub.folder).stdout)
    before = what_the_clock_leaves(control)
    hub.kill()
    hub = start_hub(*mongod_options, folder=hub.folder)
    assert what_the_clock_leaves(Control(hub)) == before
    (line,) = [line for line in hub.logged if "1 runs from 1 snapshots" in line]
    assert re.search(r"251 journal records in \d+\.\d+ s", line)


# --- what it refuses ----------------------------------------------------------------------------


def test_a_taken_port_is_one_clear_line(start_hub, tmp_path):
    """The line says what to do; the exit code is 2, and no mongod is left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(start_hub, "--port", str(port))
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "--port" in line
    assert embedded(tmp_path / "data") is None


def test_a_folder_that_cannot_be_one_is_one_clear_line(start_hub, tmp_path):
    """For an unusable data folder the line says what to do; the exit code is 2."""
    (tmp_path / "data").write_text("a file in the folder's place")
    assert "--data-dir" in refused(start_hub)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--mongodb-uri", "mongo//nowhere"), "mongodb://host:27017"),
        (("--mongodb-uri", "mongodb://user:hidden@host:port/x"), "mongodb://host:27017"),
        (("--database", "no spaces.here"), "database name"),
        (("--port", "many"), "--port"),
        (("--charts", "/nowhere"), "/nowhere"),
        (("--timetable", "/nowhere", "--demo"), "/nowhere"),
        (("--demo-speed", "0"), "--demo-speed"),
        (("--anonymous", "maybe"), "one of on, off"),
        (("--unheard-of",), "--help"),
    ],
)
def test_a_bad_option_is_one_clear_line(start_hub, options, part):
    """The line says what to do and has no secret; the exit code is 2."""
    line = refused(start_hub, *options)
    assert part in line
    assert "hidden" not in line


def test_no_mongod_to_embed_is_one_clear_line(start_hub, tmp_path):
    """Without an embedded mongod the hub asks for a MongoDB server."""
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib import metadata\nmetadata.distributions = lambda *a, **k: iter(())\n"
    )
    line = refused(start_hub, environment={"PYTHONPATH": str(tmp_path)})
    assert "--mongodb-uri" in line


def test_the_environment_names_the_mongodb_server(start_hub, mongodb_uri, database):
    """TRAINHUB_MONGODB_URI does what --mongodb-uri does."""
    hub = start_hub(
        environment={"TRAINHUB_MONGODB_URI": mongodb_uri, "TRAINHUB_DATABASE": database.name}
    )
    Control(hub).ask("/api/trains", chart())
    wait_for(lambda: database.runs.find_one({"_id": RUN}))
    assert not (hub.folder / "mongodb").exists()


def test_token_prints_a_token_that_the_hub_takes(start_hub, mongod_options):
    """`run.py token` prints a token and nothing else; the role is the token's."""
    hub = start_hub(*mongod_options)
    control = Control(hub)
    control.token = hub.token("TTE", "T17", "12345")
    assert control.ask("/api/me") == {"user": "T17", "role": "TTE", "trains": ["12345"]}
