"""The main job, end to end: a hub process with a thousand trains.

The hub has its own mongod. The test works out what each socket should hear from the charts and the
run's log, without the hub's code.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections import Counter, defaultdict
from contextlib import closing
from datetime import date

from pymongo import MongoClient
from timetables import made_up_trains
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from waiting import PATIENCE
from websockets.exceptions import ConnectionClosed
from witness import connect_async as connect

from trainhub.demo.timetable import DEMO_TIMETABLE, make_chart, read_timetable
from trainhub.domain.model import Role

TRAINS, PEOPLE = 1_000, 20
TRAINS_HEARD, SOCKETS_EACH = 30, 10
TRAINS_DRIVEN = 40  # ten of them unheard: what happens there reaches no socket
STOPS_DRIVEN = 4
SEED = 12345
# Seconds for what a thousand trains need: 20 s of work to load them, on a busy machine too.
FLEET_PATIENCE = 4 * PATIENCE

# Who may be told an event, by its type; the staff are told all except a user's own events.
PUBLIC = {"TRAIN_REGISTERED", "JOURNEY_STARTED", "JOURNEY_COMPLETED", "STATION_ARRIVAL",
          "STATION_DEPARTURE", "ANNOUNCEMENT"}  # fmt: skip
USER_ONLY = {"UPGRADE_OFFER", "CO_PASSENGER_CHANGED", "BOOKING_CORRECTED"}
STAFF_ONLY = {"BERTH_VACATED", "UPGRADE_PENDING"}


def charts():
    """Return a thousand charts: the demo's trains, and made-up ones of every shape."""
    demo = read_timetable(DEMO_TIMETABLE)
    trains = [*demo, *made_up_trains(TRAINS - len(demo), fewest=8)]
    return [make_chart(train, date.today(), seed=SEED, passengers=PEOPLE) for train in trains]


class Client:
    """One socket: its identity, and every message that it heard after its snapshot."""

    def __init__(self, chart, role, user, token):
        self.chart, self.role, self.user, self.token = chart, role, user, token
        self.events, self.strangers = [], []
        self.subscribed = asyncio.get_running_loop().create_future()

    async def listen(self, url):
        async with connect(url, compression=None, max_size=None) as socket:
            if self.token:
                await socket.send(json.dumps({"type": "IDENTIFY", "token": self.token}))
            run = {key: self.chart[key] for key in ("trainNo", "startDate")}
            await socket.send(json.dumps({"type": "SUBSCRIBE_TRAIN", **run}))
            try:
                async for text in socket:
                    self._hear(json.loads(text))
            except ConnectionClosed:
                pass

    def _hear(self, message):
        kind = message["type"]
        if kind == "SUBSCRIBED":
            self.after = message["seq"]
            self.subscribed.set_result(None)
        elif kind == "ERROR" or ("trainNo" in message and run_of(message) != run_of(self.chart)):
            self.strangers.append(message)
        elif "timestamp" in message:
            self.events.append(message)

    def should_hear(self, log):
        """Return the seqs of a run's log that this client may be told."""
        users = {(p["pnr"], p["index"]): p["irctcId"] for p in self.chart["passengers"]}

        def may(kind, data):
            if kind in PUBLIC:
                return True
            if self.role in ("TTE", "ADMIN"):
                return kind not in USER_ONLY
            return kind not in STAFF_ONLY and users[data["pnr"], data["index"]] == self.user

        return [seq for seq, kind, data in log if seq > self.after and may(kind, data)]


def journal_of(folder):
    """Return each run's log from the disk: (seq, type, data)."""
    logs = defaultdict(list)
    with closing(sqlite3.connect(f"file:{folder}/journal.db?mode=ro", uri=True)) as journal:
        rows = journal.execute(
            "SELECT run, seq, type, event FROM records WHERE seq > 0 ORDER BY position"
        )
        for run, seq, kind, text in rows:
            logs[run].append((seq, kind, json.loads(text)))
    return logs


