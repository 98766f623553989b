"""trainhub/core/lookups.py: the archive is asked once for all, and not while it is away."""

import asyncio

import pytest
from callers import running
from fakes import MemoryJournal
from railway import RUN

from trainhub.core.breaker import FAILURES
from trainhub.core.lookups import LOOKUPS_AT_ONCE, Lookups
from trainhub.core.write_buffer import StoreAway
from trainhub.hub.audit import NoArchive


class Away:
    """An archive that does not answer, until `back`."""

    def __init__(self, events=()):
        self.asked = 0
        self.back = False
        self._events = events

    async def events(self, run, epoch, after, most):
        self.asked += 1
        await asyncio.sleep(0)
        if not self.back:
            raise StoreAway("frozen")
        return self._events[after : after + most]


@pytest.fixture
def events(io_loop, make_hub):
    """The events of a run."""
    journal = MemoryJournal()

    async def make():
        await running(make_hub(journal))

    io_loop.run_sync(make)
    return [record.event for record in journal.records]


@pytest.mark.gen_test
async def test_what_is_found_has_its_numbers(events):
    """From the seq after the one named, as records."""
    archive = Away(events)
    archive.back = True
    records = await Lookups(archive, "e").fetch(RUN, 1, 10)
    assert [(r.stream, r.seq, r.event) for r in records] == [(RUN, 2, events[1])]
    assert await Lookups(NoArchive(), "e").fetch(RUN, 1, 10) == []


@pytest.mark.gen_test
async def test_those_who_miss_some_of_the_same_share_a_look_up(events):
    """A train whose passengers were away for different times comes back at once."""
    archive = Away(events)
    archive.back = True
    lookups = Lookups(archive, "e")
    found = await asyncio.gather(*(lookups.fetch(RUN, after, 10) for after in (0, 1, 0, 1, 2)))
    assert archive.asked == 1
    assert [[r.seq for r in records] for records in found] == [[1, 2], [2], [1, 2], [2], []]


@pytest.mark.gen_test
async def test_an_archive_that_is_away_is_asked_no_more(events):
    """Some find out, the others are told at once; and so is the operator. It is tried again."""
    archive, clock = Away(events), [100.0]
    lookups = Lookups(archive, "e")
    lookups._breaker._clock = lambda: clock[0]

    async def fetch(number):
        with pytest.raises(StoreAway):
            await lookups.fetch(f"{number}/2026-11-23", 0, 10)

    assert lookups.complaints() == []
    await asyncio.gather(*(fetch(number) for number in range(200)))
    assert FAILURES <= archive.asked <= LOOKUPS_AT_ONCE
    (told,) = lookups.complaints()
    assert "MongoDB does not answer" in told
    before = archive.asked
    await asyncio.gather(*(fetch(number) for number in range(200)))
    assert archive.asked == before
    archive.back = True
    clock[0] += 60
    assert len(await lookups.fetch(RUN, 0, 10)) == 2
    assert archive.asked == before + 1
    assert lookups.complaints() == []
