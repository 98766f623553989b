"""trainhub/adapters/journal_formats.py: an old journal is brought up to date, a newer refused."""

import asyncio
import json
import sqlite3
import zlib
from contextlib import closing

import pytest
from railway import RUN, Driver

from trainhub.adapters import journal_formats
from trainhub.adapters.journal_check import check_journal
from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.core.codec import dump
from trainhub.core.journal import Commit, Deed, JournalFailed, ReaderPlace, Record, StoredAnswer
from trainhub.domain.events import TYPES
from trainhub.domain.model import Role
from trainhub.domain.snapshot import resume
from trainhub.hub.vocabulary import RAILWAY

# As hubs wrote it once records had checksums.
FORMAT_2 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (position INTEGER PRIMARY KEY, run TEXT NOT NULL, seq INTEGER NOT NULL,
    type TEXT NOT NULL, event TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE answers (user TEXT NOT NULL, key TEXT NOT NULL, command TEXT NOT NULL,
    result TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (user, key)) WITHOUT ROWID;
CREATE TABLE readers (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('format', '2'), ('epoch', 'abc');
INSERT INTO answers VALUES ('u', 'k', 'c', '{}', 5.5);
INSERT INTO readers VALUES ('notifications', 2), ('write buffer', 3);
"""


# As the very first hubs wrote it: neither checksums nor answers.
FORMAT_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (position INTEGER PRIMARY KEY, run TEXT NOT NULL, seq INTEGER NOT NULL,
    type TEXT NOT NULL, event TEXT NOT NULL);
CREATE TABLE readers (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('format', '1'), ('epoch', 'abc');
INSERT INTO readers VALUES ('notifications', 2), ('write buffer', 3);
"""
# As hubs wrote it before records had deeds.
FORMAT_3 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE records (position INTEGER PRIMARY KEY, run TEXT NOT NULL, seq INTEGER NOT NULL,
    version INTEGER NOT NULL, type TEXT NOT NULL, event TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE snapshots (run TEXT PRIMARY KEY, seq INTEGER NOT NULL, version INTEGER NOT NULL,
    state TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE answers (user TEXT NOT NULL, key TEXT NOT NULL, command TEXT NOT NULL,
    result TEXT NOT NULL, at REAL NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (user, key))
    WITHOUT ROWID;
CREATE TABLE places (reader TEXT PRIMARY KEY, position INTEGER NOT NULL, checksum INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE ahead (reader TEXT NOT NULL, id TEXT NOT NULL, position INTEGER NOT NULL,
    checksum INTEGER NOT NULL, PRIMARY KEY (reader, id)) WITHOUT ROWID;
CREATE TABLE retired (run TEXT PRIMARY KEY, at REAL NOT NULL, checksum INTEGER NOT NULL)
    WITHOUT ROWID;
"""


@pytest.fixture
def old(tmp_path):
    """Make a journal of format 2 with a run of some events, and return that run."""
    path, driver = tmp_path / "journal.db", Driver()
    driver.go_to("BBB")
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(FORMAT_2)
        for number, event in enumerate(driver.events, start=1):
            kind, text = TYPES[type(event)], json.dumps(dump(event), ensure_ascii=False)
            checksum = zlib.crc32(f"{number}\n{RUN}\n{number}\n{kind}\n{text}".encode())
            row = (number, RUN, number, kind, text, checksum)
            db.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", row)
        db.commit()
    return path, driver


async def opened(path):
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.close()


def formats(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()[0]


def test_format_2_comes_up_to_date_with_all_that_is_in_it(old):
    """Records, epoch, answers and places are kept, and the file is sound."""
    path, driver = old

    async def read():
        journal = await SqliteJournal.open(path, RAILWAY)
        assert journal.epoch == "abc"
        events = [Record(n, RUN, n, event) for n, event in enumerate(driver.events, start=1)]
        assert await journal.read(0, 100) == events
        assert await journal.answers() == [StoredAnswer("u", "k", "c", "{}", 5.5)]
        assert await journal.read_place("notified") == ReaderPlace("notified", 2, {})
        assert await journal.read_place("flushed") == ReaderPlace("flushed", 3, {})
        await journal.close()

    asyncio.run(read())
    assert check_journal(path, RAILWAY, resume).faults == []
    asyncio.run(opened(path))


def test_format_1_comes_up_to_date_with_all_that_is_in_it(tmp_path):
    """Format 1 comes up to date through every later format."""
    path, driver = tmp_path / "journal.db", Driver()
    driver.go_to("BBB")
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(FORMAT_1)
        for number, event in enumerate(driver.events, start=1):
            kind, text = TYPES[type(event)], json.dumps(dump(event), ensure_ascii=False)
            db.execute(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?)", (number, RUN, number, kind, text)
            )
        db.commit()

    async def read():
        journal = await SqliteJournal.open(path, RAILWAY)
        assert journal.epoch == "abc"
        events = [Record(n, RUN, n, event) for n, event in enumerate(driver.events, start=1)]
        assert await journal.read(0, 100) == events
        assert await journal.read_place("flushed") == ReaderPlace("flushed", 3, {})
        await journal.commit(Commit(answers=[StoredAnswer("u", "k", "c", "{}", 5.5)]))
        await journal.close()

    asyncio.run(read())
    assert formats(path) == "5"
    assert check_journal(path, RAILWAY, resume).faults == []


def test_format_3_comes_up_to_date_with_all_that_is_in_it(tmp_path):
    """Its records are accepted without deeds; new records have deeds."""
    path, driver = tmp_path / "journal.db", Driver()
    driver.go_to("BBB")
    events = [Record(n, RUN, n, event) for n, event in enumerate(driver.events, start=1)]
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(FORMAT_3)
        for name, value in (("format", "3"), ("epoch", "abc")):
            checksum = zlib.crc32(f"meta\n{name}\n{value}".encode())
            db.execute("INSERT INTO meta VALUES (?, ?, ?)", (name, value, checksum))
        for record in events:
            kind = TYPES[type(record.event)]
            text = json.dumps(dump(record.event), ensure_ascii=False)
            row = (record.position, RUN, record.seq, 1, kind, text)
            checksum = zlib.crc32("\n".join(("records", *map(str, row))).encode())
            db.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, checksum))
        db.commit()
    deed = Deed("T1", Role.TTE, "10.1.2.3", "DEPART", "BBB")
    driver.depart("BBB")
    place = len(events) + 1
    events.append(Record(place, RUN, place, driver.events[-1], deed))

    async def go_on():
        journal = await SqliteJournal.open(path, RAILWAY)
        assert journal.epoch == "abc"
        await journal.commit(Commit(events[-1:]))
        assert await journal.read(0, 100) == events
        await journal.close()

    asyncio.run(go_on())
    assert formats(path) == "5"
    assert check_journal(path, RAILWAY, resume).faults == []


def test_a_crash_on_the_way_leaves_the_old_format(old, monkeypatch):
    """After a crash the file has the old format, and the next start repeats the step."""
    path, _ = old

    def and_crash(db, path):
        journal_formats._to_3(db, path)
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setitem(journal_formats._STEPS, "2", and_crash)
        with pytest.raises(MemoryError):
            asyncio.run(opened(path))
    assert formats(path) == "2"
    asyncio.run(opened(path))
    assert formats(path) == "5"


def test_a_damaged_record_is_not_brought_along(old):
    """A damaged record is refused by its number, and the file is left unchanged."""
    path, _ = old
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE records SET event = '{}' WHERE position = 2")
        db.commit()
    with pytest.raises(JournalFailed, match="record 2"):
        asyncio.run(opened(path))
    assert formats(path) == "2"


def test_check_reads_no_older_format(old):
    """A check changes nothing, so it only reports an older format."""
    path, _ = old
    assert check_journal(path, RAILWAY, resume).faults == ["it has format 2, this trainhub reads 5"]
    assert formats(path) == "2"
