"""trainhub/core/follower.py: one turn takes what waits, then begins to work it off."""

import pytest

from trainhub.core.follower import Follower
from trainhub.core.journal import ReaderPlace


class Steps:
    """A reader and its consumer that note the order of what is asked of them."""

    name = "steps"

    def __init__(self):
        self.noted = []

    async def open(self):
        self.noted.append("open")
        return ReaderPlace("steps", 3, {})

    async def catch_up(self):
        self.noted.append("catch up")

    def begin(self):
        self.noted.append("begin")


@pytest.mark.gen_test
async def test_a_turn_catches_up_before_it_begins():
    """What waited in the journal is part of what is worked off."""
    steps = Steps()
    follower = Follower(
        reader=steps, shown="steps", timer="step", period=0.1, begin=steps.begin, late=None
    )
    await follower.turn()
    assert (follower.name, steps.noted) == ("steps", ["catch up", "begin"])


@pytest.mark.gen_test
async def test_the_consumer_hears_where_it_goes_on():
    """What stands in the journal of an earlier process reaches the consumer once, at the start."""
    steps, places = Steps(), []
    options = {"shown": "steps", "timer": "step", "period": 0.1, "begin": steps.begin}
    follower = Follower(reader=steps, late=None, resume=places.append, **options)
    await follower.open()
    assert (steps.noted, [each.position for each in places]) == (["open"], [3])
    await follower.finish()
    await follower.close()
    assert follower.complaints() == []
