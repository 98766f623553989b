"""Poison, one in a hundred: it is refused or becomes a dead letter, and all else arrives."""

import asyncio
import json
import os
from collections import Counter
from http.client import HTTPConnection
from itertools import cycle

import pytest
from load import DAY, Fleet, admin_token, asker, seeded, settled
from poison import POISON
from railway import MORNING, RUN, chart, largest_chart
from waiting import PATIENCE
from witness import connect_async as connect

from trainhub.adapters import dead_letters
from trainhub.adapters.dead_letters import COLLECTION, DeadLettersFile
from trainhub.adapters.mongo import MongoStore
from trainhub.core.journal import Record
from trainhub.core.write_buffer import Change, WriteBuffer
from trainhub.domain.commands import To
from trainhub.domain.events import Announcement
from trainhub.domain.model import Level
from trainhub.hub.documents import INDEXES, LASTING

ONE_IN = 100
OWN = "49999"  # the run for poison that the hub accepts


# --- a hub, its clients and its MongoDB -------------------------------------------------------


def announce(text):
    return "/announcements", {"text": text}


def mark(pnr, index):
    return f"/passengers/{pnr}/{index}/no-show", {}


def registration(**fields):
    return "", chart(trainNo="48888", **fields)


# Requests about a train: the rest of the address, and the body.
AT_THE_DOOR = {
    "half a surrogate pair": lambda: announce("\ud800"),
    "half of one in a name": lambda: registration(trainName="A \udfff B"),
    "NUL in a text": lambda: announce("a\0b"),
    "NUL in a key": lambda: ("/announcements", {"text": "x", "a\0b": 1}),
    "half a pair in a key": lambda: ("/announcements", {"text": "x", "\ud800": 1}),
    "nine bytes": lambda: registration(offerSeconds=2**63),
    "less than nothing": lambda: registration(minUpgradeKm=-(2**70)),
    "5,000 digits": lambda: b'{"text": ' + b"9" * 5_000 + b"}",
    "a number beyond all": lambda: b'{"text": 1e999}',
    "a person of nine bytes": lambda: mark("4512345601", 2**70),
    "17 MB": lambda: announce("x" * 17_000_000),
    "17 MB of nothing": lambda: b" " * 17_000_000,
    "deep": lambda: b'{"text": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "10,001 passengers": lambda: registration(passengers=[{}] * 10_001),
    "a chart of too much text": lambda: ("", largest_chart(1)),
}
ON_A_SOCKET = {
    "half a surrogate pair": {"type": "ANNOUNCE", "text": "\ud800"},
    "NUL in a text": {"type": "ANNOUNCE", "text": "a\0b"},
    "NUL in a key": {"type": "ANNOUNCE", "text": "x", "a\0b": 1},
    "nine bytes": {"type": "SET_DELAY", "delayMinutes": 2**63},
    "a person of nine bytes": {"type": "MARK_BOARDED", "pnr": "4512345601", "index": 2**70},
}


class Poisoner:
    """A client that sends every kind in turn, one for each hundred answers to the fleet.

    `outcomes` counts (door, kind, answer).
    """

    def __init__(self, hub, fleet, most):
        self.hub, self.fleet, self.most = hub, fleet, most
        self.outcomes = Counter()
        self.let_in = 0
        doors = [(self.over_http, kind) for kind in AT_THE_DOOR]
        doors += [(self.over_a_socket, kind) for kind in ON_A_SOCKET]
        doors += [(self.into_mongodb, "forbidden by a rule")] * 6
        self._doors = cycle(doors)
        self._trains = cycle(crew.train_no for crew in fleet.crews)

    async def __call__(self, answered):
        sent = 0
        async with asyncio.timeout(900):
            while sent < self.most // ONE_IN:
                if answered() < sent * ONE_IN:
                    await asyncio.sleep(0.001)
                    continue
                send, kind = next(self._doors)
                answer = await send(kind)
                self.outcomes[send.__name__, kind, answer] += 1
                sent += 1

    async def over_http(self, kind):
        made = AT_THE_DOOR[kind]()
        path, body = ("/announcements", made) if isinstance(made, bytes) else made
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        address = f"/api/trains/{next(self._trains)}{path}?date={DAY}" if path else "/api/trains"
        return await asyncio.to_thread(self._post, address, data)

    def _post(self, address, data):
        connection = HTTPConnection("127.0.0.1", self.hub.port, timeout=PATIENCE)
        head = {"Authorization": f"Bearer {admin_token(self.hub)}"}
        try:
            connection.request("POST", address, data, head | {"Content-Type": "application/json"})
            return connection.getresponse().status
        finally:
            connection.close()

    async def over_a_socket(self, kind):
        async with connect(f"ws://127.0.0.1:{self.hub.port}/ws", compression=None) as socket:
            token = {"type": "IDENTIFY", "token": admin_token(self.hub)}
            train = {"trainNo": next(self._trains), "startDate": DAY, "id": "p"}
            await socket.send(json.dumps(token))
            await socket.send(json.dumps({**ON_A_SOCKET[kind], **train}))
            async with asyncio.timeout(30):
                while (heard := json.loads(await socket.recv()))["type"] not in ("ERROR", "DONE"):
                    pass
            return heard["type"]

    async def into_mongodb(self, kind):
        self.let_in += 1
        body = json.dumps({"text": f"poison {self.let_in}"}).encode()
        address = f"/api/trains/{OWN}/announcements"
        return await asyncio.to_thread(self._post, address, body)


