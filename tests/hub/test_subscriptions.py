"""trainhub/hub/subscriptions.py: a client that joins a room gets each event exactly once."""

import asyncio
import logging
import os
from random import Random

import pytest
from callers import ADMIN, PASSENGER, TTE, join, running
from fakes import Ear, MemoryJournal
from railway import RUN, TRAIN

from trainhub.core.errors import Unavailable
from trainhub.core.history import EVENTS_KEPT
from trainhub.core.write_buffer import StoreAway
from trainhub.domain import commands as c
from trainhub.domain.errors import UnknownTrain
from trainhub.hub import subscriptions
from trainhub.hub.protocol import Since


class Books:
    """An archive with a journal's events up to `has`, and a count of its look-ups."""

    def __init__(self, journal):
        self._journal = journal
        self.has = 10**9
        self.asked = []
        self.away = False
        self.open = asyncio.Event()
        self.open.set()

    async def events(self, run, epoch, after, most):
        self.asked.append((after, most))
        await self.open.wait()
        if self.away:
            raise StoreAway("frozen")
        found = [r for r in self._journal.records if r.stream == run and after < r.seq <= self.has]
        return [record.event for record in found[:most]]


async def say(hub, count):
    for number in range(count):
        await hub.execute(c.Announce(**TRAIN, text=f"number {number}"), ADMIN)


