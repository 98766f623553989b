"""trainhub/core/write_buffer.py: many changes, few writes, nothing lost and nothing too early."""

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from itertools import pairwise
from types import SimpleNamespace

import pytest
from fakes import Letters, MemoryJournal, MemoryStore, save
from railway import MORNING, RUN, TRAIN, register
from waiting import PATIENCE

from trainhub.access.identity import Identity
from trainhub.core import write_buffer
from trainhub.core.errors import Unavailable
from trainhub.core.journal import Record
from trainhub.core.log import Log, Reader
from trainhub.core.write_buffer import (
    BACKOFF,
    BULK,
    LONG_SECONDS,
    Change,
    Refused,
    StoreAway,
    TooNew,
    WriteBuffer,
)
from trainhub.domain import commands as c
from trainhub.domain.events import Announcement
from trainhub.domain.model import Level, Role
from trainhub.hub.documents import changes

ADMIN = Identity("control", Role.ADMIN, frozenset({"*"}))


def record(position):
    event = Announcement(at=MORNING, text="x", level=Level.INFO, audience_=c.To.EVERYONE)
    return Record(position, RUN, position, event)


def records(first, last):
    return [record(position) for position in range(first, last + 1)]


def document(name, collection="docs"):
    return Change(collection, name, lambda: {"_id": name})


def one_each(record):
    """A document of its own for each record."""
    return [document(f"d{record.position}")]


async def at_once():
    """What `settled` is where nothing is on its way to the journal."""


def make_buffer(store, changes=one_each, settled=at_once, letters=None, **limits):
    return WriteBuffer(store, changes, settled, letters or Letters(), **limits)


async def until(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0)


@asynccontextmanager
async def flushing(buffer):
    """Flushes again and again, as the hub's timer does."""

    async def turn():
        while True:
            await buffer.flush()
            await asyncio.sleep(0)

    task = asyncio.ensure_future(turn())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class SlowStore(MemoryStore):
    """A store whose writes wait to be let through; `calls` has the ids of each that has begun."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self._passes = asyncio.Semaphore(0)

    async def write(self, collection, documents):
        self.calls.append([each["_id"] for each in documents])
        await self._passes.acquire()
        await super().write(collection, documents)

    async def let_one_through(self):
        before = len(self.bulks)
        self._passes.release()
        await until(lambda: len(self.bulks) > before)

    def let_all_through(self):
        for _ in range(1000):
            self._passes.release()


@pytest.fixture
def clock(monkeypatch):
    """The module's time, which stands still until a test moves it on."""
    clock = SimpleNamespace(now=1000.0)
    times = SimpleNamespace(monotonic=lambda: clock.now, time=time.time)
    monkeypatch.setattr(write_buffer, "time", times)
    return clock


def said(caplog):
    return [each.getMessage() for each in caplog.records if each.name == "trainhub.write_buffer"]


# --- merging --------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_document_that_changes_a_hundred_times_is_one_write():
    """However often it changed, it is written once, as it is at the time of the write."""
    store, state = MemoryStore(), {"_id": "run", "value": 0}

    def changed(record):
        state["value"] = record.position
        return [Change("runs", "run", lambda: dict(state))]

    buffer = make_buffer(store, changed)
    for position in range(1, 101):
        buffer.accept([record(position)])
    assert buffer.depth == 1
    await buffer.flush()
    assert store.bulks == [("runs", 1)]
    assert store.documents["runs", "run"]["value"] == 100
    assert buffer.flushed == 1


@pytest.mark.gen_test
async def test_documents_are_told_apart_by_collection_and_id():
    """The same id in two collections is two documents, each written to its own."""
    store = MemoryStore()
    twins = [document("1", "runs"), document("1", "events"), document("2", "events")]
    buffer = make_buffer(store, lambda _: twins)
    buffer.accept(records(1, 5))
    assert buffer.depth == 3
    await buffer.flush()
    assert sorted(store.bulks) == [("events", 2), ("runs", 1)]


