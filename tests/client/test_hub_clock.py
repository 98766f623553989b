"""trainhub_client/hub_clock.py: the hub's time from few messages, also if its clock is fast."""

import math

from trainhub_client.hub_clock import HubClock


def test_the_time_goes_on_from_the_last_message():
    """An own clock that is wrong does not matter; the hub's newest word does."""
    clock = HubClock()
    assert math.isnan(clock.at(5))
    clock.set(1_000_000, 100)
    assert clock.at(107) == 1_000_007
    clock.set(1_000_031, 130)  # the hub's clock was set by a second
    assert clock.at(131) == 1_000_032
    clock.set(math.nan, 140)  # a message without a time
    assert clock.at(132) == 1_000_033


def test_a_demo_s_clock_is_fast():
    """Two messages show its speed; the hub after a restart may run at the usual one."""
    clock = HubClock()
    clock.set(0, 0)
    clock.set(1500, 25)
    assert clock.at(26) == 1560
    clock.set(1525, 50)
    assert clock.at(51) == 1526
