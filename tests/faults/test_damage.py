"""Damaged journals, cut anywhere or with any bit flipped: the hub reports what it cannot use."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hub_process import ROOT
from load import Fleet, kill_later, seeded
from railway import MORNING, RUN, TRAIN, Driver

from trainhub.adapters.journal_check import check_journal
from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.core.journal import Commit, JournalFailed, ReaderPlace, Record, Retired, StoredAnswer
from trainhub.domain import commands as c
from trainhub.domain.snapshot import resume, snapshot_of
from trainhub.hub.vocabulary import RAILWAY

# Bytes between two cuts of a journal's end.
CUT_STEP = int(os.environ.get("CUT_STEP", "7"))
FLIPS = int(os.environ.get("FLIPS", "300"))
KIND = re.compile(r"record|the (write-ahead log|structure|log|snapshot)|\w+")
NAMES = ("journal.db", "journal.db-wal")
# What the start and `check` both say of a torn tail.
TORN = "not a whole commit"


async def contents(path):
    """Return all that a hub would read from a journal."""
    journal = await SqliteJournal.open(path, RAILWAY)
    try:
        records = await journal.read(0, 10**6)
        runs = dict.fromkeys(record.stream for record in records)
        snapshots = [each for run in runs if (each := await journal.snapshot(run)) is not None]
        return (
            *(journal.epoch, journal.head, records),
            *(snapshots, await journal.retired(), await journal.answers()),
            *[await journal.read_place(reader) for reader in ("delivered", "notified", "flushed")],
        )
    finally:
        await journal.close()


@pytest.fixture
def copy():
    """A folder for copies, in memory if possible: these tests need no fsync."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def lay(folder, files):
    """Put the files into an empty folder; return the journal's path."""
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / "journal.db"


def attempt(path):
    """Return the contents, or the message with which the journal is refused."""
    try:
        return asyncio.run(contents(path)), None
    except JournalFailed as error:
        return None, str(error)


def torn(caplog):
    return [r.getMessage() for r in caplog.records if TORN in r.getMessage()]


@pytest.fixture
def growing(tmp_path):
    """Return a crashed journal's two files, with the log's length and the head at each commit."""

    async def grow():
        path, driver = tmp_path / "grown" / "journal.db", Driver()
        path.parent.mkdir()
        journal = await SqliteJournal.open(path, RAILWAY)
        driver.start()
        log, ends = path.with_name(NAMES[1]), []
        for commit in range(12):
            events = driver.events[journal.head :] + [
                event
                for number in range(1 + commit % 4)
                for event in driver.give(c.Announce(**TRAIN, text=f"{commit} " + "x" * 99 * number))
            ]
            first = journal.head + 1
            await journal.commit(
                Commit([Record(n, RUN, n, event) for n, event in enumerate(events, start=first)])
            )
            ends.append((log.stat().st_size, journal.head))
        files = {name: path.with_name(name).read_bytes() for name in NAMES}
        await journal.close()
        return files, ends

    return asyncio.run(grow())


@pytest.mark.sized
def test_a_journal_cut_at_every_byte_of_its_end(growing, copy, caplog, capsys):
    """Every complete commit before the cut is there, and the log says how much was dropped."""
    files, ends = growing
    whole = files[NAMES[1]]
    cuts = {
        *range(len(whole) - 4096, len(whole), CUT_STEP),
        *range(len(whole) - 65536, len(whole), 61 * CUT_STEP),
    }
    said = 0
    for cut in sorted(cut for cut in cuts if cut >= ends[0][0]):
        caplog.clear()
        path = lay(copy, {**files, NAMES[1]: whole[:cut]})
        found = asyncio.run(contents(path))
        end, head = max(each for each in ends if each[0] <= cut)
        assert found[1] == head, cut
        assert [record.position for record in found[2]] == list(range(1, head + 1)), cut
        assert [f"last {cut - end} bytes" in line for line in torn(caplog)] == [True] * (cut > end)
        said += cut > end
    with capsys.disabled():
        print(f"\ncut at {len(cuts)} places: no whole commit missing, {said} torn tails said")


def test_a_file_that_lost_its_last_pages_is_refused(growing, copy):
    """Commits that moved from the write-ahead log to the database file are lost by a cut there."""
    path = lay(copy, growing[0])
    asyncio.run(contents(path))  # moves the write-ahead log into the database file
    whole = path.read_bytes()
    for cut in range(len(whole) - 4096, len(whole), 17):
        path = lay(copy, {NAMES[0]: whole[:cut]})
        assert check_journal(path, RAILWAY, resume).faults, cut
        with pytest.raises(JournalFailed):
            asyncio.run(contents(path))