@pytest.mark.gen_test
async def test_a_bulk_has_a_limit(monkeypatch):
    """Much is written in several bulks: encoding one must not hold the loop for long."""
    monkeypatch.setattr(write_buffer, "BULK", 10)
    store = MemoryStore()
    buffer = make_buffer(store)
    buffer.accept(records(1, 25))
    await buffer.flush()
    assert store.bulks == [("docs", 10), ("docs", 10), ("docs", 5)]
    assert len(store.documents) == 25


@pytest.mark.gen_test
async def test_a_flush_starts_early_when_much_waits(monkeypatch, clock):
    """EARLY documents start a flush before the timer, but not while the store is away."""
    monkeypatch.setattr(write_buffer, "EARLY", 10)
    store = AwayStore()
    store.away = False
    buffer = make_buffer(store)
    buffer.accept(records(1, 9))
    for _ in range(20):
        await asyncio.sleep(0)
    assert store.calls == []
    buffer.accept(records(10, 12))
    await until(lambda: buffer.depth == 0)
    assert len(store.documents) == 12
    store.away = True
    for n in range(20, 60, 10):
        buffer.accept(records(n, n + 9))
        for _ in range(20):
            await asyncio.sleep(0)
    assert len(store.calls) == 2
    assert (buffer.depth, buffer.failing) == (40, "no store")


@pytest.mark.gen_test
async def test_an_early_flush_that_the_journal_fails_leaves_all_there(monkeypatch):
    """If the journal fails, an early flush writes nothing and all changes stay."""
    monkeypatch.setattr(write_buffer, "EARLY", 2)

    async def failed():
        raise Unavailable("no journal")

    store = MemoryStore()
    buffer = make_buffer(store, settled=failed)
    buffer.accept(records(1, 3))
    await until(lambda: buffer._flush is None)
    assert (store.bulks, buffer.depth) == ([], 3)


@pytest.mark.gen_test
async def test_a_large_flush_lets_the_loop_have_its_turns(monkeypatch):
    """While thousands of documents are rendered, other coroutines go on."""
    monkeypatch.setattr(write_buffer, "TURN", -1)
    buffer, turns = make_buffer(MemoryStore()), 0
    buffer.accept(records(1, 500))
    flush = asyncio.ensure_future(buffer.flush())
    while not flush.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 500


@pytest.mark.gen_test
async def test_what_changes_while_it_is_written_is_written_again():
    """A change during the write of the same document is not taken for written."""
    store, state = SlowStore(), {"_id": "run", "value": 1}
    buffer = make_buffer(store, lambda _: [Change("runs", "run", lambda: dict(state))])
    buffer.accept(records(1, 1))
    flush = asyncio.ensure_future(buffer.flush())
    await until(lambda: store.calls)
    state["value"] = 2
    buffer.accept(records(2, 2))
    store.let_all_through()
    await flush
    await buffer.flush()
    assert store.documents["runs", "run"]["value"] == 2
    assert len(store.bulks) == 2


@pytest.mark.gen_test
async def test_figures_of_the_last_flush():
    """When it was, how many documents it wrote and how long it took; none before the first."""
    buffer = make_buffer(MemoryStore())
    await buffer.flush()
    assert buffer.last_flush is None
    before = time.time()
    for first, last in ((1, 5), (6, 8)):
        buffer.accept(records(first, last))
        await buffer.flush()
    await buffer.flush()
    assert buffer.last_flush.documents == 3
    assert before <= buffer.last_flush.at <= time.time()
    assert 0 <= buffer.last_flush.seconds <= time.time() - before + 1
    assert buffer.flushed == 8


# --- the place in the log -------------------------------------------------------------------


