"""trainhub/adapters/sqlite_journal.py: what was committed is there again, after every fault."""

import asyncio
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from notices import notice
from railway import MORNING, RUN, TRAIN, Driver
from voyage import voyages

from trainhub.adapters.journal_check import check_journal
from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.core.journal import Commit, JournalFailed, ReaderPlace, Record, Retired, StoredAnswer
from trainhub.core.ledger import Ledger, WaysNoted
from trainhub.core.notifications import Outcome, Told
from trainhub.core.stream import NO_STREAM
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.model import Level, RunKey
from trainhub.domain.snapshot import PassengerThen, resume, snapshot_of
from trainhub.domain.train import fold
from trainhub.hub.vocabulary import RAILWAY

OTHER_RUN = RunKey("54321/2026-11-23")


def announcement(text):
    return e.Announcement(at=MORNING, text=text, level=Level.INFO, audience_=c.To.EVERYONE)


def records(first, last, run=RUN):
    return [
        Record(position, run, position, announcement(f"number {position}"))
        for position in range(first, last + 1)
    ]


def change(path, *statements):
    """Change the file while the journal has it open."""
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


async def contents(path):
    """Return all that a journal holds, with its head."""
    journal = await SqliteJournal.open(path, RAILWAY)
    try:
        return await journal.read(0, 10**6), journal.head
    finally:
        await journal.close()


async def refused(path):
    """Return the message that refuses the journal: one line, with the file's name."""
    with pytest.raises(JournalFailed) as caught:
        await contents(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


# --- what is kept ---------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_write_ahead_log_and_full_synchronous(path):
    """WAL, and FULL (2): with NORMAL a power cut takes the last commits."""
    journal = await SqliteJournal.open(path, RAILWAY)
    pragma = {
        name: await journal._on_thread(
            lambda name=name: journal._db.execute(f"PRAGMA {name}").fetchone()[0]
        )
        for name in ("journal_mode", "synchronous")
    }
    await journal.close()
    assert pragma == {"journal_mode": "wal", "synchronous": 2}


@pytest.mark.gen_test
async def test_every_type_of_event_comes_back_as_it_was(path):
    """Every type of event and every script is read as it was written."""
    other = RunKey("54321/2026-11-23")
    at_the_end, cancelled = voyages()
    for text in ('zwölf "Züge" \\ / \n', "गाड़ी संख्या 12345", "🚆", "<b>&amp;</b>"):
        cancelled.give(c.Announce(**TRAIN, text=text))
    cancelled.give(
        c.Announce(**TRAIN, text="you", to=c.To.USER, user="IR_1", level=Level.EMERGENCY)
    )
    written = [
        Record(position, run, seq, event)
        for position, (run, seq, event) in enumerate(
            (
                (run, seq, event)
                for run, driver in ((RUN, at_the_end), (other, cancelled))
                for seq, event in enumerate(driver.events, start=1)
            ),
            start=1,
        )
    ]
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(written))
    await journal.close()
    found, _ = await contents(path)
    assert found == written
    for run, driver in ((RUN, at_the_end), (other, cancelled)):
        state = fold(run, [record.event for record in found if record.stream == run])
        assert vars(state).keys() == vars(driver.state).keys()
        for part in ("seq", "passengers", "offers", "freed", "upgrades", "waiting"):
            assert getattr(state, part) == getattr(driver.state, part)


@pytest.mark.gen_test
async def test_read_gives_so_many_after_a_position_in_order(path):
    """At most `limit` records above `after`; none past the head."""
    journal = await SqliteJournal.open(path, RAILWAY)
    assert await journal.read(0, 10) == []
    first, second = records(1, 5), records(6, 9, OTHER_RUN)
    await journal.commit(Commit(first))
    await journal.commit(Commit(second))
    assert await journal.read(0, 100) == first + second
    assert await journal.read(0, 3) == first[:3]
    assert await journal.read(4, 3) == (first + second)[4:7]
    assert await journal.read(9, 3) == []
    await journal.close()