async def long_run(make_hub):
    """A hub whose run has more events than memory holds, and its archive."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    hub.subscriptions.lookups.archive = books = Books(journal)
    await running(hub)
    await say(hub, EVENTS_KEPT + 50)
    return hub, books


def since(hub, seq):
    return Since(epoch=hub.epoch, seq=seq)


# --- missed events ------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_what_memory_no_longer_holds_comes_from_the_archive(make_hub):
    """Older events come from the archive and newer ones from memory, each once and in order."""
    hub, books = await long_run(make_hub)
    last = hub.state(RUN).seq
    ear = Ear()
    assert (await join(hub, ear, ADMIN, since(hub, 2)))["recovered"]
    assert ear.seqs == list(range(3, last + 1))
    assert books.asked == [(2, last - EVENTS_KEPT - 2)]


@pytest.mark.gen_test
async def test_all_of_a_run_is_read_in_pages(make_hub, monkeypatch):
    """Each page begins where the previous one ended, and has at most PAGE records."""
    monkeypatch.setattr(subscriptions, "PAGE", 100)
    hub, books = await long_run(make_hub)
    state, seqs = hub.state(RUN), [2]
    while page := await hub.subscriptions.page(state, seqs[-1]):
        assert len(page) <= 100
        seqs += [record.seq for record in page]
    assert seqs == list(range(2, state.seq + 1))
    assert books.asked == [(2, 100)]
    assert await hub.subscriptions.page(state, state.seq + 1) is None


@pytest.mark.gen_test
@pytest.mark.parametrize("has", [0, 5, 10**9])
async def test_what_is_kept_of_a_run(make_hub, has):
    """All of it, or what memory has if the archive has a gap."""
    hub, books = await long_run(make_hub)
    books.has, last = has, hub.state(RUN).seq
    kept = await hub.subscriptions.kept(hub.state(RUN))
    first = 1 if has > last else last - EVENTS_KEPT + 1
    assert [record.seq for record in kept] == list(range(first, last + 1))


@pytest.mark.gen_test
async def test_what_memory_holds_is_not_looked_up(make_hub):
    """Events in memory cause no look-up in the archive."""
    hub, books = await long_run(make_hub)
    ear, last = Ear(), hub.state(RUN).seq
    assert (await join(hub, ear, ADMIN, since(hub, last - EVENTS_KEPT)))["recovered"]
    assert len(ear.seqs) == EVENTS_KEPT
    assert (await join(hub, Ear(), ADMIN, since(hub, last)))["recovered"]
    assert books.asked == []


@pytest.mark.gen_test
@pytest.mark.parametrize("has", [0, 5, 48])
async def test_an_archive_that_has_a_gap_or_is_away(make_hub, has):
    """If the archive has a gap or is away, a SNAPSHOT follows."""
    hub, books = await long_run(make_hub)
    books.has = has
    ear = Ear()
    assert not (await join(hub, ear, ADMIN, since(hub, 2)))["recovered"]
    assert [m["type"] for m in ear.heard] == ["SNAPSHOT", "PRESENCE", "BOARDING_UPDATE"]
    page = await hub.subscriptions.page(hub.state(RUN), 2)
    assert page is None if not has else [record.seq for record in page] == list(range(3, has + 1))


@pytest.mark.gen_test
async def test_very_much_that_was_missed_is_not_looked_up(make_hub, monkeypatch):
    """A client that missed very many events gets a SNAPSHOT."""
    hub, books = await long_run(make_hub)
    monkeypatch.setattr(subscriptions, "MOST_MISSED", 20)
    assert not (await join(hub, Ear(), ADMIN, since(hub, 2)))["recovered"]
    assert books.asked == []


@pytest.mark.gen_test
async def test_an_archive_that_does_not_answer_holds_up_no_client(make_hub):
    """A client waits for the archive for ARCHIVE_SECONDS only, and then gets a SNAPSHOT."""
    hub, books = await long_run(make_hub)
    books.open.clear()
    ear = Ear()
    assert not (await join(hub, ear, ADMIN, since(hub, 2)))["recovered"]
    assert not books.open.is_set()
    assert ear.heard[0]["type"] == "SNAPSHOT"
    await say(hub, 1)
    assert ear.seqs == [hub.state(RUN).seq]


@pytest.mark.gen_test
async def test_events_in_an_archive_that_is_away_may_be_asked_for_later(make_hub):
    """While the archive is away, a page is UNAVAILABLE, and a subscriber gets a SNAPSHOT."""
    hub, books = await long_run(make_hub)
    books.away = True
    with pytest.raises(Unavailable):
        await hub.subscriptions.page(hub.state(RUN), 2)
    assert not (await join(hub, Ear(), ADMIN, since(hub, 2)))["recovered"]
    last = hub.state(RUN).seq
    assert [r.seq for r in await hub.subscriptions.page(hub.state(RUN), last - 1)] == [last]


@pytest.mark.gen_test
async def test_who_has_seen_more_than_there_is_goes_on_under_another_epoch(make_hub, caplog):
    """A client that has seen more than the hub has gets another epoch.

    The hub lost events, and gives their numbers to new ones. The client keeps the epoch when it
    reconnects, and gets another one if that happens again. Other clients see no change.
    """
    caplog.set_level(logging.INFO)
    hub = make_hub()
    await running(hub)
    last = hub.state(RUN).seq
    ear = Ear()
    answer = await join(hub, ear, TTE, since(hub, last + 5))
    branch = answer["epoch"]
    assert branch != hub.epoch
    assert (answer["recovered"], answer["seq"]) == (False, last)
    snapshot = ear.heard[0]
    assert (snapshot["type"], snapshot["epoch"], snapshot["seq"]) == ("SNAPSHOT", branch, last)
    assert "was the data folder restored" in caplog.text
    await say(hub, 3)
    back = Ear()
    again = await join(hub, back, TTE, Since(epoch=branch, seq=last + 1))
    assert (again["recovered"], again["epoch"]) == (True, branch)
    assert back.seqs == [last + 2, last + 3]
    other = await join(hub, Ear(), TTE, since(hub, last + 1))
    assert (other["recovered"], other["epoch"]) == (True, hub.epoch)
    ahead = await join(hub, Ear(), TTE, Since(epoch=branch, seq=last + 9))
    assert ahead["epoch"] not in (branch, hub.epoch)


@pytest.mark.gen_test
@pytest.mark.parametrize("epoch", ["e2", "e1~", "e1~xyz", "e1~0123456g", "e1~012345678", "", "~"])
async def test_an_epoch_that_is_not_the_hub_s_is_not_told_on(make_hub, epoch):
    """A client with a foreign epoch gets the hub's epoch and a SNAPSHOT."""
    hub = make_hub()
    await running(hub)
    answer = await join(hub, Ear(), ADMIN, Since(epoch=epoch, seq=1))
    assert (answer["recovered"], answer["epoch"]) == (False, "e1")


@pytest.mark.gen_test
async def test_many_who_ask_for_the_same_are_one_look_up(make_hub):
    """Many clients that miss the same events cause one look-up."""
    hub, books = await long_run(make_hub)
    books.open.clear()
    ears = [Ear() for _ in range(50)]
    joining = [asyncio.ensure_future(join(hub, ear, ADMIN, since(hub, 2))) for ear in ears]
    await asyncio.sleep(0)
    books.open.set()
    await asyncio.gather(*joining)
    assert len(books.asked) == 1
    assert all(ear.seqs == ears[0].seqs for ear in ears)
    assert hub.subscriptions.lookups._fetching == {}