@pytest.mark.gen_test
async def test_oldest_follows_the_two_generations():
    """While a flush is at one generation all before the other's first is not yet done."""
    store = SlowStore()
    buffer = make_buffer(store)
    assert buffer.oldest is None
    buffer.accept(records(1, 3))
    assert (buffer.oldest, buffer.depth) == (1, 3)
    async with flushing(buffer):
        await until(lambda: len(store.calls) == 1)
        buffer.accept(records(4, 5))
        buffer.accept(records(6, 6))
        assert (buffer.oldest, buffer.depth) == (1, 6)
        await store.let_one_through()
        await until(lambda: len(store.calls) == 2)
        buffer.accept(records(7, 7))
        assert (buffer.oldest, buffer.depth) == (4, 4)
        store.let_all_through()
        await until(lambda: buffer.oldest is None)
    assert buffer.depth == 0
    assert store.calls == [["d1", "d2", "d3"], ["d4", "d5", "d6"], ["d7"]]


@pytest.mark.gen_test
async def test_the_place_stays_until_a_generation_is_written_whole(monkeypatch):
    """Between two bulks of one generation its first record still counts as open."""
    monkeypatch.setattr(write_buffer, "BULK", 2)
    store = SlowStore()
    buffer = make_buffer(store)
    buffer.accept(records(1, 4))
    flush = asyncio.ensure_future(buffer.flush())
    await until(lambda: len(store.calls) == 1)
    await store.let_one_through()
    await until(lambda: len(store.calls) == 2)
    assert (buffer.oldest, buffer.depth) == (1, 2)
    store.let_all_through()
    await flush
    assert buffer.oldest is None


@pytest.mark.gen_test
async def test_records_that_change_nothing_hold_nothing_up():
    """A record without a document is dealt with as soon as the flushes have gone over it."""
    buffer = make_buffer(MemoryStore(), lambda _: [])
    buffer.accept(records(1, 3))
    await buffer.flush()
    await buffer.flush()
    assert buffer.oldest is None


@pytest.mark.gen_test
async def test_a_saved_place_is_never_ahead_of_the_store():
    """Kill the hub at any moment of a flush: what the place says is done, the store has."""
    journal, store = MemoryJournal(), SlowStore()
    buffer = make_buffer(store)
    reader = Reader("write buffer", journal, buffer)
    await reader.open()
    log = Log(journal, reader.offer, print)
    await log.append(RUN, 1, [record(1).event] * 3)
    async with flushing(buffer):
        for seq in range(4, 10):
            await until(lambda: len(store.calls) > len(store.bulks))
            await log.append(RUN, seq, [record(1).event])
            await save(journal, reader)
            saved = (await journal.read_place("write buffer")).position
            assert {f"d{n}" for n in range(1, saved + 1)} <= {name for _, name in store.documents}
            await store.let_one_through()
        assert saved > 3
        store.let_all_through()
        await until(lambda: buffer.oldest is None)
    await save(journal, reader)
    assert (await journal.read_place("write buffer")).position == 9


# --- nothing before the journal has it ------------------------------------------------------


@pytest.mark.gen_test
async def test_a_document_is_written_as_it_was_before_it_was_settled():
    """What changes while it waits for the journal may not be durable: this write leaves it out."""
    store, state, order = MemoryStore(), {"_id": "run", "value": 1}, []

    async def settled():
        order.append(len(store.bulks))
        state["value"] = 2
        await asyncio.sleep(0)

    buffer = make_buffer(store, lambda _: [Change("runs", "run", lambda: dict(state))], settled)
    buffer.accept(records(1, 1))
    await buffer.flush()
    assert order == [0]
    assert store.documents["runs", "run"]["value"] == 1


@pytest.mark.gen_test
async def test_nothing_is_written_that_is_not_in_the_journal(make_hub):
    """A command in flight shows in the run's document already: the write waits for its commit."""
    journal, store = MemoryJournal(), MemoryStore()
    hub = make_hub(journal)
    buffer = make_buffer(
        store,
        lambda record: changes(hub.state(record.stream), record, hub.epoch),
        lambda: hub.log.append(),
    )
    reader = Reader("write buffer", journal, buffer)
    await reader.open()
    hub.follow(reader)
    await hub.execute(register(), ADMIN)
    journal.gate.clear()
    starting = asyncio.ensure_future(hub.execute(c.StartJourney(**TRAIN), ADMIN))
    await asyncio.sleep(0)
    assert hub.state(RUN).seq == 2
    flush = asyncio.ensure_future(buffer.flush())
    for _ in range(50):
        await asyncio.sleep(0)
    assert store.bulks == []
    journal.gate.set()
    await asyncio.gather(starting, flush)
    run = store.documents["runs", RUN]
    assert (run["seq"], run["status"]) == (2, "RUNNING")
    assert {each["seq"] for each in store.documents.values()} <= {1, 2}


