"""mongod frozen or gone for long under load: the hub goes on answering, and catches up."""

import asyncio
import json
import os
import time

import pytest
from late_network import LateNetwork
from load import RATE, Fleet, asker, behind, journal_size, seeded, wait_for_a_write
from probe import Probe
from pymongo import MongoClient
from railway import chart
from waiting import PATIENCE, wait_for
from watch import Watch, proven
from witness import connect_async as connect

from trainhub.core.history import EVENTS_KEPT

COMMANDS = int(os.environ.get("AWAY_COMMANDS", "500"))
SECONDS = float(os.environ.get("AWAY_SECONDS", "5"))
CREWS = 64
# Commands a second, so that these are answered with time to spare.
ASKED = max(RATE, 2 * COMMANDS / SECONDS)


@pytest.mark.sized
@pytest.mark.parametrize("how", ["frozen", "gone"])
def test_commands_are_answered_while_mongod_is_away(how, start_hub, start_mongod, capsys):
    """The hub answers all commands; /readyz says what is degraded; MongoDB catches up."""
    seed, _ = seeded()
    fleet = Fleet(CREWS, seed)
    mongod = start_mongod()
    hub = start_hub("--mongodb-uri", mongod.uri)
    ask = asker(hub)
    fleet.begin(hub)
    wait_for(lambda: not behind(hub.folder))

    def there():
        fleet.wait_for_answers(min(COMMANDS // 2, 10_000))

    def away():
        before, start = fleet.answered(), time.monotonic()
        (mongod.freeze if how == "frozen" else mongod.kill)()
        wait_for(hub.degraded)
        wait_for(lambda: time.monotonic() > start + SECONDS)
        fleet.wait_for_answers(before + COMMANDS - fleet.answered())
        assert ask("/readyz")["ready"]
        return fleet.answered() - before, time.monotonic() - start

    with Watch(hub.folder, mongod.uri, "trainhub") as watch:
        with Probe(hub) as usual:
            fleet.drive_while(hub, there, ASKED)
        wait_for(lambda: not behind(hub.folder))
        records, size = journal_size(hub.folder)
        with Probe(hub) as meanwhile:
            answered, took = fleet.drive_while(hub, away, ASKED)
        records_now, size_now = journal_size(hub.folder)
        each = (size_now - size) / (records_now - records)
        waiting, memory = behind(hub.folder), resident(hub)
        (mongod.thaw if how == "frozen" else mongod.start)()
        back = time.monotonic()
        wait_for(lambda: not behind(hub.folder), seconds=300)
        caught_up = time.monotonic() - back
    wait_for(lambda: not hub.degraded())
    with MongoClient(mongod.uri) as client:
        everything = proven(hub, fleet, watch, client["trainhub"])
    with capsys.disabled():
        print(f"\nmongod {how} for {took:.1f} s, seed {seed}: {answered} commands answered")
        print(f"{waiting} records waited, {each:.0f} bytes of journal an event,")
        print(f"the hub has {memory:.0f} MB; MongoDB had caught up after {caught_up:.1f} s")
        print(f"mongod there: {usual}")
        print(f"mongod {how}: {meanwhile}")
        print(f"of {everything} answered commands 0 missing, 0 twice, 0 older; {watch}")


def test_the_hub_is_killed_while_mongod_is_gone(start_hub, start_mongod, capsys):
    """The next hub starts without MongoDB, which later gets the events of both hubs."""
    seed, _ = seeded()
    fleet = Fleet(8, seed)
    mongod = start_mongod()
    hub = start_hub("--mongodb-uri", mongod.uri)
    fleet.begin(hub)
    with Watch(hub.folder, mongod.uri, "trainhub") as watch:
        assert fleet.drive(hub, commands=30) == 0
        mongod.kill()
        assert fleet.drive(hub, commands=30) == 0
        hub.kill()
        hub = start_hub("--mongodb-uri", mongod.uri, folder=hub.folder)
        assert fleet.drive(hub, commands=30) == 0
        assert behind(hub.folder) >= 2 * 30 * len(fleet.crews)
        mongod.start()
        wait_for(lambda: not behind(hub.folder))
    with MongoClient(mongod.uri) as client:
        answered = proven(hub, fleet, watch, client["trainhub"])
    with capsys.disabled():
        print(
            f"\nboth killed -9, seed {seed}: of {answered} answered commands 0 missing in MongoDB"
        )


def test_mongod_freezes_while_runs_are_new(start_hub, start_mongod, capsys):
    """A write that the hub gave up may still run when the next one comes: the newer state stays."""
    seed, chance = seeded()
    fleet = Fleet(CREWS, seed)
    mongod = start_mongod()
    hub = start_hub("--mongodb-uri", mongod.uri)
    with Watch(hub.folder, mongod.uri, "trainhub") as watch:
        first = chance.randrange(1, CREWS)
        fleet.begin(hub, fleet.crews[:first])
        mongod.freeze()
        fleet.begin(hub, fleet.crews[first:])

        def given_up():
            wait_for(hub.degraded)
            fleet.wait_for_answers(300)
            mongod.thaw()

        fleet.drive_while(hub, given_up)
        wait_for(lambda: not behind(hub.folder))
    with MongoClient(mongod.uri) as client:
        answered = proven(hub, fleet, watch, client["trainhub"])
    with capsys.disabled():
        print(f"\nfrozen while runs are new, seed {seed}: of {answered} answered commands")
        print(f"0 missing, 0 twice, 0 older in MongoDB; {watch}")


def test_a_write_arrives_long_after_it_was_given_up(start_hub, start_mongod, capsys):
    """Newer states that were written meanwhile on another connection stay."""
    seed, _ = seeded()
    fleet = Fleet(8, seed)
    mongod = start_mongod()
    with LateNetwork(mongod) as network:
        hub = start_hub("--mongodb-uri", network.uri)
        fleet.begin(hub)
        with Watch(hub.folder, mongod.uri, "trainhub") as watch:

            def held_and_given_up():
                wait_for_a_write(hub)
                network.hold_next_write("passengers")
                wait_for(lambda: network.holds)
                wait_for_a_write(hub)  # the flush that was under way
                wait_for_a_write(hub)

            fleet.drive_while(hub, held_and_given_up)
            wait_for(lambda: not behind(hub.folder))
            network.deliver()
        with MongoClient(mongod.uri) as client:
            answered = proven(hub, fleet, watch, client["trainhub"])
        hub.stop()
    with capsys.disabled():
        print(f"\na write that came late, seed {seed}: of {answered} answered commands")
        print(f"0 missing, 0 twice, 0 older in MongoDB; {watch}")


def resident(hub):
    """Return the hub's memory in megabytes."""
    with open(f"/proc/{hub.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def test_a_start_does_not_wait_for_a_frozen_mongod(start_hub, start_mongod):
    """The hub starts after about two seconds without MongoDB, and works."""
    mongod = start_mongod()
    mongod.freeze()
    hub = start_hub("--mongodb-uri", mongod.uri, "--new")
    ask = asker(hub)
    assert ask("/api/trains", chart())["passengers"] == 6
    assert any("MongoDB does not answer" in line for line in hub.logged)
    mongod.thaw()
    wait_for(lambda: ask("/api/monitor")["writeBuffer"]["flushed"] >= 8)


def test_those_who_come_back_while_mongod_is_frozen(start_hub, start_mongod):
    """Clients whose missed events are in MongoDB only get a SNAPSHOT; none is closed as idle.

    The hub says so in /readyz, does not ask MongoDB for a while, and later uses it again.
    """
    mongod = start_mongod()
    hub = start_hub("--mongodb-uri", mongod.uri)
    ask = asker(hub)
    ask("/api/trains", chart())
    for number in range(EVENTS_KEPT + 250):
        ask("/api/trains/12345/announcements", {"text": f"number {number}"})
    wait_for(lambda: not behind(hub.folder))
    epoch = ask("/api/monitor")["epoch"]

    async def come_back(seq):
        async with connect(
            f"ws://127.0.0.1:{hub.port}/ws", max_size=None, open_timeout=PATIENCE
        ) as one:
            since = {"epoch": epoch, "seq": seq}
            subscribe = {"type": "SUBSCRIBE_TRAIN", "trainNo": "12345", "since": since}
            await one.send(json.dumps(subscribe))
            while (heard := json.loads(await one.recv()))["type"] != "SUBSCRIBED":
                assert heard["type"] == "WELCOME"
            return heard["recovered"]

    async def all_come_back():
        return await asyncio.gather(*(come_back(seq) for seq in range(200, 0, -1)))

    mongod.freeze()
    assert asyncio.run(all_come_back()) == [False] * 200
    told = "clients that were away for long get a SNAPSHOT"
    wait_for(lambda: asyncio.run(come_back(1)) or told in str(hub.degraded()))
    mongod.thaw()
    wait_for(lambda: asyncio.run(come_back(1)))
    wait_for(lambda: told not in str(hub.degraded()))
