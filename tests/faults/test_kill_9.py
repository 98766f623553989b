"""kill -9 at random moments under load: what was answered is there, what was told is true."""

import asyncio
import os

import pytest
from load import Fleet, kill_later, seeded, settled

CYCLES = int(os.environ.get("KILL_CYCLES", "10"))


@pytest.mark.sized
def test_kill_9_under_load(start_hub, mongodb_uri, database, capsys):
    """Time and again: no answered command is missing, no told event untrue, the state is right."""
    seed, chance = seeded()
    fleet = Fleet(8, seed)
    options = ("--mongodb-uri", mongodb_uri, "--database", database.name)
    hub = start_hub(*options)
    fleet.begin(hub)
    for _ in range(CYCLES):
        fleet.drive(hub, kill_later(hub, chance.uniform(0.02, 0.6)))
        hub.wait()
        hub = start_hub(*options, folder=hub.folder)
    fleet.finish(hub)
    asyncio.run(settled(hub))
    answered, told = fleet.check(hub, database)
    with capsys.disabled():
        print(f"\n{CYCLES} times kill -9, seed {seed}: of {answered} answered commands 0 missing,")
        print(f"of {told} told events 0 not in the log; the state is that of the model")