def run_of(fields):
    return f"{fields['trainNo']}/{fields['startDate']}"


class Api:
    """The hub's HTTP API, with a control room's token."""

    def __init__(self, hub, token):
        self.url, self.token = hub.url, token
        self.http = AsyncHTTPClient(force_instance=True, max_clients=40)
        self.commands = 0

    async def get(self, path):
        return await self._ask(path, None)

    async def post(self, path, **body):
        self.commands += 1
        return await self._ask(path, json.dumps(body))

    async def _ask(self, path, body):
        request = HTTPRequest(
            self.url + path,
            method="GET" if body is None else "POST",
            body=body,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            request_timeout=FLEET_PATIENCE,
        )
        answer = json.loads((await self.http.fetch(request)).body)
        return answer.get("result", answer)


async def drive(api, chart, stops):
    """Drive a run over its first stops: arrive, mark the people, depart."""
    path, day = f"/api/trains/{chart['trainNo']}", f"?date={chart['startDate']}"
    await api.post(f"{path}/start{day}")
    for place, station in enumerate(chart["stations"][:stops]):
        if place:
            await api.post(f"{path}/arrivals{day}", stationCode=station["code"])
        boarding = [p for p in chart["passengers"] if p["from"] == station["code"]]
        for number, person in enumerate(boarding):
            mark = "no-show" if number % 5 == 4 else "board"
            await api.post(f"{path}/passengers/{person['pnr']}/{person['index']}/{mark}{day}")
        await api.post(f"{path}/departures{day}", stationCode=station["code"])
    await api.post(f"{path}/announcements{day}", text="Thank you for travelling with us")


async def settled(api):
    """Wait until MongoDB has all that the journal has."""
    deadline = time.monotonic() + FLEET_PATIENCE
    events = sum(train["seq"] for train in await api.get("/api/trains"))
    while True:
        report = await api.get("/api/monitor")
        buffer = report["writeBuffer"]
        if report["journal"]["records"] >= events and not buffer["depth"] + buffer["behind"]:
            return
        assert time.monotonic() < deadline, buffer
        await asyncio.sleep(0.05)


async def picture(api, charts):
    """Return the whole state as the control room reads it."""
    trains = {run_of(each): each for each in await api.get("/api/trains")}
    people = {}
    for chart in charts:
        path = f"/api/trains/{chart['trainNo']}/passengers?date={chart['startDate']}"
        people[run_of(chart)] = await api.get(path)
    return trains, people


def clients_for(chart, tokens):
    users = list(dict.fromkeys(p["irctcId"] for p in chart["passengers"]))
    roles = [("PASSENGER", user) for user in users[: SOCKETS_EACH - 4]]
    roles += [("TTE", "T1"), ("TTE", "T2"), ("ADMIN", "control")]
    roles += [(None, None)] * (SOCKETS_EACH - len(roles))
    return [
        Client(chart, role, user, role and tokens.issue(user, Role(role), [chart["trainNo"]]))
        for role, user in roles
    ]


def check_mongodb(folder, trains, people):
    """Check that MongoDB has every run, person and event; return the number of documents."""
    socket = str(folder / "mongodb/mongod.sock").replace("/", "%2F")
    with MongoClient(f"mongodb://{socket}/?directConnection=true") as client:
        database = client["trainhub"]
        stored = {document["_id"]: document for document in database.runs.find()}
        assert stored.keys() == trains.keys()
        for run, train in trains.items():
            for field in ("seq", "status", "index", "departed", "delayMinutes"):
                assert stored[run][field] == train[field], (run, field)
        for run, those in people.items():
            found = {
                (p["pnr"], p["index"]): {key: p[key] for key in those[0]}
                for p in database.passengers.find({"run": run})
            }
            assert found == {(p["pnr"], p["index"]): p for p in those}
        logs = Counter(event["run"] for event in database.events.find({}, {"run": 1}))
        assert logs == {run: train["seq"] for run, train in trains.items()}
        return sum(database[name].count_documents({}) for name in ("runs", "passengers", "events"))


