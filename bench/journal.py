"""Measure the journal: bytes of an event, snapshots, commits, and the time of a start.

Run it as `python bench/journal.py` from the checkout. Times are of this machine; ratios say more.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.core.codec import dump
from trainhub.core.journal import Commit, Record
from trainhub.demo.timetable import DEMO_TIMETABLE, make_chart, read_timetable
from trainhub.domain import commands as c
from trainhub.domain.chart import read_chart
from trainhub.domain.snapshot import snapshot_of
from trainhub.domain.train import TrainState
from trainhub.hub.vocabulary import RAILWAY

TRAINS, PEOPLE = 1_000, 200
# Opens a journal on the morning of its day.
STARTER = Path(__file__).with_name("start.py")
DAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 0, 30, tzinfo=UTC)


def runs():
    """Make a thousand runs with two hundred passengers each, at their first station."""
    trains = read_timetable(DEMO_TIMETABLE)
    for number in range(TRAINS):
        train = trains[number % len(trains)]
        made = make_chart(train, DAY, seed=number, passengers=PEOPLE)
        chart, *_ = read_chart({**made, "trainNo": str(10_000 + number)})
        state = TrainState(chart.run)
        events = state.carry_out(c.RegisterTrain(train_no=chart.train_no, chart=chart), NOW)
        events += state.carry_out(c.StartJourney(train_no=chart.train_no), NOW)
        yield state, events


def marked(state):
    """Make a mark for each passenger of the first station, and announcements up to 200 events."""
    events = []
    train = {"train_no": state.chart.train_no}
    for number, person in enumerate(list(state.boarding_at[0])):
        booking = state.passengers[person].booking
        who = {**train, "pnr": booking.pnr, "index": booking.index}
        kind = c.MarkNoShow if number % 10 == 9 else c.MarkBoarded
        events += state.carry_out(kind(**who), NOW)
    while len(events) < 200:
        events += state.carry_out(c.Announce(**train, text="We are running a little late."), NOW)
    return events


async def write(folder):
    """Measure a journal without snapshots, and then with a snapshot of each run."""
    journal = await SqliteJournal.open(folder / "journal.db", RAILWAY)
    states, marks, bytes_before = [], 0, 0
    for state, events in runs():
        await commit(journal, state, events)
        states.append(state)
    bytes_before = journal.size
    for state in states:
        events = marked(state)
        marks += len(events)
        await commit(journal, state, events)
    each = (journal.size - bytes_before) / marks
    print(f"{marks} events of {TRAINS} runs: {each:.0f} bytes an event in the journal")
    print(f"a chart of {PEOPLE} passengers: {bytes_before / TRAINS / 1024:.1f} KB")
    return journal, states


async def commit(journal, state, events):
    first, seq = journal.head + 1, state.seq - len(events)
    records = [Record(first + n, state.run, seq + n + 1, e) for n, e in enumerate(events)]
    await journal.commit(Commit(records))


def start(folder, what):
    """Start from the journal as the hub does, in a process of its own."""
    command = [sys.executable, STARTER, "--open", folder / "journal.db"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(f"start {what}: {told.strip()}")


async def commits(folder):
    """Measure the time of commits of a given number of records."""
    journal = await SqliteJournal.open(folder / "commits.db", RAILWAY)
    state, _ = next(runs())
    event = state.carry_out(c.Announce(train_no=state.chart.train_no, text="x" * 30), NOW)[0]
    for count in (1, 10, 100, 1_000):
        times = []
        for _ in range(100):
            first = journal.head + 1
            records = [Record(first + n, state.run, first + n, event) for n in range(count)]
            begin = time.perf_counter()
            await journal.commit(Commit(records))
            times.append((time.perf_counter() - begin) * 1e3)
        times.sort()
        print(f"commit of {count:5} records: median {statistics.median(times):6.2f} ms, "
              f"p99 {times[98]:6.2f} ms")  # fmt: skip
    await journal.close()


def snapshots(states):
    """Measure the work of a snapshot, in the loop and in the journal's thread."""

    def dumped(state):
        return dump(snapshot_of(state))

    for name, function in (("taken", snapshot_of), ("taken and dumped", dumped)):
        times = []
        for state in states[:200]:
            begin = time.perf_counter()
            function(state)
            times.append((time.perf_counter() - begin) * 1e3)
        print(f"snapshot {name}: median {statistics.median(times):.2f} ms, max {max(times):.2f}")


async def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal, states = await write(folder)
        await journal.close()
        snapshots(states)
        start(folder, "folding all")
        journal = await SqliteJournal.open(folder / "journal.db", RAILWAY)
        before = journal.size
        for state in states:
            await journal.commit(Commit(snapshots={state.run: snapshot_of(state)}))
        print(f"a snapshot: {(journal.size - before) / TRAINS / 1024:.1f} KB")
        await journal.trim(journal.head - 20_000)
        print(f"trimmed: {before / 2**20:.0f} MB before, {journal.size / 2**20:.0f} MB after")
        await journal.close()
        start(folder, "from snapshots")
        await commits(folder)


if __name__ == "__main__":
    print(f"{TRAINS} trains of {PEOPLE} passengers, Python {sys.version[:6]}")
    asyncio.run(main())
