"""trainhub/core/breaker.py: what does not answer is not asked, and is tried again after a pause."""

from fakes import Clock

from trainhub.core.breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker


def opened(failures=FAILURES):
    clock = Clock(100.0)
    breaker = Breaker(clock)
    calls = [breaker.allow() for _ in range(failures)]
    assert all(calls)
    for _ in calls:
        breaker.failed()
    return breaker, clock


def test_a_few_failures_are_allowed():
    """Below the number of failures every call is made, and an answer forgets them."""
    breaker, _ = opened(FAILURES - 1)
    assert breaker.allow()
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert breaker.allow()
    assert not breaker.refuses


def test_it_opens_and_lets_one_probe_through_after_a_pause():
    """Only the probe waits for what does not answer."""
    breaker, clock = opened()
    assert not breaker.allow()
    assert breaker.refuses
    clock.now += FIRST_PAUSE
    assert not breaker.refuses
    assert breaker.allow()
    assert [breaker.allow() for _ in range(5)] == [False] * 5
    clock.now += 1_000
    assert not breaker.allow()  # the probe is still under way
    breaker.succeeded()
    assert all(breaker.allow() for _ in range(5))


def test_each_failed_probe_doubles_the_pause_to_a_limit():
    """A probe costs its caller a wait: the longer it is away, the fewer there are."""
    breaker, clock = opened()
    pauses = []
    for _ in range(8):
        pause = 0.0
        while not breaker.allow():
            clock.now += 0.5
            pause += 0.5
        pauses.append(pause)
        breaker.failed()
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    clock.now += LONGEST_PAUSE
    assert breaker.allow()
    breaker.succeeded()
    for _ in range(FAILURES):
        breaker.failed()
    clock.now += FIRST_PAUSE  # the pause begins short again
    assert breaker.allow()


def test_many_calls_that_fail_at_once_are_one_failure_of_the_part():
    """Those under way when it opens do not lengthen the pause."""
    breaker, clock = opened(50)
    assert not breaker.allow()
    clock.now += FIRST_PAUSE
    assert breaker.allow()