@pytest.mark.gen_test
async def test_what_happens_while_the_archive_is_asked_is_not_missed(make_hub):
    """Events during a look-up come from memory, after those of the archive."""
    hub, books = await long_run(make_hub)
    books.open.clear()
    ear = Ear()
    joining = asyncio.ensure_future(join(hub, ear, ADMIN, since(hub, 40)))
    await asyncio.sleep(0)
    await say(hub, 3)
    books.open.set()
    assert (await joining)["recovered"]
    await say(hub, 1)
    assert ear.seqs == list(range(41, hub.state(RUN).seq + 1))


@pytest.mark.gen_test
async def test_random_listeners_get_each_event_once(make_hub):
    """Listeners that come and go during commits get each event once.

    Set SEED to repeat a failure.
    """
    seed = int(os.environ.get("SEED", Random().randrange(2**32)))
    print(f"SEED={seed}")
    chance, journal = Random(seed), MemoryJournal()
    hub = make_hub(journal)
    hub.subscriptions.lookups.archive = Books(journal)
    hub.subscriptions._history._kept = 30
    await running(hub)
    ears, under_way = [Phone() for _ in range(6)], []
    for ear in ears:
        await join(hub, ear, ADMIN, since(hub, 1))
    for _ in range(3_000):
        ear = chance.choice(ears)
        what = chance.random()
        if what < 0.4:
            under_way.append(asyncio.ensure_future(say(hub, chance.randrange(1, 4))))
        elif what < 0.6 and hub.rooms.rooms_of(ear):
            hub.rooms.leave_all(ear, lost=True)
        elif what < 0.8 and not hub.rooms.rooms_of(ear) and not ear.joining:
            ear.joining = True
            under_way.append(asyncio.ensure_future(come_back(hub, ear)))
        elif what < 0.9:
            chance.choice([journal.gate.set, journal.gate.clear])()
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
    journal.gate.set()
    await asyncio.gather(*under_way)
    await hub.log.append()
    for ear in ears:
        if not hub.rooms.rooms_of(ear):
            await come_back(hub, ear)
    for ear in ears:
        assert len(ear.skipped) < hub.state(RUN).seq / 2
        assert ear.seqs == [n for n in range(2, hub.state(RUN).seq + 1) if n not in ear.skipped]


class Phone(Ear):
    """A recorder that knows the last seq it got, by an event or a SNAPSHOT."""

    def __init__(self):
        super().__init__()
        self.joining, self.skipped = False, set()

    @property
    def last(self):
        return max(1, *self.skipped, *self.seqs)


async def come_back(hub, ear):
    """Join again. A SNAPSHOT replaces events that memory does not hold."""
    last = ear.last
    answer = await join(hub, ear, ADMIN, since(hub, last))
    if not answer["recovered"]:
        ear.skipped |= set(range(last + 1, answer["seq"] + 1))
    ear.joining = False


@pytest.mark.gen_test
async def test_a_run_that_leaves_the_hub_while_a_client_joins(make_hub):
    """A client that joins a run which leaves the hub gets UNKNOWN_TRAIN, and there is no room."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await running(hub)
    journal.gate.clear()
    saying = asyncio.ensure_future(say(hub, 1))
    await asyncio.sleep(0)
    joining = asyncio.ensure_future(join(hub, Ear(), ADMIN))
    await asyncio.sleep(0)
    del hub.runs._runs[RUN]
    journal.gate.set()
    with pytest.raises(UnknownTrain):
        await joining
    await saying
    assert not hub.rooms.is_open(RUN)


# --- figures ------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_presence_is_for_the_staff(make_hub):
    """The staff get PRESENCE on subscribing and at changes, and no other clients do."""
    hub = make_hub()
    await running(hub)
    tte, passenger = Ear(), Ear()
    await join(hub, tte, TTE)
    await join(hub, passenger, PASSENGER)
    await hub.send_figures()
    presence = [m["data"] for m in tte.heard if m["type"] == "PRESENCE"]
    assert [each["sockets"]["total"] for each in presence] == [1, 2]
    assert presence[1] == {
        "ttes": 1,
        "sockets": {"total": 2, "passengers": 1, "ttes": 1, "admins": 0, "others": 0},
    }
    assert "PRESENCE" not in [message["type"] for message in passenger.heard]
    hub.rooms.leave_all(passenger, lost=True)
    await hub.send_figures()
    assert len([m for m in tte.heard if m["type"] == "PRESENCE"]) == 2