@pytest.fixture
def left_by_a_crash(start_hub, unused_port, tmp_path):
    """Return the two journal files of a killed hub, with rows in every table."""
    fleet = Fleet(4, seeded()[0])
    hub = start_hub("--mongodb-uri", f"mongodb://127.0.0.1:{unused_port}", "--new")
    fleet.begin(hub)
    fleet.drive(hub, kill_later(hub, 0.3))
    hub.wait()
    path = hub.folder / NAMES[0]

    async def fill():
        """Add rows that a young hub lacks; the last commits stay in the write-ahead log."""
        journal = await SqliteJournal.open(path, RAILWAY)
        driver = Driver()
        driver.start()
        records = [
            Record(journal.head + n, RUN, n, event) for n, event in enumerate(driver.events, 1)
        ]
        await journal.commit(Commit(records, snapshots={RUN: snapshot_of(driver.state)}))
        place = ReaderPlace("notified", 5, {"a-job": 7, "another": 8})
        await journal.commit(Commit(places=[place], retired=[Retired("30003/2026-11-23", 4, 1.0)]))
        await journal.trim(3)
        for number in range(3):
            answer = StoredAnswer("u", f"k{number}", "c", "{}", MORNING.timestamp())
            await journal.commit(Commit(answers=[answer]))
        kept = tmp_path / "kept"
        kept.mkdir()
        for name in NAMES:
            shutil.copy(path.with_name(name), kept)
        await journal.close()
        return {name: (kept / name).read_bytes() for name in NAMES}

    return asyncio.run(fill())


@pytest.mark.sized
def test_a_flipped_bit_is_never_believed(left_by_a_crash, copy, caplog, capsys):
    """The start and `check` notice each flipped bit, except bits in unused space."""
    (seed, chance), files = seeded(), left_by_a_crash
    sound = asyncio.run(contents(lay(copy, files)))
    assert all(sound[2:]), "every table has something to damage"
    kinds, harmless = Counter(), 0
    while kinds.total() < FLIPS:
        place = chance.randrange(sum(map(len, files.values())))
        name = NAMES[place >= len(files[NAMES[0]])]
        place -= len(files[NAMES[0]]) * (name == NAMES[1])
        broken = bytearray(files[name])
        broken[place] ^= 1 << chance.randrange(8)
        path = lay(copy, {**files, name: bytes(broken)})
        finding, where = check_journal(path, RAILWAY, resume), (seed, name, place)
        caplog.clear()
        found, refusal = attempt(path)
        if refusal is not None:
            assert finding.faults, where
            assert f"the journal {path}" in refusal, where
            assert "\n" not in refusal, where
            kinds[KIND.match(refusal)[0]] += 1
        elif torn(caplog):
            assert any(TORN in line for line in finding.lines), where
            kinds["torn tail"] += 1
        else:
            assert found == sound, where
            harmless += 1
    noticed = kinds.total()
    with capsys.disabled():
        print(f"\n{noticed} flipped bits noticed, seed {seed}: {dict(kinds)};")
        print(f"{harmless} more were in bytes that hold nothing; believed: 0")


def flipped(path, place, bits=0x80):
    """Return a file's bytes with some bits of one byte flipped."""
    content = bytearray(path.read_bytes())
    content[place] ^= bits
    return bytes(content)


def test_any_byte_of_the_first_page_is_refused_in_words_or_does_no_harm(left_by_a_crash, copy):
    """SQLite may quote a damaged table definition, in bytes that are not UTF-8.

    The start and `check` report that like any other damage.
    """
    (seed, chance), files = seeded(), left_by_a_crash
    asyncio.run(contents(lay(copy, files)))  # moves the write-ahead log into the database file
    whole = (copy / NAMES[0]).read_bytes()
    refused = 0
    for place in sorted(chance.sample(range(4096), min(FLIPS, 500))):
        (copy / NAMES[0]).write_bytes(whole)
        path = lay(copy, {NAMES[0]: flipped(copy / NAMES[0], place)})
        finding, (found, refusal) = check_journal(path, RAILWAY, resume), attempt(path)
        "\n".join((*finding.lines, *finding.faults)).encode()
        assert found is not None or (refusal and finding.faults), (seed, place)
        refused += found is None
    assert refused > min(FLIPS, 500) // 8


def test_a_damaged_table_definition_is_one_line_and_exit_code_3(start_hub):
    """At any byte the hub and `check` print one line and exit with 3, without a traceback."""
    hub = start_hub()
    assert hub.stop() == 0
    path = hub.folder / NAMES[0]
    whole = path.read_bytes()
    definition = whole.index(b"CREATE TABLE records")
    for place in (definition - 5, definition + 3, definition + 14, definition + 60, 18, 40, 105):
        path.write_bytes(whole)
        path.write_bytes(flipped(path, place))
        command = [sys.executable, str(ROOT / "run.py"), "check", str(hub.folder)]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        started = start_hub(folder=hub.folder, wait=False)
        if started.listens():
            assert started.stop() == 0, place
        else:
            assert started.wait() == 3, place
            assert checked.returncode == 3, place
        assert checked.returncode in (0, 3), place
        assert "Traceback" not in "".join(started.logged) + checked.stderr, place
