"""Measure how fast changes reach MongoDB, and the delay of the event loop meanwhile.

    python bench/write_buffer.py [ROUNDS]

Marks on many runs at once, each of which changes three documents: its event, its run, its
passenger. (a) writes the documents one by one, with journaling; (b) sends the same marks through
the write buffer as fast as possible; (c) feeds 50,000 changes a second for some seconds, flushed by
the timer as in the hub, while a ticker measures how late the loop is. A mongod of its own on the
same machine. Times are of this machine and this run; compare only their ratios.
"""

import asyncio
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import WriteConcern
from upgrades import full_train

from trainhub.adapters.embedded_mongod import find_mongod
from trainhub.adapters.mongo import MongoStore
from trainhub.core.journal import Record
from trainhub.core.write_buffer import Change, StoreAway, WriteBuffer
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.model import Chart, RunKey
from trainhub.domain.train import TrainState
from trainhub.hub.documents import INDEXES, LASTING, changes
from trainhub.server import spare_the_loop

RUNS, CHANGES_A_MARK = 100, 3
ONE_BY_ONE_SECONDS, FEED_SECONDS = 2.0, 5.0
FEED_RATE = 50_000  # changes a second
FEED_EVERY, FLUSH_EVERY, TICK = 0.002, 0.100, 0.001
EVENING = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Railway:
    """Runs of one chart each. All passengers board, in an order that is mixed over the runs."""

    def __init__(self, chart: Chart) -> None:
        self.states: dict[RunKey, TrainState] = {}
        self._marks: list[tuple[RunKey, e.Event]] = []
        state = TrainState(chart.run)
        state.carry_out(c.RegisterTrain(train_no="12345", chart=chart), EVENING)
        first = [*state.carry_out(c.StartJourney(train_no="12345"), EVENING)]
        for booking in chart.passengers:
            board = c.MarkBoarded(train_no="12345", pnr=booking.pnr, index=booking.index)
            first += state.carry_out(board, EVENING)
        boarded = [event for event in first if isinstance(event, e.PassengerBoarded)]
        for n in range(RUNS):
            run = RunKey(f"{n:05}/2026-11-23")
            mine = self.states[run] = TrainState(run)
            mine.evolve(e.TrainRegistered(at=EVENING, chart=chart))
            mine.evolve(first[0])
            self._marks += [(run, event) for event in boarded]
        Random(1).shuffle(self._marks)
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._marks)

    def marks(self, count: int) -> list[Record]:
        """Return the next marks. They have been applied to the runs."""
        records = []
        for _ in range(min(count, len(self._marks))):
            run, event = self._marks.pop()
            self.states[run].evolve(event)
            self._position += 1
            records.append(Record(self._position, run, self.states[run].seq, event))
        return records

    def changes(self, record: Record) -> Iterator[Change]:
        return changes(self.states[record.stream], record, "e1")


class NoLetters:
    async def store(self, letters: Any) -> None:
        raise AssertionError("nothing here can be refused")


async def settled() -> None:
    """Return at once: bench/journal.py measures the journal."""


@contextmanager
def own_mongod() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as place:
        command = [str(find_mongod()), "--dbpath", ".", "--bind_ip", "./m.sock", "--nounixsocket"]
        command += ["--wiredTigerCacheSizeGB", "0.25"]
        process = subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL)
        try:
            yield f"mongodb://{place.replace('/', '%2F')}%2Fm.sock"
        finally:
            process.kill()
            process.wait()


@asynccontextmanager
async def fresh_store(uri: str, name: str) -> AsyncIterator[MongoStore]:
    """Return a store on an empty database with its indexes."""
    client: Any = AsyncIOMotorClient(uri)
    await client.drop_database(name)
    store = MongoStore(uri, name, INDEXES, LASTING)
    try:
        await store.write("runs", [])
        yield store
    finally:
        await client.drop_database(name)
        store.close()
        client.close()


async def one_by_one(uri: str, chart: Chart) -> float:
    """Measure operations per second with one awaited update_one for each change."""
    railway = Railway(chart)
    async with fresh_store(uri, "plain"):
        client: Any = AsyncIOMotorClient(uri)
        database = client.get_database("plain", write_concern=WriteConcern(w="majority", j=True))
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < ONE_BY_ONE_SECONDS:
            for record in railway.marks(10):
                for change in railway.changes(record):
                    document = change.render()
                    await database[change.collection].update_one(
                        {"_id": change.id}, {"$set": document}, upsert=True
                    )
                    count += 1
        took = time.perf_counter() - start
        client.close()
        return count / took


