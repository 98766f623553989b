"""trainhub/adapters/mongo_lease.py: with a real mongod there is one holder and one place."""

import asyncio

import pytest

from trainhub.adapters.mongo import MongoStore
from trainhub.adapters.mongo_lease import MongoLease, look
from trainhub.core.lease import Held, LeaseHolder
from trainhub.core.lineage import StorePlace
from trainhub.core.write_buffer import StoreAway

A, B = LeaseHolder("a", "h000001-aa", "here", 1), LeaseHolder("b", "h000002-bb", "there", 2)
PLACE = StorePlace("h000001-aa", "a", 7)


@pytest.fixture
def lease(io_loop, mongodb_uri, database_name):
    store = MongoStore(mongodb_uri, database_name, {})
    yield MongoLease(store)
    store.close()


@pytest.mark.gen_test
async def test_of_many_who_claim_at_once_one_succeeds(lease):
    """Of many claims only one succeeds, for a free lease and for a held one."""
    assert await lease.read() is None
    for turn in range(2):
        held = await lease.read()
        expected = held and held.holder
        crowd = [LeaseHolder(f"{turn}-{number}", "e", "h", number) for number in range(8)]
        won = await asyncio.gather(*(lease.claim(each, expected) for each in crowd))
        assert sum(won) == 1
        assert (await lease.read()).holder.start == crowd[won.index(True)].start


@pytest.mark.gen_test
async def test_a_holder_that_beats_cannot_be_taken_over_by_who_saw_it_before(lease):
    """A claim fails if the holder has beaten since it was read."""
    await lease.claim(A, None)
    seen = (await lease.read()).holder
    held = await lease.renew("a")
    assert held.holder.beats == seen.beats + 1
    assert not await lease.claim(B, seen)
    assert await lease.claim(B, held.holder)
    assert await lease.renew("a") is None


@pytest.mark.gen_test
async def test_the_place_moves_by_its_holder_alone_and_from_where_it_was(lease):
    """Only the holder moves the place, and only from the expected one."""
    await lease.claim(A, None)
    assert await lease.put("a", PLACE, None)
    after = StorePlace("h000001-aa", "a", 9)
    assert not await lease.put("a", after, StorePlace("h000001-aa", "a", 8))
    assert await lease.put("a", after, PLACE)
    assert not await lease.put("b", PLACE, after)
    assert (await lease.read()).place == after
    assert await lease.claim(B, (await lease.read()).holder)
    assert (await lease.read()).place == after, "a claim leaves the place as it is"


@pytest.mark.gen_test
async def test_a_released_lease_says_so(lease, mongodb_uri, database_name):
    """The next hub and `check` both see that a lease was released."""
    await lease.claim(A, None)
    await lease.release("b")
    assert not (await lease.read()).holder.released
    await lease.release("a")
    held = await look(mongodb_uri, database_name)
    assert isinstance(held, Held)
    assert held.holder.released


@pytest.mark.gen_test
async def test_a_server_that_is_away_is_told_as_such(io_loop, unused_port, database_name):
    """Each call raises StoreAway if the server is away."""
    store = MongoStore(f"mongodb://127.0.0.1:{unused_port}", database_name, {})
    lease = MongoLease(store)
    try:
        calls = (lease.read(), lease.claim(A, None), lease.renew("a"), lease.put("a", PLACE, None))
        outcomes = await asyncio.gather(*calls, lease.release("a"), return_exceptions=True)
        assert [type(each) for each in outcomes] == [StoreAway] * 5
    finally:
        store.close()
