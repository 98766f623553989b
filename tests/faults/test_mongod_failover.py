"""A replica set whose primary dies under load: writes that a majority has are never lost."""

import os
import time

import pytest
from load import Fleet, opened, saved_place, seeded, wait_for_a_write
from mongods import ReplicaSet
from pymongo import MongoClient
from pymongo.read_concern import ReadConcern
from watch import Watch, proven

DEATHS = int(os.environ.get("FAILOVERS", "2"))


@pytest.fixture
def replica_set():
    seed, chance = seeded()
    members = ReplicaSet()
    members.seed, members.chance = seed, chance
    yield members
    members.remove()


@pytest.mark.sized
def test_the_primary_is_killed_under_load(start_hub, replica_set, capsys):
    """Another member takes over, and the dead one comes back; no document is missing or older.

    Every second time the others die just before, and come back first: so only the primary had some
    writes. These are rolled back, and the hub must not have noted them as written.
    """
    chance = replica_set.chance
    replica_set.start()
    fleet = Fleet(8, replica_set.seed)
    hub = start_hub("--mongodb-uri", replica_set.uri)
    fleet.begin(hub)
    kept = 0

    def kill_again_and_again():
        nonlocal kept
        for death in range(DEATHS):
            wait_for_a_write(hub)
            primary, others = replica_set.primary(), []
            time.sleep(chance.uniform(0, 0.3))
            if death % 2:
                others = replica_set.secondaries()
                for other in others:
                    other.kill()
                time.sleep(chance.uniform(0.2, 0.5))
            noted = saved_place(hub.folder)
            primary.kill()
            for other in others:
                other.start()
            if others or chance.random() < 0.5:
                replica_set.primary()
            primary.start()
            kept += still_there(hub, replica_set, noted)
            replica_set.wait_until_whole()
        wait_for_a_write(hub)

    with Watch(hub.folder, replica_set.uri, "trainhub", replicated=True) as watch:
        fleet.drive_while(hub, kill_again_and_again)
    with MongoClient(replica_set.uri) as client:
        answered = proven(hub, fleet, watch, client["trainhub"])
    with capsys.disabled():
        print(f"\n{DEATHS} times kill -9 of the primary of three, seed {replica_set.seed}:")
        print(f"{answered} answered commands: 0 missing, 0 twice, 0 older in MongoDB;")
        print(f"{replica_set.rolled_back()} times a member rolled back what only it had had, and")
        print(f"{kept} looks for an event that the hub had noted found it; {watch}")


def still_there(hub, replica_set, noted):
    """Check that the new primary has each event that the hub had noted before the kill."""
    replica_set.primary()
    with opened(hub.folder) as journal:
        rows = journal.execute(
            "SELECT run, seq FROM records WHERE seq > 0 AND position <= ?", (noted,)
        )
        expected = {f"{run}/{seq}" for run, seq in rows}
    with MongoClient(replica_set.uri) as client:
        database = client.get_database("trainhub", read_concern=ReadConcern("majority"))
        found = {event["_id"] for event in database.events.find({}, {"_id": 1})}
    lost = expected - found
    assert not lost, f"{len(lost)} events were noted as written and rolled back: {sorted(lost)[:3]}"
    return len(expected)