@pytest.mark.gen_test
async def test_the_head_is_the_last_position_on_disk(path):
    """The head is 0 in a new journal, else that of the last commit, also when reopened."""
    journal = await SqliteJournal.open(path, RAILWAY)
    assert journal.head == 0
    await journal.commit(Commit(records(1, 3)))
    assert journal.head == 3
    await journal.close()
    journal = await SqliteJournal.open(path, RAILWAY)
    assert journal.head == 3
    await journal.close()


@pytest.mark.gen_test
async def test_the_epoch_names_the_file(path, tmp_path):
    """A file keeps its epoch, and another file has another."""
    epochs = []
    for file in (path, path, tmp_path / "other.db"):
        journal = await SqliteJournal.open(file, RAILWAY)
        epochs.append(journal.epoch)
        await journal.close()
    assert epochs[0] == epochs[1] != epochs[2]
    assert all(len(epoch) >= 16 for epoch in epochs)


@pytest.mark.gen_test
async def test_each_reader_has_its_place(path):
    """A reader's place is 0 at first, then what was last saved, also when reopened."""
    journal = await SqliteJournal.open(path, RAILWAY)
    assert await journal.read_place("a") == ReaderPlace("a", 0, {})
    await journal.commit(Commit(records(1, 9)))
    for reader, position in (("a", 5), ("b", 7), ("a", 6)):
        await journal.commit(Commit(places=[ReaderPlace(reader, position, {})]))
    await journal.close()
    journal = await SqliteJournal.open(path, RAILWAY)
    assert await journal.read_place("a") == ReaderPlace("a", 6, {})
    assert await journal.read_place("b") == ReaderPlace("b", 7, {})
    await journal.close()


@pytest.mark.gen_test
async def test_what_a_reader_has_done_beyond_its_place(path):
    """Ids are kept until the place has passed their records."""
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(records(1, 9)))
    await journal.commit(Commit(places=[ReaderPlace("a", 2, {"x": 4, "y": 5})]))
    await journal.commit(Commit(places=[ReaderPlace("a", 2, {"z": 6})]))
    assert await journal.read_place("a") == ReaderPlace("a", 2, {"x": 4, "y": 5, "z": 6})
    await journal.commit(Commit(places=[ReaderPlace("a", 5, {})]))
    assert await journal.read_place("a") == ReaderPlace("a", 5, {"z": 6})
    await journal.close()


@pytest.mark.gen_test
async def test_a_journal_that_ends_before_what_was_read_of_it(path):
    """A reader's place beyond the head is refused: records are missing."""
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(records(1, 9), places=[ReaderPlace("flushed", 9, {})]))
    await journal.close()
    change(path, "DELETE FROM records WHERE position > 7")
    assert "ends before what was flushed" in await refused(path)


# --- snapshots and trimming -----------------------------------------------------------------


def a_day():
    """Return a run's records, with a snapshot after two thirds of them."""
    driver = Driver()
    driver.go_to("CCC")
    driver.no_show(3)
    middle, snapshot = len(driver.events), snapshot_of(driver.state)
    driver.go_to("EEE")
    days = [Record(n, RUN, n, event) for n, event in enumerate(driver.events, start=1)]
    return driver, days, middle, snapshot


@pytest.mark.gen_test
async def test_a_snapshot_stands_for_what_was_trimmed(path):
    """The first record, the snapshot and later records lead to the state."""
    driver, days, middle, snapshot = a_day()
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(days[:middle]))
    await journal.commit(Commit(days[middle:], snapshots={RUN: snapshot}))
    assert await journal.unfolded(0, 100, 0) == [days[0], *days[middle:]]
    assert await journal.unfolded(0, 100, len(days)) == days
    await journal.trim(middle)
    assert journal.trimmed == middle
    await journal.close()
    journal = await SqliteJournal.open(path, RAILWAY)
    assert journal.head == len(days)
    assert await journal.read(0, 100) == [days[0], *days[middle:]]
    (first, *later) = await journal.unfolded(0, 100, 100)
    state = resume(RUN, first.event, await journal.snapshot(RUN))
    for record in later:
        state.evolve(record.event)
    assert state.passengers == driver.state.passengers
    assert state.seq == driver.state.seq
    await journal.close()


