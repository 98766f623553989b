"""Measure a start after a day without MongoDB, so that the journal has every record.

Run it as `python bench/start.py [RECORDS …]` from the checkout. Each journal is opened in a
separate process. A start is linear if the seconds for 100,000 records do not grow with the journal.
Times are of this machine, and CPU time where it says so.
"""

import asyncio
import gc
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from built import build_of_fakes

from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.core.journal import Commit, Record
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.chart import read_chart
from trainhub.domain.snapshot import snapshot_of
from trainhub.domain.train import TrainState
from trainhub.hub.retention import LEAST
from trainhub.hub.vocabulary import RAILWAY

SIZES = (100_000, 200_000, 400_000)
MORNING = datetime(2026, 11, 23, 0, 30, tzinfo=UTC)
COMMIT = 5_000

# What a run's day is made of: runs for 100,000 records, people on a train, events of one day, and
# whether they are marks, which bring offers, or announcements.
MIXES = {
    "few runs, announcements": (20, 100, False),
    "many runs, nothing to skip": (100_000 // LEAST, 50, False),
    "offers without end": (20, 300, True),
    "full trains": (5, 3_000, True),
}


def chart(number: int, people: int) -> dict[str, Any]:
    """Return a train of which one passenger in six waits for a berth."""
    waiting = max(people // 6, people - 40 * 63)
    berths = [(f"S{1 + k // 63}", 1 + (k % 63) * 8 // 7) for k in range(people - waiting)]
    row = {"index": 1, "from": "AAA", "to": "FFF", "class": "SL"}
    seated = [
        {**row, **_who(n), "status": "CNF", "coach": coach, "berth": berth}
        for n, (coach, berth) in enumerate(berths)
    ]
    waits = [{**row, **_who(5_000 + n), "status": "WL", "number": n + 1} for n in range(waiting)]
    return {
        "trainNo": str(10_000 + number),
        "trainName": "START EXP",
        "startDate": "2026-11-23",
        "stations": [
            {
                "code": letter * 3,
                "name": letter,
                "arrival": f"{6 + place:02}:00" if place else None,
                "departure": f"{6 + place:02}:05" if place < 5 else None,
                "distanceKm": 100 * place,
            }
            for place, letter in enumerate("ABCDEF")
        ],
        "coaches": [
            {"code": f"S{k}", "class": "SL", "berths": 72}
            for k in range(1, (people - waiting) // 63 + 2)
        ],
        "passengers": [*seated, *waits],
    }


def _who(n: int) -> dict[str, Any]:
    return {"pnr": f"45{n:08}", "irctcId": f"IR_{n}", "name": f"Passenger {n}"}


def day(number: int, people: int, marks: bool, events: int) -> Iterator[tuple[TrainState, Any]]:
    """Execute a run command by command, up to a number of events."""
    checked, rejected, _ = read_chart(chart(number, people))
    assert not rejected
    state, train = TrainState(checked.run), {"train_no": checked.train_no}
    yield state, state.carry_out(c.RegisterTrain(**train, chart=checked), MORNING)
    yield state, state.carry_out(c.StartJourney(**train), MORNING)
    seated = [p.booking for p in state.passengers.values() if p.coach is not None]
    waits = [p.booking for p in state.passengers.values() if p.coach is None]
    for booking in waits if marks else ():
        who = {**train, "pnr": booking.pnr, "index": 1}
        yield state, state.carry_out(c.MarkBoarded(**who), MORNING)
    place = 0
    while state.seq < events:
        who = {**train, "pnr": seated[place % len(seated)].pnr, "index": 1}
        if not marks:
            yield state, state.carry_out(c.Announce(**train, text="A little late."), MORNING)
        elif place // len(seated) % 2:
            yield state, state.carry_out(c.UndoNoShow(**who), MORNING + timedelta(seconds=9))
        else:
            yield state, state.carry_out(c.MarkNoShow(**who), MORNING)
        place += 1


async def write(path: Path, mix: str, records: int) -> None:
    """Write a journal of a number of records, with the snapshots that a hub makes."""
    runs, people, marks = MIXES[mix]
    runs = runs * records // 100_000
    journal = await SqliteJournal.open(path, RAILWAY)
    for number in range(runs):
        batch, saved = Commit(), 0
        for state, events in day(number, people, marks, records // runs):
            seq = state.seq - len(events)
            batch.records += _records(journal.head + len(batch.records), state, seq, events)
            if state.seq - saved > max(LEAST, len(state.passengers) + len(state.offers)):
                batch.snapshots[state.run], saved = snapshot_of(state), state.seq
            if len(batch.records) >= COMMIT:
                await journal.commit(batch)
                batch = Commit()
        await journal.commit(batch)
    await journal.close()


def _records(head: int, state: TrainState, seq: int, events: list[e.Event]) -> list[Record]:
    return [Record(head + n, state.run, seq + n, event) for n, event in enumerate(events, start=1)]


async def start(path: Path) -> str:
    """Open a journal and load it, as the hub does."""
    gc.disable()
    marks = [(time.perf_counter(), time.process_time())]
    journal = await SqliteJournal.open(path, RAILWAY)
    marks.append((time.perf_counter(), time.process_time()))
    hub = build_of_fakes(journal=journal, clock=lambda: MORNING).hub
    count = await hub.upkeep.load()
    marks.append((time.perf_counter(), time.process_time()))
    head = journal.head
    await journal.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (first, busy), (opened, _), (done, free) = marks
    return (
        f"{head:>9} records, {count:>7} read: open {opened - first:5.2f} s,"
        f" load {done - opened:6.2f} s, CPU {free - busy:6.2f} s,"
        f" {(free - busy) / head * 1e5:5.2f} s for 100,000;"
        f" {memory:5.0f} MB at most"
    )


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--open"]:
        print(asyncio.run(start(Path(arguments[1]))))
        return
    for mix in MIXES:
        for records in map(int, arguments or SIZES):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "journal.db"
                asyncio.run(write(path, mix, records))
                command = [sys.executable, __file__, "--open", str(path)]
                told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                print(f"{mix:28} {path.stat().st_size / 1e6:6.0f} MB {told.strip()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
