"""A mongod that refuses the hub's writes: the hub works on, and writes once it may."""

import json
import os
import re

import pytest
from load import PEOPLE, Fleet, asker, behind, seeded, wait_for_a_write, warnings
from mongods import as_root
from pymongo import MongoClient
from waiting import wait_for
from watch import Watch, proven

from trainhub.hub.documents import INDEXES

COMMANDS = int(os.environ.get("REFUSED_COMMANDS", "300"))
PASSWORD = "s3cret%2Fpass"
READ, WRITE = ({"role": role, "db": "trainhub"} for role in ("read", "readWrite"))


@pytest.fixture
def guarded(start_mongod):
    """A mongod that asks for a password, with a user `hub` who may only read."""
    mongod = start_mongod("--auth")
    with as_root(mongod) as root:
        mongod.order = root.admin.command
        mongod.order("createUser", "hub", pwd=PASSWORD.replace("%2F", "/"), roles=[READ])
        yield mongod


NEW_JSON = ("--new", "--log-format", "json")


@pytest.mark.sized
def test_the_hub_may_not_write(start_hub, guarded, capsys):
    """Without the right to write the hub works on, and /readyz says so.

    When the hub gets the right, it writes what waited. It names no password and no passenger.
    """
    seed, _ = seeded()
    fleet = Fleet(8, seed)
    hub = start_hub("--mongodb-uri", guarded.uri_for(f"hub:{PASSWORD}"), *NEW_JSON)
    ask = asker(hub)
    said = []

    def may(write):
        name = "grantRolesToUser" if write else "revokeRolesFromUser"
        guarded.order(name, "hub", roles=[WRITE])

    def refused_for_a_while():
        wait_for(hub.degraded)
        fleet.wait_for_answers(COMMANDS)
        said.extend((ask("/readyz"), ask("/api/monitor")))
        assert said[-2]["ready"]
        assert said[-2]["degraded"]
        assert behind(hub.folder)

    def refused_given_refused_given():
        refused_for_a_while()
        may(write=True)
        wait_for_a_write(hub)
        may(write=False)
        refused_for_a_while()
        may(write=True)
        wait_for(lambda: not hub.degraded())

    fleet.begin(hub)
    with Watch(hub.folder, guarded.uri_for("root:root"), "trainhub") as watch:
        fleet.drive_while(hub, refused_given_refused_given)
    with MongoClient(guarded.uri_for("root:root")) as root:
        answered = proven(hub, fleet, watch, root["trainhub"])
    discreet(hub, said)
    with capsys.disabled():
        print(f"\nthe right to write taken twice, seed {seed}: of {answered} answered commands")
        print(f"0 missing, 0 twice, 0 older in MongoDB; {watch}")


def test_the_hub_has_a_wrong_password(start_hub, guarded):
    """The hub runs and says that MongoDB refuses writes, without the password."""
    hub = start_hub("--mongodb-uri", guarded.uri_for(f"hub:{PASSWORD}-old"), "--new")
    ask = asker(hub)
    fleet = Fleet(1, 1)
    fleet.begin(hub)
    wait_for(hub.degraded)
    assert fleet.drive(hub, commands=10) == 0
    discreet(hub, [ask("/readyz"), ask("/api/monitor")])


def test_the_user_is_created_again(start_hub, guarded):
    """If its user is dropped and created again, the hub writes again without a restart.

    Its open connections do not belong to the new user.
    """
    guarded.order("grantRolesToUser", "hub", roles=[WRITE])
    hub, fleet = begun(start_hub, guarded)
    wait_for(lambda: not behind(hub.folder))
    guarded.order("dropUser", "hub")
    assert fleet.drive(hub, commands=10) == 0
    wait_for(hub.degraded)
    guarded.order("createUser", "hub", pwd=PASSWORD.replace("%2F", "/"), roles=[WRITE])
    wait_for(lambda: not behind(hub.folder))


def test_a_right_that_is_missing_does_not_fill_the_log(start_hub, guarded):
    """The log has the error once a minute, and once for each index, however often it occurs."""
    hub, fleet = begun(start_hub, guarded)
    wait_for(hub.degraded)
    fleet.drive_while(hub, lambda: fleet.wait_for_answers(COMMANDS))
    assert 0 < len(warnings(hub)) <= 1 + sum(map(len, INDEXES.values()))


def begun(start_hub, guarded):
    """Start a hub with one run on that mongod; return the hub and its fleet."""
    hub = start_hub("--mongodb-uri", guarded.uri_for(f"hub:{PASSWORD}"), "--new")
    fleet = Fleet(1, 1)
    fleet.begin(hub)
    return hub, fleet


def discreet(hub, said):
    """Check that neither a password nor a passenger is in the log, /readyz or the monitor."""
    words = "\n".join(hub.logged + [json.dumps(each) for each in said])
    for secret in (PASSWORD, PASSWORD.replace("%2F", "/"), "root:root"):
        assert secret not in words
    people = [f"45123456{who:02}" for who in range(1, PEOPLE + 1)]
    assert not [pnr for pnr in people if pnr in words]
    assert not re.search(r"Person \d|person\d|IR_\d", words)