@pytest.mark.sized
@pytest.mark.parametrize("commands", [int(os.environ.get("POISON_COMMANDS", "500"))])
def test_poison_under_load(start_hub, mongod_options, database, capsys, commands):
    """Each poison is refused where it comes in, or becomes a dead letter; all else arrives.

    Nothing is stuck, and only the dead letters are degraded.
    """
    # An operator's validator makes MongoDB refuse some documents that the hub accepts.
    database.create_collection("events", validator={"data.text": {"$not": {"$regex": "^poison"}}})
    seed, chance = seeded()
    print(f"seed {seed}")
    fleet = Fleet(8, chance.random())
    hub = start_hub(*mongod_options)
    ask = asker(hub)
    fleet.begin(hub)
    ask("/api/trains", chart(trainNo=OWN, startDate=DAY))
    poisoner = Poisoner(hub, fleet, commands * len(fleet.crews))
    assert fleet.drive(hub, poisoner, commands=commands) == 0
    asyncio.run(settled(hub))

    for (door, kind, answer), _ in poisoner.outcomes.items():
        expected = {"over_http": (400, 413), "over_a_socket": ("ERROR",), "into_mongodb": (200,)}
        assert answer in expected[door], (door, kind, answer)
    answered, told = fleet.check(hub, database)
    assert answered == commands * len(fleet.crews)
    lines = (hub.folder / "dead_letters.jsonl").read_bytes().splitlines()
    letters = [json.loads(line) for line in lines]
    names = {f"{OWN}/{DAY}/{2 + n}" for n in range(poisoner.let_in)}
    assert {each["documentId"] for each in letters} == names
    assert {each["documentId"] for each in database[COLLECTION].find()} == names
    assert {each["reason"] for each in letters} == {"error 121"}
    report = ask("/api/monitor")["writeBuffer"]
    assert (report["refused"], report["failing"]) == (len(names), None)
    given_up = f"MongoDB refused {len(names)} documents for good within an hour"
    assert hub.degraded() == [f"{given_up}: they are in dead_letters"]
    assert not any("Traceback" in line for line in hub.logged)
    assert hub.stop() == 0
    with capsys.disabled():
        sent = poisoner.outcomes.total()
        print(f"\n{sent} poisons among {answered} commands: {sent - len(names)} refused at the")
        print(f"door, {len(names)} dead letters; 0 others missing, {told} told events true")


# --- a write buffer and its MongoDB -----------------------------------------------------------


@pytest.mark.gen_test(timeout=120)
@pytest.mark.parametrize("collection", ["runs", "events"])
async def test_poison_in_the_write_buffer(
    io_loop, mongodb_uri, database_name, database, tmp_path, capsys, monkeypatch, collection
):
    """If each hundredth of 10,000 documents cannot be stored, all others are.

    Each poison becomes a dead letter, whether documents are inserted or updated.
    """
    # Eight letters of 17 MB exceed the two files.
    monkeypatch.setattr(dead_letters, "MOST_FILE_BYTES", 2**30)
    (seed, chance), count = seeded(), 10_000
    print(f"seed {seed}")
    kinds = cycle(chance.sample(list(POISON), len(POISON)))
    poisons = {n: next(kinds) for n in range(0, count, ONE_IN)}
    event = Announcement(at=MORNING, text="x", level=Level.INFO, audience_=To.EVERYONE)

    def changes(record):
        n = record.position
        document = {"_id": f"d{n}", "epoch": "e1", "seq": 1, "value": n}
        if n in poisons:
            document["value"] = POISON[poisons[n]]
        yield Change(collection, f"d{n}", lambda: document)

    async def at_once():
        pass

    store = MongoStore(mongodb_uri, database_name, INDEXES, LASTING)
    try:
        path = tmp_path / "dead_letters.jsonl"
        buffer = WriteBuffer(store, changes, at_once, DeadLettersFile(path, store))
        for start in range(0, count, 500):
            buffer.accept([Record(n, RUN, n, event) for n in range(start, start + 500)])
            await buffer.flush()
        await buffer.flush_now()
        assert (buffer.depth, buffer.failing) == (0, None)
        found = {each["_id"]: each["value"] for each in database[collection].find()}
        assert found == {f"d{n}": n for n in range(count) if n not in poisons}
        names = {f"d{n}" for n in poisons}
        with path.open() as letters:
            reasons = {each["documentId"]: each["reason"] for each in map(json.loads, letters)}
        assert reasons.keys() == names
        assert {each["documentId"] for each in database[COLLECTION].find()} == names
        assert (buffer.refused, buffer.flushed) == (len(poisons), count - len(poisons))
    finally:
        store.close()
    with capsys.disabled():
        print(f"\n{count} documents into {collection}, {len(poisons)} of them poison: 0 missing,")
        print(f"{len(names)} dead letters: {dict(Counter(reasons.values()))}")