@pytest.mark.gen_test
async def test_the_ledger_is_trimmed_with_the_events(path):
    """Its records are of no stream, so none of them stays as a run's first record does."""
    _, days, _, snapshot = a_day()
    noted = WaysNoted(MORNING, (Ledger().tell(Told(notice(), Outcome.QUEUED, 0, MORNING)),))
    last = Record(len(days) + 1, NO_STREAM, 0, noted)
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit([*days, last], snapshots={RUN: snapshot}))
    assert (await journal.unfolded(0, 100, 1))[-1] == last
    assert check_journal(path, RAILWAY, resume).faults == []
    await journal.trim(last.position)
    assert await journal.read(0, 100) == days[:1]
    assert check_journal(path, RAILWAY, resume).faults == []
    await journal.close()


@pytest.mark.gen_test
async def test_positions_go_on_after_all_was_trimmed(path):
    """The head stays when no record is left, and the next record follows it."""
    journal = await SqliteJournal.open(path, RAILWAY)
    at_first = journal.size
    await journal.commit(Commit(records(1, 5000)))
    grown = journal.size
    await journal.commit(Commit(retired=[Retired(RUN, 1, 1.0)]))
    await journal.trim(5000)
    assert await journal.read(0, 10) == []
    assert at_first <= journal.size < grown / 10
    await journal.close()
    journal = await SqliteJournal.open(path, RAILWAY)
    assert journal.head == 5000
    assert await journal.retired() == {RUN: 1.0}
    await journal.commit(Commit(records(5001, 5002, OTHER_RUN)))
    await journal.close()
    assert await contents(path) == (records(5001, 5002, OTHER_RUN), 5002)


@pytest.mark.gen_test
async def test_trimming_again_gives_room_to_what_comes(path):
    """The file does not grow while as much is trimmed as is added."""
    journal = await SqliteJournal.open(path, RAILWAY)
    sizes = []
    for first in range(1, 20_001, 1_000):
        await journal.commit(Commit(records(first, first + 999)))
        await journal.trim(first)
        sizes.append(path.stat().st_size)
    await journal.close()
    assert max(sizes) < 1_000_000 < 20_000 * 150  # what all of them would take at the least


@pytest.mark.gen_test
async def test_a_retired_run_is_not_loaded(path):
    """Its name is there until it is forgotten; its first record goes, trimmed already or not."""
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(records(1, 3)))
    await journal.commit(Commit([Record(4, OTHER_RUN, 1, announcement("x"))]))
    await journal.trim(2)
    await journal.commit(Commit(retired=[Retired(RUN, 1, 7.0)]))
    assert [r.position for r in await journal.read(0, 10)] == [3, 4]
    assert [r.position for r in await journal.unfolded(0, 10, 10)] == [4]
    await journal.commit(Commit(retired=[Retired(OTHER_RUN, 4, 8.0)]))
    await journal.trim(4)
    assert await journal.read(0, 10) == []
    await journal.prune(0, 8.0)
    assert await journal.retired() == {OTHER_RUN: 8.0}
    await journal.close()


