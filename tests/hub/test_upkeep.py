"""trainhub/hub/upkeep.py on a real journal: snapshots, trimming, retiring and restarts."""

import asyncio
import dataclasses
from datetime import timedelta

import pytest
from callers import ADMIN, TTE, join, running
from fakes import Ear, Letters, MemoryStore, line
from railway import MORNING, RUN, TRAIN, register

from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.core.errors import Conflict, Unavailable
from trainhub.core.journal import Commit, JournalFailed
from trainhub.core.log import Reader
from trainhub.core.write_buffer import WriteBuffer
from trainhub.domain import commands as c
from trainhub.domain.errors import UnknownTrain
from trainhub.domain.snapshot import snapshot_of
from trainhub.hub.documents import changes
from trainhub.hub.hub import Hub
from trainhub.hub.protocol import Since
from trainhub.hub.retention import LEAST
from trainhub.hub.train_rooms import TrainRooms
from trainhub.hub.upkeep import KEEP_ENDED, KEEP_RETIRED_DAYS
from trainhub.hub.vocabulary import RAILWAY


@pytest.fixture
def start(tmp_path):
    """Start hubs, one after the other, on one journal. `hub.now_is` moves the clock."""

    async def begin(store=None, **options):
        journal = await SqliteJournal.open(tmp_path / "journal.db", RAILWAY)
        now = [MORNING]
        hub = Hub(journal, TrainRooms({}, line), lambda: now[0], print, **options)
        buffer = WriteBuffer(
            store or MemoryStore(),
            lambda record: changes(hub.state(record.stream), record, hub.epoch),
            hub.log.append,
            Letters(),
        )
        reader = Reader("flushed", journal, buffer)
        await hub.upkeep.load()
        await reader.open()
        hub.follow(reader)
        hub.loaded = True

        async def flush():
            await reader.catch_up()
            await buffer.flush_now()
            await hub.save_places()

        hub.flush, hub.stop, hub.journal = flush, journal.close, journal
        hub.now_is = lambda moment: now.__setitem__(0, moment)
        return hub

    return begin


async def say(hub, count):
    for number in range(count):
        await hub.execute(c.Announce(**TRAIN, text=f"number {number}"), ADMIN)


async def say_and_tidy(hub, count):
    for _ in range(count):
        await say(hub, 1)
        await hub.flush()
        await hub.upkeep.tidy()


async def positions(hub):
    return [record.position for record in await hub.journal.read(0, 10**6)]


@pytest.mark.gen_test
async def test_a_restart_folds_what_came_after_the_snapshot(start, monkeypatch):
    """A restart replays few records, and has the same state and history."""
    monkeypatch.setattr("trainhub.hub.upkeep.RECORDS_KEPT", 50)
    hub = await start()
    await running(hub)
    await say(hub, LEAST)
    await hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345601", index=1), TTE)
    await hub.flush()
    await hub.upkeep.tidy()
    await say(hub, 3)
    before, seq = snapshot_of(hub.state(RUN)), hub.state(RUN).seq
    await hub.stop()
    again = await start()
    assert snapshot_of(again.state(RUN)) == before
    assert again.log.last == hub.log.last
    ear = Ear()
    answer = await join(again, ear, ADMIN, Since(epoch=again.epoch, seq=seq - 5))
    assert answer["recovered"]
    assert ear.seqs == list(range(seq - 4, seq + 1))
    await say(again, 1)
    assert again.state(RUN).seq == seq + 1
    assert len(await again.journal.unfolded(0, 10**6, 0)) == 1 + 3 + 1
    await again.stop()


@pytest.mark.gen_test
async def test_the_journal_is_trimmed_behind_its_slowest_reader(start, monkeypatch):
    """Records stay until MongoDB has them. Then only the newest and the first records stay."""
    monkeypatch.setattr("trainhub.hub.upkeep.RECORDS_KEPT", 50)
    store = MemoryStore()
    hub = await start(store)
    await running(hub)
    store.away = True
    await say(hub, LEAST)
    await hub.flush()
    await hub.upkeep.tidy()
    assert await positions(hub) == list(range(1, LEAST + 3))
    store.away = False
    await hub.flush()
    await hub.upkeep.tidy()
    assert await positions(hub) == [1, *range(LEAST + 2 - 50 + 1, LEAST + 3)]
    await hub.stop()


@pytest.mark.gen_test
async def test_nothing_is_trimmed_that_mongodb_may_have_lost(start, monkeypatch):
    """Before each trim, MongoDB is asked whether it still has the records."""
    monkeypatch.setattr("trainhub.hub.upkeep.RECORDS_KEPT", 50)
    hub = await start()
    holds = [False]

    async def may_trim():
        return holds[0]

    hub.upkeep._may_trim = may_trim
    await running(hub)
    await say(hub, LEAST)
    await hub.flush()
    await hub.upkeep.tidy()
    assert await positions(hub) == list(range(1, LEAST + 3))
    holds[0] = True
    await hub.upkeep.tidy()
    assert await positions(hub) == [1, *range(LEAST + 2 - 50 + 1, LEAST + 3)]
    await hub.stop()