async def fly(hub, made):
    """Open the sockets, drive the trains, check what each heard; return the state."""
    tokens = hub.tokens
    api = Api(hub, tokens.issue("control", Role.ADMIN, ["*"]))
    heard, driven = made[:TRAINS_HEARD], made[:TRAINS_DRIVEN]

    clients = [client for chart in heard for client in clients_for(chart, tokens)]
    url = f"ws://127.0.0.1:{hub.port}/ws"
    listening = [asyncio.create_task(client.listen(url)) for client in clients]
    await asyncio.gather(*(client.subscribed for client in clients))
    report = await api.get("/api/monitor")
    assert report["sockets"] == len(clients) == TRAINS_HEARD * SOCKETS_EACH
    assert len(report["trains"]) == TRAINS

    start = time.monotonic()
    await asyncio.gather(*(drive(api, chart, STOPS_DRIVEN) for chart in driven))
    took = time.monotonic() - start
    logs = journal_of(hub.folder)
    expected = [client.should_hear(logs[run_of(client.chart)]) for client in clients]
    deadline = time.monotonic() + FLEET_PATIENCE
    while any(len(c.events) < len(e) for c, e in zip(clients, expected, strict=True)):
        assert time.monotonic() < deadline, "some events did not come"
        await asyncio.sleep(0.02)

    await settled(api)
    before = await picture(api, driven)
    frames = 0
    for client, seqs in zip(clients, expected, strict=True):
        assert [event["seq"] for event in client.events] == seqs, (client.role, client.user)
        assert client.strangers == []
        frames += len(seqs)
    events = sum(len(log) - 1 for log in logs.values())
    print(f"{api.commands} commands over HTTP in {took:.1f} s made {events} events;")
    print(f"{frames} frames went to {len(clients)} sockets: 0 missing, 0 twice, 0 elsewhere")
    return api, before, listening


async def kill_and_compare(hub, start_hub, folder, api, made):
    """Kill the hub right after the last answer, before the flush; compare the state afterwards."""
    last = made[TRAINS_DRIVEN]
    await drive(api, last, 2)
    before = await picture(api, made[: TRAINS_DRIVEN + 1])
    hub.kill()
    start = time.monotonic()
    again = start_hub(folder=folder, wait=False).wait_until_listening(FLEET_PATIENCE)
    print(f"killed -9; up again with {TRAINS} trains after {time.monotonic() - start:.1f} s")
    api = Api(again, api.token)
    assert await picture(api, made[: TRAINS_DRIVEN + 1]) == before
    await settled(api)
    return again, before


def test_a_fleet_of_a_thousand_trains(tmp_path, start_hub, capsys):
    """Each event reaches exactly its sockets, MongoDB has every change, kill -9 loses nothing."""
    made = charts()
    folder, chart_folder = tmp_path / "data", tmp_path / "charts"
    chart_folder.mkdir()
    for chart in made:
        path = chart_folder / f"{chart['trainNo']}_{chart['startDate']}.json"
        path.write_text(json.dumps(chart))
    with capsys.disabled():
        print(f"\n{TRAINS} trains of {PEOPLE} passengers, seed {SEED}, Python {sys.version[:6]}")
        start = time.monotonic()
        hub = start_hub("--charts", str(chart_folder), folder=folder, wait=False)
        hub.wait_until_listening(FLEET_PATIENCE)
        print(f"up with {TRAINS} charts after {time.monotonic() - start:.1f} s")

        async def test():
            api, (trains, people), listening = await fly(hub, made)
            count = check_mongodb(folder, trains, people)
            print(f"MongoDB holds every change: {count} documents")
            again, (trains, people) = await kill_and_compare(hub, start_hub, folder, api, made)
            count = check_mongodb(folder, trains, people)
            print(f"the state is the same, and MongoDB holds it: {count} documents")
            await asyncio.gather(*listening)
            assert again.stop() == 0

        asyncio.run(test())