@pytest.mark.gen_test
async def test_a_journal_that_fails_keeps_it_all_from_the_store(make_hub):
    """What the journal does not get, MongoDB does not see."""
    journal, store = MemoryJournal(), MemoryStore()
    hub = make_hub(journal)
    buffer = make_buffer(store, settled=lambda: hub.log.append())
    buffer.accept(records(1, 2))
    journal.broken = True
    failing = asyncio.ensure_future(hub.execute(register(), ADMIN))
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await buffer.flush()
    with pytest.raises(Unavailable):
        await failing
    assert store.bulks == []
    assert (buffer.oldest, buffer.depth) == (1, 2)


# --- while the store is away ----------------------------------------------------------------


@pytest.mark.gen_test
async def test_what_cannot_be_written_is_kept_and_written_later(clock):
    """Away: kept, still one a document, with the reason; back: written as it is by then."""
    store, state = MemoryStore(), {"_id": "run", "value": 0}
    buffer = make_buffer(store, lambda _: [Change("runs", "run", lambda: dict(state))])
    store.away = True
    for position in range(1, 50):
        state["value"] = position
        buffer.accept([record(position)])
        await buffer.flush()
        clock.now += 10
    assert buffer.failing == "no store"
    assert buffer.oldest == 1
    assert buffer.depth <= 2  # one in each generation
    store.away = False
    await buffer.flush()
    assert store.documents["runs", "run"]["value"] == 49
    assert buffer.failing is None
    assert (buffer.oldest, buffer.depth) == (None, 0)


@pytest.mark.gen_test
async def test_a_bulk_that_fails_half_way_is_written_again(clock):
    """If one collection fails, only its documents are written again, and the place stays."""

    class HalfAway(MemoryStore):
        async def write(self, collection, documents):
            if self.half_away and collection == "passengers":
                raise StoreAway("no passengers")
            await super().write(collection, documents)

    store = HalfAway()
    both = [document("1", "events"), document("1", "passengers")]
    buffer = make_buffer(store, lambda _: both)
    buffer.accept(records(1, 1))
    store.half_away = True
    await buffer.flush()
    assert (buffer.oldest, buffer.depth, buffer.flushed) == (1, 1, 1)
    store.half_away = False
    clock.now += 10
    await buffer.flush()
    assert store.bulks == [("events", 1), ("passengers", 1)]
    assert buffer.oldest is None


@pytest.mark.gen_test
async def test_what_was_written_of_a_bulk_that_failed_is_not_written_again(clock):
    """The store says which of the documents it has, and the rest waits."""

    class HalfAway(MemoryStore):
        async def write(self, collection, documents):
            if self.away:
                raise StoreAway("too slow", [each["_id"] for each in documents[:3]])
            await super().write(collection, documents)

    store = HalfAway()
    store.away = True
    buffer = make_buffer(store)
    buffer.accept(records(1, 10))
    await buffer.flush()
    assert (buffer.depth, buffer.flushed, buffer.oldest) == (7, 3, 1)
    store.away = False
    clock.now += 10
    await buffer.flush()
    assert sorted(name for _, name in store.documents) == sorted(f"d{n}" for n in range(4, 11))
    assert (buffer.depth, buffer.flushed, buffer.oldest) == (0, 10, None)