@pytest.mark.gen_test
async def test_a_full_journal_takes_no_commands_until_it_is_trimmed(start, caplog):
    """A full journal refuses changes, and reading and repeats go on. Half full is a warning."""
    store = MemoryStore()
    hub = await start(store, journal_limit=200_000)
    await running(hub)
    store.away = True
    first = await hub.execute(c.Announce(**TRAIN, text="first"), ADMIN, "k")
    with pytest.raises(Unavailable, match="limit"):
        await say_and_tidy(hub, 10_000)
    said = hub.state(RUN).seq - 3
    assert said > 100
    assert [r.message for r in caplog.records if "MB, as MongoDB" in r.message]
    assert await hub.execute(c.Announce(**TRAIN, text="first"), ADMIN, "k") == first
    await join(hub, Ear(), ADMIN)
    await hub.executor.expire_offers()
    store.away = False
    await hub.flush()
    await hub.upkeep.tidy()
    await say(hub, 1)
    assert hub.log.size < hub.log.limit / 2
    assert not hub.log.filling
    assert {name for collection, name in store.documents if collection == "events"} == {
        f"{RUN}/{seq}" for seq in range(1, 4 + said)
    }
    await hub.stop()


@pytest.mark.gen_test
async def test_a_run_that_ended_leaves_and_does_not_come_back(start):
    """A run leaves six hours after its end, once MongoDB has it, and cannot be registered again."""
    store = MemoryStore()
    hub = await start(store)
    await running(hub)
    await hub.execute(c.CancelTrain(**TRAIN), ADMIN)
    hub.now_is(MORNING + KEEP_ENDED)
    await hub.flush()
    await hub.upkeep.retire()
    assert hub.state(RUN)
    hub.now_is(MORNING + KEEP_ENDED + timedelta(seconds=1))
    store.away = True
    await hub.execute(c.Announce(**TRAIN, text="the last word"), ADMIN)
    await hub.flush()
    await hub.upkeep.retire()
    assert hub.state(RUN)
    store.away = False
    await hub.flush()
    await hub.upkeep.retire()
    for each in (hub, await reopened(hub, start)):
        with pytest.raises(UnknownTrain):
            each.state(RUN)
        with pytest.raises(Conflict, match="has ended"):
            await each.execute(register(), ADMIN)
    await each.stop()


async def reopened(hub, start):
    await hub.stop()
    return await start()


@pytest.mark.gen_test
async def test_a_run_is_not_retired_with_a_command_on_its_way(start):
    """A run stays while one of its commands waits for the disk."""
    hub = await start()
    await running(hub)
    await hub.execute(c.CancelTrain(**TRAIN), ADMIN)
    await hub.flush()
    hub.now_is(MORNING + KEEP_ENDED + timedelta(seconds=1))
    last = asyncio.ensure_future(hub.execute(c.Announce(**TRAIN, text="the last word"), ADMIN))
    await asyncio.sleep(0)
    await hub.upkeep.retire()
    assert (await last)["seq"] == hub.state(RUN).seq
    await hub.stop()


@pytest.mark.gen_test
async def test_the_names_of_retired_runs_are_forgotten_in_the_end(start):
    """The keys of retired runs are pruned."""
    hub = await start()
    await running(hub)
    await hub.execute(c.CancelTrain(**TRAIN), ADMIN)
    await hub.flush()
    hub.now_is(later := MORNING + timedelta(days=1))
    await hub.upkeep.retire()
    hub.now_is(later + timedelta(days=KEEP_RETIRED_DAYS, seconds=1))
    await hub.upkeep.prune()
    assert await hub.journal.retired() == {}
    assert (await hub.execute(register(), ADMIN))["seq"] == 1
    await hub.stop()


@pytest.mark.gen_test
async def test_what_the_rooms_were_told_is_kept_too(start):
    """The journal has the position of each of the three readers."""
    hub = await start()
    await running(hub)
    assert (await hub.journal.read_place("delivered")).position == 0
    await hub.save_places()
    assert (await hub.journal.read_place("delivered")).position == 2
    await hub.stop()


@pytest.mark.gen_test
async def test_a_run_that_a_snapshot_brought_back_is_retired_like_any_other(start, monkeypatch):
    """A run from a snapshot is retired, although its last records are not read at the start."""
    monkeypatch.setattr("trainhub.hub.upkeep.RECORDS_KEPT", 0)
    hub = await start()
    await running(hub)
    await hub.execute(c.CancelTrain(**TRAIN), ADMIN)
    await hub.upkeep.tidy()
    await hub.flush()
    await hub.stop()
    again = await start()
    assert again.state(RUN).status == "CANCELLED"
    again.now_is(MORNING + KEEP_ENDED + timedelta(seconds=1))
    await again.save_places()
    await again.upkeep.retire()
    with pytest.raises(UnknownTrain):
        again.state(RUN)
    await again.stop()


@pytest.mark.gen_test
async def test_a_snapshot_that_does_not_fit_stops_the_start(start):
    """A snapshot that does not fit its chart stops the start."""
    hub = await start()
    await running(hub)
    wrong = dataclasses.replace(snapshot_of(hub.state(RUN)), stops=())
    await hub.log.commit(Commit(snapshots={RUN: wrong}))
    await hub.stop()
    with pytest.raises(JournalFailed, match="does not fit the chart"):
        await start()
