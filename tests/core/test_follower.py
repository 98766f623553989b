"""trainhub/core/follower.py: one turn takes what waits, then begins to work it off."""

import pytest

from trainhub.core.follower import Follower


class Steps:
    """A reader and its consumer that note the order of what is asked of them."""

    name = "steps"

    def __init__(self):
        self.noted = []

    async def catch_up(self):
        self.noted.append("catch up")

    def begin(self):
        self.noted.append("begin")


@pytest.mark.gen_test
async def test_a_turn_catches_up_before_it_begins():
    """What waited in the journal is part of what is worked off."""
    steps = Steps()
    follower = Follower(steps, "steps", "step", 0.1, steps.begin, None, None, list, None)
    await follower.turn()
    assert (follower.name, steps.noted) == ("steps", ["catch up", "begin"])
