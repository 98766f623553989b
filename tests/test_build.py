"""trainhub/build.py: a hub of any parts, whose followers all take part in everything."""

import pytest
from callers import ADMIN
from fakes import KeptJobs, Letters, MemoryJournal, MemoryStore, Postbox, line
from railway import MORNING, register

from trainhub.build import FLUSHED, NOTIFIED, build
from trainhub.settings import read_settings


@pytest.fixture
def built(io_loop):
    return build(
        read_settings([]),
        journal=MemoryJournal(),
        store=MemoryStore(),
        sender=Postbox(),
        undelivered=KeptJobs(),
        dead_letters=Letters(),
        clock=lambda: MORNING,
        rooms={},
        frame=line,
        on_failure=print,
    )


@pytest.mark.gen_test
async def test_every_follower_takes_its_turn_and_finishes(built):
    """A record that is in the journal before they follow reaches each of them."""
    built.hub.loaded = True
    await built.hub.execute(register(), ADMIN)
    built.follow()
    assert [each.name for each in built.followers] == [NOTIFIED, FLUSHED]
    for each in built.followers:
        await each.turn()
        await each.finish()
        await each.close()
    assert [each.reader.done for each in built.followers] == [1, 1]
    assert built.write_buffer.depth == 0


@pytest.mark.gen_test
async def test_the_followers_places_are_kept_and_bound_what_is_trimmed(built):
    """The journal drops nothing that a follower has not dealt with."""
    built.hub.loaded = True
    built.follow()
    await built.hub.execute(register(), ADMIN)
    assert {each.name for each in built.hub.readers} == {"delivered", NOTIFIED, FLUSHED}
    await built.followers[0].finish()
    await built.hub.save_places()
    assert [each.reader.saved for each in built.followers] == [1, 0]