class ClockedStore(MemoryStore):
    """A store that takes `seconds` for each document by the clock, and fails above `limit`."""

    def __init__(self, clock, seconds, limit=60):
        super().__init__()
        self._clock, self.seconds, self.limit = clock, seconds, limit
        self.tried = []

    async def write(self, collection, documents):
        self.tried.append(len(documents))
        takes = self.seconds * len(documents)
        self._clock.now += min(takes, self.limit)
        if takes > self.limit:
            raise StoreAway("too slow")
        await super().write(collection, documents)


@pytest.mark.gen_test
@pytest.mark.parametrize("seconds", [0.0001, 0.05, 2, 50])
async def test_bulks_are_as_large_as_the_store_takes(clock, seconds):
    """They shrink while it fails or takes long, down to one document, and grow when it is quick."""
    store = ClockedStore(clock, seconds)
    buffer = make_buffer(store)
    buffer.accept(records(1, 3_000))
    while len(store.documents) < min(3_000, int(600 / seconds)):
        await buffer.flush()
        clock.now += 10
    usual = store.tried[-1]
    assert usual == 1 or usual * seconds < LONG_SECONDS * 2
    assert (usual == BULK) == (seconds < 0.001)
    store.seconds = 0.0001
    while buffer.depth:
        await buffer.flush()
        clock.now += 10
    buffer.accept(records(3_001, 9_000))
    await buffer.flush()
    assert max(store.tried[-5:]) == BULK


async def next_try(buffer, store, clock):
    """Move the clock on until the store is asked again; the seconds that took, to a hundredth."""
    start, asked = clock.now, len(store.calls)
    while len(store.calls) == asked:
        clock.now += 0.01
        assert clock.now < start + 60, "it never tries again"
        await buffer.flush()
    return clock.now - start


class AwayStore(MemoryStore):
    """A store that is away and counts who asks for it."""

    def __init__(self):
        super().__init__()
        self.away = True
        self.calls = []

    async def write(self, collection, documents):
        self.calls.append(len(documents))
        await super().write(collection, documents)


@pytest.mark.gen_test
async def test_it_backs_off(clock):
    """Each wait is half to all of a step; steps double from 0.1 s to 5 s, and then stay there."""
    first, most = BACKOFF
    assert (first, most) == (0.1, 5.0)
    store = AwayStore()
    buffer = make_buffer(store)
    buffer.accept(records(1, 1))
    await buffer.flush()
    steps = [min(first * 2**n, most) for n in range(12)]
    waits = [await next_try(buffer, store, clock) for _ in steps]
    for wait, step in zip(waits, steps, strict=True):
        assert step / 2 <= wait + 1e-6
        assert wait <= step + 0.011
    assert len({round(wait, 2) for wait in waits[-6:]}) > 1, "many hubs would all come at once"


@pytest.mark.gen_test
async def test_it_starts_with_short_waits_again_after_a_success(clock):
    """Each time the store goes away again, the first wait is short."""
    store = AwayStore()
    buffer = make_buffer(store)
    buffer.accept(records(1, 1))
    await buffer.flush()
    for _ in range(8):
        await next_try(buffer, store, clock)
    store.away = False
    await next_try(buffer, store, clock)
    assert buffer.failing is None
    store.away = True
    buffer.accept(records(2, 2))
    await buffer.flush()
    assert await next_try(buffer, store, clock) <= BACKOFF[0] + 0.011


@pytest.mark.gen_test
async def test_flush_now_does_not_wait_for_the_next_try(clock):
    """At the end of the hub there is no later: it tries at once."""
    store = AwayStore()
    buffer = make_buffer(store)
    buffer.accept(records(1, 1))
    for _ in range(9):
        await buffer.flush_now()
    assert len(store.calls) == 9
    store.away = False
    await buffer.flush_now()
    assert buffer.depth == 0


