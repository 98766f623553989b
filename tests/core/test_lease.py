"""trainhub/core/lease.py: one owner at a time, and no clock but one's own.

The same rules hold for the lease in a real mongod and for the one of the fakes.
"""

import asyncio

import pytest
from fakes import MemoryLease

from trainhub.adapters.mongo import MongoStore
from trainhub.adapters.mongo_lease import MongoLease
from trainhub.core.lease import DEAD_SECONDS, RivalHub, State, Tenancy

EPOCH = "h000001-aa"


@pytest.fixture(params=["memory", pytest.param("mongodb", marks=pytest.mark.slow)])
def lease(request, io_loop):
    if request.param == "memory":
        yield MemoryLease()
        return
    uri, name = map(request.getfixturevalue, ("mongodb_uri", "database_name"))
    store = MongoStore(uri, name, {})
    yield MongoLease(store)
    store.close()


def tenancy(lease, start, *own, alone=False):
    """A hub's hold on the lease; `own` are starts that only this hub can have been."""
    return Tenancy(lease, start, lambda holder: holder.start in own, alone=alone)


async def taken(hub):
    has, _ = await hub.acquire(EPOCH)
    if has:
        hub.state = State.OWNER
    return has


@pytest.mark.gen_test
async def test_a_holder_that_beats_is_left_alone_and_named(lease):
    """The second hub learns within two beats that the first one lives."""
    first, second = tenancy(lease, "a"), tenancy(lease, "b")
    assert await taken(first)
    assert not await taken(second)
    assert second.state is State.WATCHING
    await first.renew()
    assert not await taken(second)
    assert second.state is State.RIVAL
    error = second.rival()
    assert isinstance(error, RivalHub)
    for part in ("process", EPOCH, "stop that hub", "--database"):
        assert part in str(error)


@pytest.mark.slow
@pytest.mark.gen_test
async def test_a_holder_that_does_not_beat_is_taken_over_after_its_time(lease):
    """By one's own clock, whatever the times in the lease say; and the first one notices."""
    first, second = tenancy(lease, "a"), tenancy(lease, "b")
    assert await taken(first)
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await taken(second):
        assert second.state is State.WATCHING
        await asyncio.sleep(0.1)
    assert loop.time() - began >= DEAD_SECONDS
    assert await first.renew() is None
    assert not await taken(first)


@pytest.mark.gen_test
@pytest.mark.parametrize("way", ["released", "own", "alone"])
async def test_a_lease_that_nobody_can_hold_is_taken_at_once(lease, way):
    """It was given back, or it is this folder's, or the database is this hub's alone."""
    assert await taken(tenancy(lease, "a"))
    if way == "released":
        await lease.release("a")
    own = ["a"] if way == "own" else []
    second = tenancy(lease, "b", *own, alone=way == "alone")
    assert await taken(second)
    assert await taken(second), "it still has it"
    assert second.unheard_for < DEAD_SECONDS


@pytest.mark.gen_test
async def test_a_lease_that_vanished_is_made_again(io_loop, mongodb_uri, database):
    """The database was dropped under its owner."""
    store = MongoStore(mongodb_uri, database.name, {})
    lease = MongoLease(store)
    first = tenancy(lease, "a")
    assert await taken(first)
    database.meta.delete_one({"_id": "hub"})
    assert await first.renew() is None
    assert await taken(first)
    assert database.meta.find_one({"_id": "hub"})["lease"]["start"] == "a"
    store.close()
