"""trainhub/build.py: a hub of given parts, all of whose followers get every record."""

import pytest
from built import build_of_fakes
from callers import ADMIN
from railway import register

from trainhub.build import FLUSHED, NOTIFIED


@pytest.fixture
def built(io_loop):
    return build_of_fakes()


@pytest.mark.gen_test
async def test_every_follower_takes_its_turn_and_finishes(built):
    """A record that was in the journal before they follow reaches each of them."""
    await built.hub.execute(register(), ADMIN)
    built.follow()
    assert {NOTIFIED, FLUSHED} <= {each.name for each in built.followers}
    for each in built.followers:
        await each.turn()
        await each.finish()
        await each.close()
    assert {each.reader.done for each in built.followers} == {1}
    assert built.write_buffer.depth == 0


@pytest.mark.gen_test
async def test_the_followers_places_are_kept_and_bound_what_is_trimmed(built):
    """The journal keeps each record until every follower has dealt with it."""
    built.follow()
    await built.hub.execute(register(), ADMIN)
    followers = {each.name: each for each in built.followers}
    assert {each.name for each in built.hub.readers} == {"delivered", *followers}
    await followers[NOTIFIED].finish()
    await built.hub.save_places()
    assert (followers[NOTIFIED].reader.saved, followers[FLUSHED].reader.saved) == (1, 0)