@pytest.mark.gen_test
async def test_one_line_a_minute_while_it_is_away(clock, caplog):
    """The log says it at once, then once a minute with how much waits, and once that it is over."""
    caplog.set_level(logging.DEBUG, "trainhub.write_buffer")
    store = AwayStore()
    buffer = make_buffer(store)
    buffer.accept(records(1, 7))
    for _ in range(1500):  # 150 s
        await buffer.flush()
        clock.now += 0.1
    assert len(store.calls) > 30
    away = "MongoDB does not take writes, 7 documents wait: no store"
    assert said(caplog) == [away] * 3
    store.away = False
    clock.now += 10
    await buffer.flush()
    await buffer.flush()
    assert said(caplog)[3:] == ["MongoDB takes writes again"]


# --- what is never taken ----------------------------------------------------------------------


class Refusing(MemoryStore):
    """A store that takes no document whose id is among `bad`, and all others."""

    def __init__(self, *bad):
        super().__init__()
        self.bad = set(bad)

    async def write(self, collection, documents):
        await super().write(collection, [d for d in documents if d["_id"] not in self.bad])
        reasons = {d["_id"]: "error 121" for d in documents if d["_id"] in self.bad}
        if reasons:
            raise Refused(reasons)


@pytest.mark.gen_test
async def test_what_is_refused_becomes_a_dead_letter():
    """With its change, the document as it was to be written, and the reason; the others go."""
    store, letters = Refusing("d2", "d4"), Letters()
    buffer = make_buffer(store, letters=letters)
    buffer.accept(records(1, 5))
    await buffer.flush()
    assert [(each.change.id, each.document, each.reason) for each in letters.kept] == [
        (name, {"_id": name}, "error 121") for name in ("d2", "d4")
    ]
    assert {name for _, name in store.documents} == {"d1", "d3", "d5"}
    assert (buffer.refused, buffer.flushed, buffer.depth, buffer.oldest) == (2, 3, 0, None)
    assert buffer.failing is None


@pytest.mark.gen_test
async def test_a_document_that_cannot_be_made_becomes_a_dead_letter(caplog):
    """A fault of ours in one document holds up no other; its traceback is in the log."""
    store, letters = MemoryStore(), Letters()
    broken = Change("docs", "broken", lambda: {}["missing"])
    buffer = make_buffer(store, lambda record: [*one_each(record), broken], letters=letters)
    buffer.accept(records(1, 3))
    await buffer.flush()
    (letter,) = letters.kept
    assert (letter.change, letter.document, letter.reason) == (broken, None, "KeyError")
    assert len(store.documents) == 3
    assert (buffer.refused, buffer.flushed, buffer.depth) == (1, 3, 0)
    assert any(each.exc_info for each in caplog.records)


@pytest.mark.gen_test
async def test_a_dead_letter_is_kept_before_the_place_moves_on():
    """Killed while the letter is being written, the next start makes it again."""
    kept = asyncio.Event()

    class Slow(Letters):
        async def store(self, letters):
            await kept.wait()
            await super().store(letters)

    buffer = make_buffer(Refusing("d2"), letters=Slow())
    buffer.accept(records(1, 3))
    flush = asyncio.ensure_future(buffer.flush())
    for _ in range(20):
        await asyncio.sleep(0)
    assert (buffer.oldest, buffer.depth, buffer.refused) == (1, 3, 0)
    kept.set()
    await flush
    assert (buffer.oldest, buffer.depth, buffer.refused) == (None, 0, 1)


@pytest.mark.gen_test
async def test_a_refusal_is_counted_once_though_the_store_goes_away(clock):
    """One collection refused its document and the next was away: only the next is asked again."""

    class HalfAway(Refusing):
        async def write(self, collection, documents):
            if self.half_away and collection == "passengers":
                raise StoreAway("no passengers")
            await super().write(collection, documents)

    store, letters = HalfAway("1"), Letters()
    buffer = make_buffer(
        store, lambda _: [document("1", "events"), document("2", "passengers")], letters=letters
    )
    buffer.accept(records(1, 1))
    store.half_away = True
    await buffer.flush()
    clock.now += 10
    store.half_away = False
    await buffer.flush()
    assert (buffer.refused, len(letters.kept), buffer.depth) == (1, 1, 0)


