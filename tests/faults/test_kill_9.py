"""kill -9 of the hub at random moments under load: no answer is lost, no event is untrue."""

import asyncio
import os

import pytest
from load import Fleet, kill_later, seeded, settled

CYCLES = int(os.environ.get("KILL_CYCLES", "5"))


@pytest.mark.sized
def test_kill_9_under_load(start_hub, mongod_options, database, capsys):
    """After each kill all answered commands and told events are in the log, and the state fits."""
    seed, chance = seeded()
    fleet = Fleet(8, seed)
    hub = start_hub(*mongod_options)
    fleet.begin(hub)
    for _ in range(CYCLES):
        fleet.drive(hub, kill_later(hub, chance.uniform(0.02, 0.6)))
        hub.wait()
        hub = start_hub(*mongod_options, folder=hub.folder)
    fleet.finish(hub)
    asyncio.run(settled(hub))
    answered, told = fleet.check(hub, database)
    with capsys.disabled():
        print(f"\n{CYCLES} times kill -9, seed {seed}: of {answered} answered commands 0 missing,")
        print(f"of {told} told events 0 not in the log; the state is that of the model")
