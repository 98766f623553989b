"""SIGTERM under load: the hub ends by itself, tells the sockets, and loses nothing."""

import asyncio
import os
import re
import signal
import socket
import time
from contextlib import closing
from random import Random

import pytest
from freezing import freeze
from load import Fleet, more_answers, seeded, settled
from mongods import embedded, embedded_uri
from pymongo import MongoClient
from waiting import PATIENCE

STOPS = int(os.environ.get("STOPS", "4"))
CREWS, CROWD = 8, 1_000


@pytest.fixture
def seed():
    return seeded()[0]


def stop_under_load(fleet, hub, answers):
    """Send SIGTERM after that many answers, under load; return how many seconds the stop took."""
    took = []

    async def stop(answered):
        await fleet.under_way()
        await more_answers(answered, answers)
        start = time.monotonic()
        assert await asyncio.to_thread(hub.stop, signal.SIGTERM, PATIENCE) == 0
        took.append(time.monotonic() - start)

    with closing(mute_client(hub)):
        assert fleet.drive(hub, stop) == CREWS
    assert {crew.closed for crew in fleet.crews} == {1001}
    assert all(crew.goodbye["retryAfterMs"] > 0 for crew in fleet.crews)
    assert "Traceback" not in "".join(hub.logged)
    return took[0]


def mute_client(hub):
    """A WebSocket that never reads, and so does not answer the close either."""
    client = socket.create_connection(("127.0.0.1", hub.port))
    client.sendall(
        b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert client.recv(12) == b"HTTP/1.1 101"
    return client


def waiting(hub):
    """How many documents the hub had not written when it stopped, as its log says."""
    (count,) = re.findall(r"stopped; (\d+) documents", "\n".join(hub.logged))
    return int(count)


@pytest.mark.sized
def test_sigterm_under_load(start_hub, mongod_options, database, capsys, seed):
    """Time and again: exit code 0 in time, GOODBYE, 1001; then all goes on as it was."""
    chance = Random(seed)
    fleet = Fleet(CREWS, seed)
    hub = start_hub(*mongod_options)
    fleet.begin(hub)
    took, unwritten = [], 0
    for _ in range(STOPS):
        took.append(stop_under_load(fleet, hub, chance.randrange(1, 400)))
        unwritten += waiting(hub)
        hub = start_hub(*mongod_options, folder=hub.folder)
    fleet.finish(hub)
    asyncio.run(settled(hub))
    answered, told = fleet.check(hub, database)
    with capsys.disabled():
        print(f"\n{STOPS} times SIGTERM, seed {seed}: {max(took):.2f} s at most; {unwritten}")
        print(f"documents left for the next start; of {answered} answered commands 0 missing,")
        print(f"of {told} told events 0 not in the log; MongoDB has the same")


def test_a_crowd_is_sent_away_in_time(start_hub, mongod_options, capsys):
    """Each of a thousand is told when to come back, not all at the same time, and closed."""
    hub = start_hub(*mongod_options)
    crowd = [mute_client(hub) for _ in range(CROWD)]
    start = time.monotonic()
    assert hub.stop(signal.SIGTERM, PATIENCE) == 0
    took = time.monotonic() - start
    waits, codes = [], []
    for client in crowd:
        with closing(client), client.makefile("rb") as file:
            heard = file.read()
        waits += map(int, re.findall(rb'"GOODBYE".*"retryAfterMs":(\d+)', heard))
        codes.append((1001).to_bytes(2, "big") in heard)
    assert all(codes)
    assert len(waits) == CROWD
    assert max(map(waits.count, waits)) < 20
    assert max(waits) - min(waits) > 2 * CROWD
    with capsys.disabled():
        print(f"\nSIGTERM with {CROWD} sockets: {took:.2f} s")


def test_sigterm_under_load_while_mongodb_is_frozen(
    start_hub, start_mongod, database_name, capsys, seed
):
    """It does not wait for MongoDB; what that did not take arrives after the next start."""
    mongod = start_mongod()
    chance = Random(seed)
    fleet = Fleet(CREWS, seed)
    options = ("--mongodb-uri", mongod.uri, "--database", database_name)
    hub = start_hub(*options)
    fleet.begin(hub)
    asyncio.run(settled(hub))
    mongod.freeze()
    took = stop_under_load(fleet, hub, chance.randrange(100, 400))
    unwritten = waiting(hub)
    assert unwritten
    mongod.thaw()
    hub = start_hub(*options, folder=hub.folder)
    fleet.finish(hub)
    asyncio.run(settled(hub))
    with MongoClient(mongod.uri, tz_aware=True) as client:
        answered, _ = fleet.check(hub, client[database_name])
    with capsys.disabled():
        print(f"\nSIGTERM, MongoDB frozen, seed {seed}: {took:.2f} s; {unwritten} documents left")
        print(f"for the next start; of {answered} answered 0 missing, MongoDB has the same")


def test_sigterm_under_load_while_the_embedded_mongod_is_frozen(start_hub, capsys, seed):
    """A mongod of its own that does not end is killed in time, and none is left running."""
    chance = Random(seed)
    fleet = Fleet(CREWS, seed)
    hub = start_hub()
    fleet.begin(hub)
    asyncio.run(settled(hub))
    mongod = embedded(hub.folder)
    freeze(mongod)
    took = stop_under_load(fleet, hub, chance.randrange(100, 400))
    unwritten = waiting(hub)
    assert unwritten
    assert embedded(hub.folder) is None
    hub = start_hub(folder=hub.folder)
    fleet.finish(hub)
    asyncio.run(settled(hub))
    with MongoClient(embedded_uri(hub.folder), tz_aware=True) as client:
        answered, _ = fleet.check(hub, client["trainhub"])
    with capsys.disabled():
        print(
            f"\nSIGTERM, its mongod frozen, seed {seed}: {took:.2f} s; {unwritten} documents left"
        )
        print(f"for the next start; of {answered} answered 0 missing, MongoDB has the same")