async def buffered(uri: str, chart: Chart) -> tuple[float, float]:
    """Measure changes and documents per second through a buffer that is always kept full."""
    railway = Railway(chart)
    async with fresh_store(uri, "buffered") as store:
        buffer = WriteBuffer(store, railway.changes, settled, NoLetters())
        start, count = time.perf_counter(), 0
        while railway.left or buffer.depth:
            if railway.left and not buffer.full:
                records = railway.marks(1_000)
                buffer.accept(records)
                count += len(records)
                await asyncio.sleep(0)
                if buffer.depth < 10_000 and railway.left:
                    continue
            await buffer.flush_now()
        took = time.perf_counter() - start
        return count * CHANGES_A_MARK / took, buffer.flushed / took


class Ticker:
    """Record the delay of the loop, in milliseconds, at each wake-up after a millisecond."""

    def __init__(self) -> None:
        self.late: list[float] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            task.cancel()

    async def _tick(self) -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            self.late.append((time.perf_counter() - due) * 1e3)

    def figures(self) -> tuple[float, float, float]:
        ordered = sorted(self.late)
        return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], ordered[-1]


async def fed(uri: str, chart: Chart, taken: bool = True) -> dict[str, float]:
    """Measure the loop's delay at FEED_RATE, with the buffer and, for comparison, without."""
    railway, ticker = Railway(chart), Ticker()
    spare_the_loop()  # as the hub does once its runs are loaded
    async with fresh_store(uri, "fed") as store:
        buffer = WriteBuffer(store, railway.changes, settled, NoLetters(), capacity=10**7)
        timer = asyncio.create_task(_timer(buffer))
        start, count = time.perf_counter(), 0
        async with ticker.running():
            while (now := time.perf_counter() - start) < FEED_SECONDS:
                due = int(now * FEED_RATE / CHANGES_A_MARK)
                # One commit at a time: a late loop has several to catch up with.
                while count < due:
                    records = railway.marks(min(due - count, 200))
                    if taken:
                        buffer.accept(records)
                    count += len(records)
                    await asyncio.sleep(0)
                await asyncio.sleep(FEED_EVERY)
        took = time.perf_counter() - start
        rate, depth = buffer.flushed / took, buffer.depth
        await buffer.flush_now()
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)
        p50, p99, most = ticker.figures()
    return {
        "fed": count * CHANGES_A_MARK / took,
        "documents": rate,
        "waiting": depth,
        "p50": p50,
        "p99": p99,
        "max": most,
    }


async def _timer(buffer: WriteBuffer) -> None:
    """As tornado's PeriodicCallback in server.py."""
    while True:
        await asyncio.sleep(FLUSH_EVERY)
        await buffer.flush()


async def main(rounds: int) -> None:
    chart = full_train()
    with own_mongod() as uri:
        store = MongoStore(uri, "admin", {})
        while True:
            try:
                await store.check()
                await store.write("none", [])
                break
            except StoreAway:
                await asyncio.sleep(0.1)
        store.close()
        plain, changed, written, loops, quiet = [], [], [], [], []
        for _ in range(rounds):
            plain.append(await one_by_one(uri, chart))
            both = await buffered(uri, chart)
            changed.append(both[0])
            written.append(both[1])
            quiet.append(await fed(uri, chart, taken=False))
            loops.append(await fed(uri, chart))
    a, b, documents = map(statistics.median, (plain, changed, written))
    ratios = [many / one for many, one in zip(changed, plain, strict=True)]
    print(f"(a) one update_one after the other, j: true: {a:,.0f} ops/s")
    print(f"(b) buffered: {b:,.0f} changes/s, {documents:,.0f} documents/s")
    print(f"    ratio to (a): {statistics.median(ratios):.1f} (rounds {_list(ratios)})")
    for name, those in (
        ("marks without a buffer", quiet),
        ("the same, through the buffer", loops),
    ):
        middle = {key: statistics.median(each[key] for each in those) for key in those[0]}
        print(
            f"(c) {name}: {middle['fed']:,.0f} changes/s in, {middle['documents']:,.0f} "
            f"documents/s out, {middle['waiting']:,.0f} wait at the end; loop's lag "
            f"p50 {middle['p50']:.2f} ms, p99 {middle['p99']:.2f} ms, max {middle['max']:.1f} ms "
            f"(p99 of the rounds {_list(each['p99'] for each in those)})"
        )


def _list(figures: Any) -> str:
    return ", ".join(f"{each:.1f}" for each in figures)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"{RUNS} runs of 1,700 passengers, {count} rounds, Python {sys.version[:6]}")
    asyncio.run(main(count))