@pytest.mark.gen_test
async def test_a_store_that_is_too_new_is_said_at_once_and_to_all(clock, caplog):
    """Only the reason of TooNew is public, and the log has it at once."""
    store = AwayStore()
    buffer = make_buffer(store)
    buffer.accept(records(1, 1))
    await buffer.flush()
    assert (buffer.failing, buffer.failing_told) == ("no store", None)

    async def write(collection, documents):
        raise TooNew("run a newer trainhub")

    store.write = write
    for _ in range(1_000):  # 100 s
        clock.now += 0.1
        await buffer.flush()
    assert buffer.failing == buffer.failing_told == "run a newer trainhub"
    waiting = "MongoDB does not take writes, 1 documents wait"
    assert said(caplog) == [f"{waiting}: no store", *[f"{waiting}: run a newer trainhub"] * 2]
    del store.write
    store.away = False
    await buffer.flush_now()
    assert (buffer.failing, buffer.failing_told) == (None, None)


# --- limits ---------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_it_is_full_at_its_capacity():
    """As many documents as its capacity make it full, in whichever generation; a flush frees it."""
    store = SlowStore()
    buffer = make_buffer(store, capacity=4)
    buffer.accept(records(1, 3))
    assert not buffer.full
    flush = asyncio.ensure_future(buffer.flush())
    await until(lambda: store.calls)
    buffer.accept(records(4, 4))
    assert buffer.full
    store.let_all_through()
    await flush
    assert not buffer.full


@pytest.mark.gen_test
async def test_what_is_in_no_log_is_written_and_holds_nothing_up(clock):
    """An added change is written with the others, and does not move the place in the log."""
    store = AwayStore()
    buffer = make_buffer(store, capacity=10)
    assert buffer.add(document("a1"))
    await buffer.flush()
    assert (buffer.depth, buffer.oldest) == (1, None)
    buffer.accept(records(5, 5))
    assert buffer.oldest == 5
    await buffer.flush()
    clock.now += 10
    store.away = False
    await buffer.flush()
    assert {name for _, name in store.documents} == {"a1", "d5"}
    await buffer.flush()
    assert (buffer.depth, buffer.oldest) == (0, None)


@pytest.mark.gen_test
async def test_what_is_in_no_log_leaves_room_for_the_log(clock):
    """Half of the buffer is for records: a flood of other changes does not hold them up."""
    store = AwayStore()
    buffer = make_buffer(store, capacity=10)
    taken = [buffer.add(document(f"a{n}")) for n in range(20)]
    assert taken == [True] * 5 + [False] * 15
    assert not buffer.full
    buffer.accept(records(1, 5))
    assert (buffer.depth, buffer.full) == (10, True)
    store.away = False
    clock.now += 10
    await buffer.flush()
    assert buffer.add(document("b"))


@pytest.mark.gen_test
async def test_what_does_not_fit_stays_in_the_journal(clock):
    """A store away for long: the buffer stays at its capacity, and afterwards nothing is lost."""
    journal, store = MemoryJournal(), AwayStore()
    buffer = make_buffer(store, capacity=10)
    reader = Reader("write buffer", journal, buffer)
    await reader.open()
    log = Log(journal, reader.offer, print)
    for seq in range(1, 101):
        await log.append(RUN, seq, [record(seq).event])
        await reader.catch_up()
        await buffer.flush()
        clock.now += 1
        assert buffer.depth <= 10
    assert reader.behind == 90
    store.away = False
    clock.now += 10
    for _ in range(20):
        await buffer.flush()
        await reader.catch_up()
    await save(journal, reader)
    assert len(store.documents) == 100
    assert (await journal.read_place("write buffer")).position == 100


@pytest.mark.gen_test
async def test_a_flush_while_a_flush_runs_does_nothing():
    """The timer comes round again during a slow write: it returns at once and writes nothing."""
    store = SlowStore()
    buffer = make_buffer(store)
    buffer.accept(records(1, 2))
    first = asyncio.ensure_future(buffer.flush())
    await until(lambda: store.calls)
    buffer.accept(records(3, 3))
    async with asyncio.timeout(PATIENCE):
        await buffer.flush()
        await buffer.flush()
    assert store.calls == [["d1", "d2"]]
    store.let_all_through()
    await first
    await buffer.flush()
    assert store.calls == [["d1", "d2"], ["d3"]]