def bytes_read():
    """Return the bytes that this process has read from files, from a disk or from memory."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise AssertionError("no count of what was read")


@pytest.mark.gen_test
async def test_a_start_reads_its_file_a_few_times_over_however_large_the_states_are(path):
    """MongoDB was away for a day: every record is there, and a snapshot stands for almost all.

    A look-up in `snapshots` for each record would read megabytes of states for each.
    """
    journal = await SqliteJournal.open(path, RAILWAY)
    runs = [RunKey(f"{10_000 + number}/2026-11-23") for number in range(40)]
    wide = dataclasses.replace(
        snapshot_of(Driver().state), seq=50, passengers=(_someone("x" * 200_000),), holds=()
    )
    for seq in range(1, 51):
        place = 40 * (seq - 1)
        event = announcement("day")
        await journal.commit(
            Commit([Record(place + n, run, seq, event) for n, run in enumerate(runs, start=1)])
        )
    await journal.commit(Commit(snapshots=dict.fromkeys(runs, wide)))
    await journal.close()
    before = bytes_read()
    journal = await SqliteJournal.open(path, RAILWAY)
    found = await journal.unfolded(0, 5_000, 10)
    assert [record.seq for record in found] == [1] * 40 + [50] * 10
    for run in runs:
        assert await journal.snapshot(run) == wide
    await journal.close()
    assert bytes_read() - before < 8 * path.stat().st_size


def _someone(person):
    return PassengerThen(
        person=person,
        from_="AAA",
        status="CNF",
        coach=None,
        berth=None,
        state="DUE",
        marked_nt_at=None,
        boarding_changed=False,
        upgraded_from=None,
    )


@pytest.mark.gen_test
async def test_long_events_are_read_a_few_at_a_time(path, monkeypatch):
    """A start holds a bounded amount of events at once, and reads all."""
    monkeypatch.setattr("trainhub.adapters.sqlite_journal.CHUNK", 10_000)
    journal = await SqliteJournal.open(path, RAILWAY)
    written = [Record(n, RUN, n, announcement("x" * 3_000)) for n in range(1, 12)]
    await journal.commit(Commit(written))
    found, sizes = [], []
    while more := await journal.unfolded(len(found), 100, 100):
        found += more
        sizes.append(len(more))
    await journal.close()
    assert found == written
    assert sizes == [4, 4, 3]


@pytest.mark.gen_test
async def test_answers_that_made_room_are_gone(path):
    """A commit deletes the answers that it names; a new one under the same key stays."""
    journal = await SqliteJournal.open(path, RAILWAY)
    first = [StoredAnswer("u", key, "c", "{}", 1.0) for key in ("a", "b", "c")]
    await journal.commit(Commit(answers=first))
    again = StoredAnswer("u", "b", "c", "{}", 2.0)
    await journal.commit(Commit(answers=[again], gone=[("u", "a"), ("u", "b"), ("v", "c")]))
    await journal.close()
    journal = await SqliteJournal.open(path, RAILWAY)
    assert await journal.answers() == [first[2], again]
    await journal.close()


@pytest.mark.gen_test
async def test_a_record_that_is_missing(path):
    """Opening a journal finds a gap in the positions."""
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(records(1, 9)))
    await journal.close()
    change(path, "DELETE FROM records WHERE position = 4")
    assert "records are missing" in await refused(path)


@pytest.mark.gen_test
async def test_a_commit_is_there_whole_or_not_at_all(path):
    """If one record cannot be written, none of the commit's records is stored."""
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(records(1, 2)))
    with pytest.raises(JournalFailed):
        await journal.commit(Commit([*records(3, 4), *records(2, 2)]))
    assert journal.head == 2
    assert [record.position for record in await journal.read(0, 10)] == [1, 2]
    await journal.close()
    assert await contents(path) == (records(1, 2), 2)


@pytest.mark.gen_test
async def test_what_is_not_committed_is_seen_by_nobody_else(path):
    """Another process sees a whole commit or nothing of it."""
    journal = await SqliteJournal.open(path, RAILWAY)
    seen = {0}
    stop = threading.Event()

    def look():
        db = sqlite3.connect(path)
        while not stop.is_set():
            seen.add(db.execute("SELECT count(*) FROM records").fetchone()[0])
        db.close()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for first in range(1, 4001, 400):
            await journal.commit(Commit(records(first, first + 399)))
    finally:
        stop.set()
        looking.join()
        await journal.close()
    assert all(count % 400 == 0 for count in seen)


