"""The power fails under load: all answered commands are on the disk, not only in the kernel.

kill -9 cannot show that, since the kernel still writes what it was given. So the data folder is on
an ext4 in an image file. The test freezes the hub, copies the image, and starts the next hub on a
disk made of the copy. All that the hub sent until it froze counts as answered.
"""

import asyncio
import os
import signal
import sqlite3

import pytest
from hub_process import strace
from load import Fleet, more_answers, seeded

from trainhub.access.keys import load_keys
from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.hub.vocabulary import RAILWAY

CUTS = int(os.environ.get("POWER_CUTS", "2"))
# Without fsync one cut shows a loss, unless the kernel happened to have written everything.
MOST_CUTS_WITHOUT_FSYNC = 5


@pytest.fixture
def options(unused_port):
    """Options without a MongoDB, so that only the journal is on the disk."""
    return ("--mongodb-uri", f"mongodb://127.0.0.1:{unused_port}", "--new")


def drive_and_cut(fleet, hub, disks, disk, answers):
    """Cut the power under load after that many answers; return the disk as it is then."""
    left = []

    async def cut(answered):
        await more_answers(answered, answers)
        hub.freeze()
        # Meanwhile the crews read what the hub had sent.
        left.append(await asyncio.to_thread(disks.cut, disk))
        hub.process.kill()

    fleet.drive(hub, cut)
    hub.wait()
    disk.remove()
    return disks.after(*left)


@pytest.mark.sized
def test_a_power_cut_loses_nothing_answered(disks, start_hub, options, capsys):
    """No answered command is missing after a cut, from the first start on."""
    seed, chance = seeded()
    fleet = Fleet(8, seed)
    disk = disks.new(48 + 8 * CUTS)  # each cut adds letters to the outbox
    hub = start_hub(*options, folder=disk.folder / "data")
    fleet.begin(hub)
    for _ in range(CUTS):
        disk = drive_and_cut(fleet, hub, disks, disk, chance.randrange(1, 600))
        hub = start_hub(*options, folder=disk.folder / "data")
        assert fleet.missing(hub.folder) == 0
        fleet.finish(hub)
        answered, told = fleet.check(hub)
    with capsys.disabled():
        print(f"\n{CUTS} power cuts, seed {seed}: of {answered} answered commands 0 missing,")
        print(f"of {told} told events 0 not in the log; the state is that of the model")


def test_without_fsync_a_power_cut_is_seen_to_lose(disks, start_hub, options, capsys):
    """The check itself: on a hub whose fsync does nothing, the same cut loses answered commands."""
    seed, chance = seeded()
    for cuts in range(1, MOST_CUTS_WITHOUT_FSYNC + 1):
        fleet = Fleet(8, f"{seed}/{cuts}")
        disk = disks.new()
        folder = disk.folder / "data"
        hub = start_hub(*options, folder=folder)
        fleet.begin(hub)
        assert hub.stop() == 0
        hub = start_hub(*options, folder=folder, prefix=("eatmydata",))
        disk = drive_and_cut(fleet, hub, disks, disk, chance.randrange(1, 600))
        try:
            lost = fleet.missing(disk.folder / "data")
        except sqlite3.Error as error:
            lost = f"not to be read ({error}), so all"
        disk.remove()
        if lost:
            break
    with capsys.disabled():
        print(f"\nwithout fsync, cut {cuts}, seed {seed}: {lost} of {fleet.answered()} lost")
    assert lost, "no cut has lost anything: these tests would not see a missing fsync"


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_a_power_cut_at_any_sync_of_the_first_start_is_survived(
    disks, start_hub, options, tmp_path, call
):
    """Whatever of a new data folder had reached the disk: the next start makes do with it."""
    cuts = 0
    for number in range(1, 100):
        disk = disks.new(16)
        prefix = strace(tmp_path / "trace", call, f"signal=KILL:when={number}")
        hub = start_hub(*options, folder=disk.folder / "data", prefix=prefix, wait=False)
        if hub.listens():
            break
        assert hub.wait() == -signal.SIGKILL
        cuts += 1
        left = disks.after(disks.cut(disk))
        folder = left.folder / "data"
        folder.mkdir(exist_ok=True)
        load_keys(folder / "keys.json")
        asyncio.run(open_and_close(folder / "journal.db"))
        disk.remove()
        left.remove()
    assert cuts >= {"fsync": 1, "fdatasync": 5}[call]


@pytest.mark.parametrize("call", ["fsync", "link,linkat", "unlink,unlinkat"])
def test_a_kill_while_the_keys_are_made_is_survived(start_hub, options, tmp_path, call):
    """keys.json is there whole or not at all: a hub that was killed while it made it starts."""
    prefix = strace(tmp_path / "trace", call, "signal=KILL:when=1")
    assert start_hub(*options, prefix=prefix, wait=False).wait() == -signal.SIGKILL
    assert start_hub(*options, wait=False).listens()


async def open_and_close(path):
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.close()