@pytest.mark.gen_test
async def test_flush_now_waits_for_the_flush_that_runs():
    """When the last flush returns, all that was there before it is written."""
    store = SlowStore()
    buffer = make_buffer(store)
    buffer.accept(records(1, 2))
    first = asyncio.ensure_future(buffer.flush())
    await until(lambda: store.calls)
    buffer.accept(records(3, 3))
    last = asyncio.ensure_future(buffer.flush_now())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not last.done()
    store.let_all_through()
    await asyncio.gather(first, last)
    assert len(store.documents) == 3


@pytest.mark.gen_test
async def test_a_flush_comes_to_an_end_though_changes_keep_coming():
    """Else its reader's place is never saved and nothing is merged while the hub is busy."""

    class BusyRailway(MemoryStore):
        async def write(self, collection, documents):
            await super().write(collection, documents)
            if len(self.bulks) < 50:
                buffer.accept([record(len(self.bulks) + 1)])

    store = BusyRailway()
    buffer = make_buffer(store)
    buffer.accept(records(1, 1))
    await buffer.flush()
    assert len(store.bulks) <= 3


@pytest.mark.gen_test
async def test_a_flush_that_is_broken_off_loses_nothing():
    """Cancelled in the middle of a write, as at the hub's end: all of it still waits."""
    store = SlowStore()
    buffer = make_buffer(store)
    buffer.accept(records(1, 3))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await buffer.flush_now()
    assert (buffer.oldest, buffer.depth) == (1, 3)
    store.let_all_through()
    await buffer.flush_now()
    assert sorted(name for _, name in store.documents) == ["d1", "d2", "d3"]


@pytest.mark.gen_test
async def test_a_fault_nobody_foresaw_does_not_wedge_it():
    """Whatever a write raises, its documents stay, and the next flush is free to try."""

    class Faulty(MemoryStore):
        async def write(self, collection, documents):
            if self.away:
                raise RuntimeError("a bug")
            await super().write(collection, documents)

    store = Faulty()
    buffer = make_buffer(store)
    buffer.accept(records(1, 3))
    store.away = True
    with pytest.raises(RuntimeError):
        await buffer.flush_now()
    buffer.accept(records(4, 4))
    assert (buffer.oldest, buffer.depth) == (1, 4)
    store.away = False
    await buffer.flush_now()
    assert len(store.documents) == 4


@pytest.mark.gen_test
async def test_a_fault_nobody_foresaw_does_not_stop_the_timer_s_flushes(caplog):
    """The timer waits for no flush: what one raises is logged, and the next one begins."""

    class Faulty(MemoryStore):
        async def write(self, collection, documents):
            if self.away:
                raise RuntimeError("a bug")
            await super().write(collection, documents)

    store = Faulty()
    store.away = True
    buffer = make_buffer(store)
    buffer.accept(records(1, 3))
    buffer.begin_flush()
    buffer.begin_flush()
    await until(lambda: "a flush failed" in caplog.text)
    store.away = False
    await until(lambda: buffer._flush is None)
    buffer.begin_flush()
    await until(lambda: len(store.documents) == 3)


@pytest.mark.gen_test
async def test_documents_of_one_flush_go_in_the_order_of_their_changes(monkeypatch):
    """The oldest change first: a store that goes away in the middle has the log's beginning."""
    monkeypatch.setattr(write_buffer, "BULK", 3)
    store = SlowStore()
    store.let_all_through()
    buffer = make_buffer(store)
    buffer.accept(records(1, 8))
    await buffer.flush()
    written = [int(name.removeprefix("d")) for call in store.calls for name in call]
    assert all(earlier < later for earlier, later in pairwise(written))
