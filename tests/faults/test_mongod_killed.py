"""kill -9 of mongod under load: the hub works on, and MongoDB finally has everything once."""

import os
import signal
import time

import pytest
from load import Fleet, seeded, wait_for_a_write
from mongods import embedded, embedded_uri
from pymongo import MongoClient
from waiting import wait_for
from watch import Watch, proven

# The hub waits longer before each new start of its own mongod, so these kills are fewer.
EMBEDDED_KILLS = int(os.environ.get("MONGOD_KILLS", "2"))
OWN_KILLS = int(os.environ.get("MONGOD_KILLS", "3"))


@pytest.mark.sized
def test_the_embedded_mongod_is_killed(start_hub, capsys):
    """The hub restarts it each time; no document is missing, doubled or older."""
    seed, chance = seeded()
    fleet = Fleet(8, seed)
    hub = start_hub()
    fleet.begin(hub)

    def kill_again_and_again():
        dead = None
        for _ in range(EMBEDDED_KILLS):
            if chance.random() < 0.7:  # otherwise kill it while it starts
                wait_for_a_write(hub)
                time.sleep(chance.uniform(0, 0.3))
            dead = wait_for(lambda dead=dead: (pid := embedded(hub.folder)) != dead and pid)
            os.kill(dead, signal.SIGKILL)
        wait_for_a_write(hub)

    uri = embedded_uri(hub.folder)
    with Watch(hub.folder, uri, "trainhub") as watch:
        fleet.drive_while(hub, kill_again_and_again)
    with MongoClient(uri) as client:
        answered = proven(hub, fleet, watch, client["trainhub"])
    with capsys.disabled():
        print(f"\n{EMBEDDED_KILLS} times kill -9 of the embedded mongod, seed {seed}:")
        print(f"{answered} answered commands: 0 missing, 0 twice, 0 older in MongoDB; {watch}")


@pytest.mark.sized
def test_a_mongod_of_ones_own_is_killed(start_hub, start_mongod, capsys):
    """However often it dies and comes back, no document is missing, doubled or older."""
    seed, chance = seeded()
    fleet = Fleet(8, seed)
    mongod = start_mongod()
    hub = start_hub("--mongodb-uri", mongod.uri)
    fleet.begin(hub)

    def kill_again_and_again():
        for _ in range(OWN_KILLS):
            if chance.random() < 0.8:  # otherwise kill it before the hub could write
                wait_for_a_write(hub)
                time.sleep(chance.uniform(0, 0.3))
            mongod.kill()
            mongod.start()
        wait_for_a_write(hub)

    with Watch(hub.folder, mongod.uri, "trainhub") as watch:
        fleet.drive_while(hub, kill_again_and_again)
    with MongoClient(mongod.uri) as client:
        answered = proven(hub, fleet, watch, client["trainhub"])
    with capsys.disabled():
        print(f"\n{OWN_KILLS} times kill -9 of a mongod of one's own, seed {seed}:")
        print(f"{answered} answered commands: 0 missing, 0 twice, 0 older in MongoDB; {watch}")