# --- the loop goes on -----------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_commit_never_blocks_the_loop(path):
    """The loop goes on while a slow disk commits."""
    journal = await SqliteJournal.open(path, RAILWAY)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")  # now a commit has to wait, within SQLite
    commit = asyncio.ensure_future(journal.commit(Commit(records(1, 1))))
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert not commit.done()
    assert journal.head == 0
    blocker.execute("COMMIT")
    blocker.close()
    await commit
    assert journal.head == 1
    await journal.close()


@pytest.mark.gen_test
async def test_every_call_runs_on_the_journal_s_own_thread(path, monkeypatch):
    """One thread, which is not the loop's, touches the file."""
    threads = set()
    for name in ("_open", "_commit", "_read", "_unfolded", "_read_place", "_trim"):
        real = getattr(SqliteJournal, name)

        def spy(self, *args, real=real):
            threads.add(threading.get_ident())
            return real(self, *args)

        monkeypatch.setattr(SqliteJournal, name, spy)
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(records(1, 1)))
    await journal.read(0, 1)
    await journal.unfolded(0, 1, 1)
    await journal.read_place("a")
    await journal.trim(1)
    await journal.close()
    assert len(threads) == 1
    assert threading.get_ident() not in threads


@pytest.mark.gen_test
async def test_closing_leaves_no_thread(path):
    """A closed journal leaves no thread, nor does a journal that could not be opened."""
    before = set(threading.enumerate())
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.close()
    path.write_bytes(b"no database" * 1000)
    await refused(path)
    # A thread of an earlier test may end meanwhile.
    assert set(threading.enumerate()) <= before


# --- what cannot be used --------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_file_that_is_no_database(path):
    """A file that is not a database is refused and not changed."""
    path.write_bytes(b"this is a letter\n" * 500)
    assert "file is not a database" in await refused(path)
    assert path.read_bytes() == b"this is a letter\n" * 500


@pytest.mark.gen_test
async def test_a_format_of_a_newer_hub(path):
    """The message has both formats and the hub to use; that hub can open the file again."""
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.close()
    change(path, "UPDATE meta SET value = '6' WHERE name = 'format'")
    message = await refused(path)
    assert "has format 6, this hub reads 5" in message
    assert "use the version of trainhub that wrote it" in message
    change(path, "UPDATE meta SET value = '5' WHERE name = 'format'")
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.close()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "damage",
    [
        "event = 'no JSON'",
        "event = '[]'",
        "event = '{}'",
        "event = substr(event, 1, 20)",
        "event = replace(event, 'INFO', 'GOSSIP')",
        "type = 'NO_SUCH_EVENT'",
        "event = CAST(x'80ff' AS TEXT)",
    ],
)
async def test_a_record_that_is_damaged(path, damage):
    """A damaged record stops the hub, as later records cannot be trusted."""
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(records(1, 3)))
    await journal.close()
    change(path, f"UPDATE records SET {damage} WHERE position = 2")
    message = await refused(path)
    assert "record 2 of the journal" in message
    assert "restore the data folder from a copy" in message


@pytest.mark.gen_test
async def test_a_page_that_is_damaged(path):
    """Lost bytes are found when they are read."""
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(records(1, 2000)))
    await journal.close()
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 5)
    await refused(path)


@pytest.mark.gen_test
async def test_a_table_s_definition_that_is_damaged(path):
    """SQLite quotes it on many lines; the reason is still one line."""
    await _make(path)
    change(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, 'TEXT PRIMARY', 'TEXT \"IMARY')"
        " WHERE name = 'retired'",
    )
    with pytest.raises(JournalFailed) as raised:
        await SqliteJournal.open(path, RAILWAY)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    (fault, *_) = check_journal(path, RAILWAY, resume).faults
    assert "\n" not in fault


@pytest.mark.gen_test
async def test_a_folder_in_the_file_s_place(path):
    """A folder in the file's place is refused."""
    path.mkdir()
    assert "unable to open" in await refused(path)


@pytest.mark.gen_test
async def test_a_folder_that_is_not_there(tmp_path):
    """The journal makes its file, but no folder."""
    assert "unable to open" in await refused(tmp_path / "missing" / "journal.db")


