"""trainhub/adapters/journal_check.py: what a data folder holds, and whether it is sound."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from random import Random

import pytest
from railway import RUN, Driver

from trainhub.adapters.journal_check import check_journal
from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.core.journal import Commit, JournalFailed, ReaderPlace, Record, StoredAnswer
from trainhub.domain.model import RunKey
from trainhub.domain.snapshot import resume
from trainhub.hub.vocabulary import RAILWAY


@pytest.fixture
def path(tmp_path):
    """Make a journal with one run of eight events, one answer and one reader's place."""
    run = Driver()
    run.go_to("DDD")
    path = tmp_path / "journal.db"

    async def write():
        journal = await SqliteJournal.open(path, RAILWAY)
        records = [Record(n, RUN, n, event) for n, event in enumerate(run.events, start=1)]
        await journal.commit(Commit(records, [StoredAnswer("u", "k", "c", "{}", 1.0)]))
        await journal.commit(Commit(places=[ReaderPlace("notified", 2, {"job": 5})]))
        await journal.close()

    asyncio.run(write())
    return path


def change(path, statement):
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()


def test_a_sound_journal_is_said_to_be_so(path):
    """A sound journal's records, runs and readers' places are listed."""
    before = path.read_bytes()
    finding = check_journal(path, RAILWAY, resume)
    assert finding.faults == []
    text = "\n".join(finding.lines)
    assert "12 records of 1 runs" in text
    assert "1 answers" in text
    assert "notified up to 2, and 1 beyond, 10 behind" in text
    assert path.read_bytes() == before


class Busy:
    """A hub's journal at work: a thread commits and saves a reader's place."""

    def __init__(self, path):
        self._path = path
        self._done = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._work()))
        self.commits = 0

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self.thread.join()

    async def _work(self):
        journal = await SqliteJournal.open(self._path, RAILWAY)
        run, seq = RunKey("55555/2026-11-23"), 0
        registered, event = (*Driver().events, *Driver().start())
        while not self._done.is_set():
            at, seq = journal.head + 1, seq + 1
            record = Record(at, run, seq, event if seq > 1 else registered)
            await journal.commit(Commit([record], places=[ReaderPlace("flushed", at, {})]))
            self.commits += 1
        await journal.close()


def test_a_busy_journal_is_said_to_be_sound(path):
    """A check sees one state of the journal while a hub commits."""
    with Busy(path) as busy:
        while busy.commits < 200:
            finding = check_journal(path, RAILWAY, resume)
            assert finding.faults == []
            assert busy.thread.is_alive()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE records SET event = replace(event, 'BBB', 'CCC') WHERE position = 4", "record 4"),
        ("UPDATE records SET type = 'JOURNEY_COMPLETED' WHERE position = 2", "record 2"),
        ("UPDATE records SET run = '12346/2026-11-23' WHERE position = 5", "record 5"),
        ("UPDATE records SET seq = 7 WHERE position = 3", "record 3"),
        ("DELETE FROM records WHERE position = 6", "has seq 7 after 5"),
        ("DELETE FROM records WHERE position = 1", "has seq 2 after 0"),
        ("UPDATE meta SET value = '99' WHERE name = 'format'", "format 99"),
    ],
)
def test_each_fault_is_named(path, statement, fault):
    """A record that was changed, moved or removed is named."""
    change(path, statement)
    assert any(fault in each for each in check_journal(path, RAILWAY, resume).faults)


def test_a_changed_record_stops_the_hub_from_starting(path):
    """A hub refuses a changed record by its number, and does not start."""
    change(path, "UPDATE records SET event = replace(event, 'BBB', 'CCC') WHERE position = 4")

    async def read():
        journal = await SqliteJournal.open(path, RAILWAY)
        try:
            with pytest.raises(JournalFailed, match="record 4"):
                await journal.read(0, 100)
        finally:
            await journal.close()

    asyncio.run(read())


def test_a_flipped_bit_in_a_record_is_never_believed(path):
    """The checksum or SQLite finds every changed bit of an event's text."""
    seed = Random().randrange(2**32)
    print("seed", seed)
    chance = Random(seed)
    sound = path.read_bytes()
    with closing(sqlite3.connect(path)) as db:
        texts = [text.encode() for (text,) in db.execute("SELECT event FROM records")]
    for _ in range(200):
        text = chance.choice(texts)
        start = sound.index(text[:200])
        place = start + chance.randrange(min(len(text), 200))
        broken = bytearray(sound)
        broken[place] ^= 1 << chance.randrange(8)
        path.write_bytes(broken)
        assert check_journal(path, RAILWAY, resume).faults, place


def test_no_journal_is_one_clear_line(tmp_path):
    """A folder without a journal, and a file that is not one, are refused in one line."""
    with pytest.raises(JournalFailed, match="no journal"):
        check_journal(tmp_path / "journal.db", RAILWAY, resume)
    (tmp_path / "journal.db").write_text("a letter to a friend, and no database")
    assert (
        "SQLite cannot read it" in check_journal(tmp_path / "journal.db", RAILWAY, resume).faults[0]
    )
