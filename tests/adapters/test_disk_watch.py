"""trainhub/adapters/disk_watch.py: a disk that is low or full soon, an outbox that only grows."""

import asyncio

import pytest
from load import asker
from waiting import wait_for

from trainhub.adapters.disk_watch import LOW_BYTES, MANY_FILES, DiskWatch

GB = 1 << 30


class Folder:
    """A data folder whose figures the test sets; a look is half a minute after the one before."""

    def __init__(self, path):
        self.now, self.free, self.files = 0.0, 100 * GB, 0
        self.watch = DiskWatch(path, lambda: self.now)
        self.watch._measure = lambda: (self.free, self.files)

    def look(self, times=1, free=0, files=0):
        """Look `times` times; before each `free` and `files` are added."""
        for _ in range(times):
            self.now += 30
            self.free += free
            self.files += files
            asyncio.run(self.watch.look())
        return self.watch.complaints()


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_a_disk_with_room_is_well(folder):
    """Also before the first look, and while it fills up slowly or is emptied."""
    assert folder.watch.complaints() == []
    assert folder.look(200, free=-1 << 20) == []
    assert folder.look(200, free=1 << 20) == []


def test_a_disk_that_is_low_is_told(folder):
    """With what is left."""
    folder.free = LOW_BYTES + (1 << 20)
    assert folder.look() == []
    assert folder.look(free=-2 << 20) == ["the disk of the data folder has 511 MB left"]


def test_a_disk_that_is_full_soon_is_told(folder):
    """As it went on within the hour; a few minutes say nothing."""
    assert folder.look(10, free=-GB // 8) == []
    (told,) = folder.look(30, free=-GB // 8)
    assert told == "the disk of the data folder is full in 6.3 hours if it goes on so"
    assert folder.look(240) == []
    assert len(folder.watch._seen) <= 121


def test_an_outbox_that_only_grows_is_told(folder):
    """Until a program takes files away."""
    assert folder.look(10, files=200) == []
    (told,) = folder.look(20, files=200)
    assert told == "the outbox has 6000 files, and no program takes them away"
    assert folder.look(files=-1) == []
    assert folder.look(10, files=100) == []


def test_a_small_outbox_is_nobody_s_trouble(folder):
    """A station with a few mails a day."""
    assert folder.look(100, files=(MANY_FILES - 1) // 100) == []


def test_it_looks_at_the_real_folder(tmp_path):
    """Free bytes of its disk, files of its outbox if it is there."""
    watch = DiskWatch(tmp_path)
    free, files = watch._measure()
    assert free > 0
    assert files == 0
    (tmp_path / "outbox").mkdir()
    for name in ("a.eml", "b.json"):
        (tmp_path / "outbox" / name).touch()
    assert watch._measure()[1] == 2


def test_a_hub_on_a_small_disk_says_so(tiny_disk, start_hub, mongodb_uri, database_name):
    """From the start: the hub stops when the journal cannot be written."""
    hub = start_hub(
        "--mongodb-uri",
        mongodb_uri,
        "--database",
        database_name,
        folder=tiny_disk.folder / "data",
    )
    ask = asker(hub)
    wait_for(lambda: "the disk of the data folder has" in str(ask("/readyz")["degraded"]))