NOBODY = """
import asyncio, os, sys
from pathlib import Path
from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.hub.vocabulary import RAILWAY

async def main():
    await SqliteJournal.open(Path(sys.argv[1]), RAILWAY)
    print("opened")

if os.geteuid() == 0:  # no mode holds root back
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    asyncio.run(main())
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_that_is_read_only(is_there):
    """In a read-only folder neither a new nor an existing journal can be opened."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        path = folder / "journal.db"
        if is_there:
            asyncio.run(_make(path))
            path.chmod(0o444)
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", NOBODY, str(path)], capture_output=True, text=True, check=True
        )
        folder.chmod(0o755)
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"JournalFailed the journal {path} failed: ")


async def _make(path):
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(records(1, 3)))
    await journal.close()


@pytest.mark.gen_test
async def test_a_disk_that_is_full(path):
    """A commit that does not fit fails, and nothing of it is stored."""
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(records(1, 3)))
    await journal._on_thread(lambda: journal._db.execute("PRAGMA max_page_count=10"))
    with pytest.raises(JournalFailed, match="full") as caught:
        await journal.commit(Commit(records(4, 3000)))
    assert "\n" not in str(caught.value)
    assert journal.head == 3
    assert len(await journal.read(0, 5000)) == 3
    await journal.close()
    assert await contents(path) == (records(1, 3), 3)


# --- killed ---------------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from pathlib import Path
from test_sqlite_journal import records
from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.core.journal import Commit
from trainhub.hub.vocabulary import RAILWAY

async def main():
    journal = await SqliteJournal.open(Path(sys.argv[1]), RAILWAY)
    while True:
        size = 1 + journal.head % 17
        await journal.commit(Commit(records(journal.head + 1, journal.head + size)))
        print(journal.head, flush=True)

asyncio.run(main())
"""


def killed_writer(path, least):
    """Return the heads that a process reported before kill -9 hit it, at least `least` of them."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(Path(__file__).parent)]),
        },
    )
    lines = [writer.stdout.readline() for _ in range(least)]
    writer.send_signal(signal.SIGKILL)
    lines += writer.stdout.readlines()
    writer.wait()
    writer.stdout.close()
    return [int(line) for line in lines if line.endswith("\n")]


def test_what_was_reported_survives_kill_9(path):
    """After kill -9 in the middle of commits each reported commit is there."""
    head = 0
    for least in (1, 60, 25):
        reported = killed_writer(path, least)
        assert reported[0] > head
        found, head = asyncio.run(contents(path))
        assert head >= reported[-1]
        assert found == records(1, head)


# --- answers ------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_an_answer_is_in_the_same_commit_as_its_events(path):
    """An answer and its events are stored together; answers come oldest first."""
    journal = await SqliteJournal.open(path, RAILWAY)
    answers = [StoredAnswer("u", f"k{n}", "c", '{"seq": 1}', float(n)) for n in (3, 1, 2)]
    await journal.commit(Commit([Record(1, RUN, 1, Driver().events[0])], answers))
    taken = [Record(1, RUN, 2, Driver().start()[0])]
    with pytest.raises(JournalFailed):  # position 1 is taken, so nothing of this is kept
        await journal.commit(Commit(taken, [StoredAnswer("u", "k9", "c", "{}", 9.0)]))
    await journal.close()
    journal = await SqliteJournal.open(path, RAILWAY)
    assert [answer.key for answer in await journal.answers()] == ["k1", "k2", "k3"]
    assert (await journal.answers())[0] == answers[1]
    await journal.prune(2.0, 0)
    assert [answer.key for answer in await journal.answers()] == ["k2", "k3"]
    await journal.close()


@pytest.mark.gen_test
async def test_an_answer_alone_can_be_kept(path):
    """The answer of a command without events is stored."""
    journal = await SqliteJournal.open(path, RAILWAY)
    await journal.commit(Commit(answers=[StoredAnswer("u", "k", "c", "{}", 1.0)]))
    assert journal.head == 0
    assert len(await journal.answers()) == 1
    await journal.close()
