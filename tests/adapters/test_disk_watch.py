"""trainhub/adapters/disk_watch.py: a low or soon full disk and a growing outbox are reported."""

import asyncio

import pytest
from load import asker
from waiting import wait_for

from trainhub.adapters.disk_watch import LOW_BYTES, MANY_FILES, DiskWatch

GB = 1 << 30


class Folder:
    """A data folder whose figures the test sets, with half a minute between two looks."""

    def __init__(self, path):
        self.now, self.free, self.files = 0.0, 100 * GB, 0
        self.watch = DiskWatch(path, lambda: self.now)
        self.watch._measure = lambda: (self.free, self.files)

    def look(self, times=1, free=0, files=0):
        """Look `times` times, and add `free` and `files` before each look."""
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
    """No complaint before the first look, or while the disk fills slowly or empties."""
    assert folder.watch.complaints() == []
    assert folder.look(200, free=-1 << 20) == []
    assert folder.look(200, free=1 << 20) == []


def test_a_disk_that_is_low_is_told(folder):
    """A low disk is reported with what is left."""
    folder.free = LOW_BYTES + (1 << 20)
    assert folder.look() == []
    assert folder.look(free=-2 << 20) == ["the disk of the data folder has 511 MB left"]


def test_a_disk_that_is_full_soon_is_told(folder):
    """The rate of the last hour predicts a full disk; a few minutes do not."""
    assert folder.look(10, free=-GB // 8) == []
    (told,) = folder.look(30, free=-GB // 8)
    assert told == "the disk of the data folder is full in 6.3 hours if it goes on so"
    assert folder.look(240) == []
    assert len(folder.watch._seen) <= 121


def test_an_outbox_that_only_grows_is_told(folder):
    """A growing outbox is reported until its files are collected."""
    assert folder.look(10, files=200) == []
    (told,) = folder.look(20, files=200)
    assert told == "the outbox has 6000 files, and no program takes them away"
    assert folder.look(files=-1) == []
    assert folder.look(10, files=100) == []


def test_a_small_outbox_is_nobody_s_trouble(folder):
    """An outbox with few files is not reported."""
    assert folder.look(100, files=(MANY_FILES - 1) // 100) == []


def test_it_looks_at_the_real_folder(tmp_path):
    """A look reads the disk's free bytes and counts the outbox's files, if there is one."""
    watch = DiskWatch(tmp_path)
    free, files = watch._measure()
    assert free > 0
    assert files == 0
    (tmp_path / "outbox").mkdir()
    for name in ("a.eml", "b.json"):
        (tmp_path / "outbox" / name).touch()
    assert watch._measure()[1] == 2


def test_a_hub_on_a_small_disk_says_so(tiny_disk, start_hub, mongodb_uri, database_name):
    """A hub reports a small disk from its start."""
    hub = start_hub(
        "--mongodb-uri",
        mongodb_uri,
        "--database",
        database_name,
        folder=tiny_disk.folder / "data",
    )
    ask = asker(hub)
    wait_for(lambda: "the disk of the data folder has" in str(ask("/readyz")["degraded"]))
