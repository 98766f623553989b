"""trainhub_client/link_life.py: live links stay, and dead ones are noticed in time."""

import itertools
import math

import pytest

from trainhub_client.link_life import (
    ANSWER_SECONDS,
    ASKED_SECONDS,
    LATE_SECONDS,
    QUIET_SECONDS,
    SLOW_SECONDS,
    LinkLife,
)

PERIODS = (0.5, 1, 2.5, 5, 12.5, 15, 20, 25, 30, 40, 60, 300)


class World:
    """A link whose hub answers each PING after `travel` seconds until it `dies`."""

    def __init__(self, life, travel=0.1, dies=math.inf):
        self.life, self.travel, self.dies = life, travel, dies
        self.now = 0.0
        self.pings = 0
        self.asked_at, self.slow = math.inf, False
        life.answered()  # by WELCOME

    def run(self, until, chatter=math.inf):
        """Go on; every `chatter` seconds something else comes. Returns when the link was given up.

        None means that it was not.
        """
        pongs, words = [], self.now + chatter
        while True:
            due = self.life.due(self.asked_at, self.slow)
            self.now = min(due, words, *pongs[:1], until)
            if self.now >= until:
                return None
            if pongs and self.now == pongs[0]:
                pongs.pop(0)
                self._hear(2)
                self.life.answered()
            elif self.now == words:
                words += chatter
                self._hear(100)
            else:
                step = self.life.step(self.now, self.asked_at, self.slow)
                if step == "dead":
                    return self.now
                assert step == "ping"
                self.pings += 1
                if self.now < self.dies:
                    pongs.append(self.now + self.travel)

    def _hear(self, size):
        self.life.heard(size, self.now)
        self.life.heard_message(self.now)


@pytest.mark.parametrize(("quiet", "answer"), itertools.product(PERIODS, PERIODS))
def test_every_pair_of_periods(quiet, answer):
    """A quiet link that answers lives; a dead link is noticed within quiet + answer seconds."""
    for travel, chatter in itertools.product((0.0, 0.1, answer * 0.99), (math.inf, 0.7, quiet)):
        world = World(LinkLife(0.0, quiet, answer=answer, slow=max(90, answer)), travel)
        assert world.run(until=40 * (quiet + answer), chatter=chatter) is None
        if chatter == math.inf:
            assert world.pings >= 20  # and it was asked
            dies = world.dies = world.now
            noticed = world.run(until=dies + 10 * (quiet + answer))
            assert dies < noticed <= dies + quiet + answer + travel + 1e-6


def test_the_shipped_periods():
    """A dead link is noticed within 40 seconds, and within 20 while a message is unanswered."""
    assert QUIET_SECONDS + ANSWER_SECONDS == 40
    assert ASKED_SECONDS + ANSWER_SECONDS == 20
    world = World(LinkLife(0.0), dies=0)
    world.asked_at = 7.0
    assert world.run(until=1000) == 7.0 + 20


def test_a_message_that_is_unanswered_for_long_is_followed_by_pings():
    """PINGs follow each other while the hub answers them."""
    world = World(LinkLife(0.0))
    world.asked_at = 0.0
    assert world.run(until=61) is None
    assert 10 <= world.pings <= 12


def test_a_hub_that_hears_nothing_is_noticed_though_it_speaks():
    """Bytes from the hub do not replace the answer to a PING."""
    world = World(LinkLife(0.0), dies=0)
    world.asked_at = 0.0
    noticed = world.run(until=1000, chatter=1)
    assert SLOW_SECONDS < noticed < SLOW_SECONDS + 20


def test_a_slow_link_is_no_dead_one():
    """A snapshot of ten minutes at 2 KB a second does not end the link."""
    life = LinkLife(0.0)
    life.answered()
    assert life.check(0.0)
    for second in range(1, 600):
        life.heard(2000, second)
        assert life.step(second + 0.5, 0.0, False) is None


def test_what_is_large_gets_more_time():
    """A browser shows no byte of a SNAPSHOT before the last, so the link gets more time."""
    world = World(LinkLife(0.0), dies=0)
    world.slow = True
    assert world.run(until=1000) == QUIET_SECONDS + SLOW_SECONDS


def test_a_timer_that_comes_late_does_not_judge():
    """After a sleep the hub gets one more PING."""
    life = LinkLife(0.0)
    life.answered()
    assert life.step(25, math.inf, False) == "ping"
    late = 40 + LATE_SECONDS + 1
    assert life.step(late, math.inf, False) == "ping"
    assert life.step(late + ANSWER_SECONDS - 0.1, math.inf, False) is None
    assert life.step(late + ANSWER_SECONDS + 60, math.inf, False) == "dead"


def test_the_opening_has_to_be_answered():
    """A socket without a WELCOME is given up."""
    assert LinkLife(0.0).step(ANSWER_SECONDS, math.inf, False) == "dead"


def test_a_check_on_its_way_is_not_repeated():
    """Repeated checks do not keep a dead link alive."""
    life = LinkLife(0.0)
    life.answered()
    assert life.check(1.0)
    assert not any(life.check(1.0 + second) for second in range(14))
    assert life.step(1.0 + ANSWER_SECONDS, math.inf, False) == "dead"
