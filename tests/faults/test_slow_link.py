"""A full train over a slow link, at the default settings: who reads on is served, and stays."""

import asyncio
import json
import time

import pytest
from load import asker
from railway import chart, person
from slow_link import SlowLink
from witness import connect_async as connect

# Bytes a second, and people on the train: 500 KB of SNAPSHOT for the staff.
RATE, PEOPLE = 10_000, 1_700
SUBSCRIBE = {"type": "SUBSCRIBE_TRAIN", "trainNo": "12345"}
# A client's own pings: where one is not answered in time, the connection is dropped.
PATIENCE = {"ping_interval": 10, "ping_timeout": 10}


@pytest.fixture
def full_train(start_hub, mongod_options):
    """A hub with one full train, and the token of its TTE."""
    hub = start_hub(*mongod_options)
    people = [
        person(
            1 + who % 72,
            pnr=str(4_500_000_000 + who),
            irctcId=f"IR_{who:06}",
            name=f"Passenger Number {who:05}",
            coach=f"S{1 + who // 72}",
            berth=1 + who % 72,
            phone="+919876543210",
            email=f"passenger.number.{who:05}@example.org",
        )
        for who in range(PEOPLE)
    ]
    coaches = [{"code": f"S{each}", "class": "SL", "berths": 72} for each in range(1, 25)]
    asker(hub)("/api/trains", chart(*people, coaches=coaches))
    return hub, hub.token("TTE", "T1", "12345")


async def snapshot(client, token):
    """Subscribe as a TTE and read on to the SNAPSHOT; the seconds that took."""
    start = time.monotonic()
    await client.send(json.dumps({"type": "IDENTIFY", "token": token}))
    await client.send(json.dumps(SUBSCRIBE))
    while (heard := json.loads(await client.recv()))["type"] != "SNAPSHOT":
        pass
    assert len(heard["run"]["passengers"]) == PEOPLE
    return time.monotonic() - start


async def is_there(client):
    """Whether the hub still answers."""
    await client.send(json.dumps({"type": "PING"}))
    while json.loads(await client.recv())["type"] != "PONG":
        pass


async def follow(url, token, **options):
    """Subscribe over that link; the seconds until the SNAPSHOT was there, and still connected."""
    async with connect(url, max_size=None, **PATIENCE, **options) as client:
        seconds = await snapshot(client, token)
        await is_there(client)
        return seconds


@pytest.mark.soak
def test_a_full_train_reaches_a_slow_link(full_train):
    """A client that inflates has it in seconds; for the others it takes as long as the bytes do.

    Meanwhile the pings of both sides are answered, so that neither side drops the other.
    """
    hub, token = full_train

    async def both():
        async with SlowLink(hub.port, RATE) as link:
            url = f"ws://127.0.0.1:{link.port}/ws"
            inflating = follow(url, token)
            return await asyncio.gather(inflating, follow(url, token, compression=None))

    compressed, plain = asyncio.run(both())
    print(f"seconds to the SNAPSHOT: compressed {compressed:.1f}, plain {plain:.1f}")
    assert compressed < plain / 4
