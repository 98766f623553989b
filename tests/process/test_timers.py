"""Periodic callbacks run by the monotonic clock, and a timer that is overdue is named."""

import ast
import asyncio
import time
from pathlib import Path

import pytest
from waiting import PATIENCE

from trainhub.process.timers import Timers

ROOT = Path(__file__).parents[2]
# What makes a timer: only trainhub/timers.py and the parts that wait once may use these names.
MAKERS = {"PeriodicCallback", "add_timeout", "call_at"}


@pytest.mark.gen_test
async def test_a_step_of_the_wall_clock_does_not_stop_a_timer(monkeypatch):
    """The wall clock goes back by an hour after the first call: the calls go on all the same."""
    timers, calls, real = Timers(), [], time.time
    timers.every(0.01, "tick", lambda: calls.append(1))
    while not calls:
        await asyncio.sleep(0.01)
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    before = len(calls)
    async with asyncio.timeout(PATIENCE):
        while len(calls) < before + 3:
            await asyncio.sleep(0.01)
    timers.stop()


@pytest.mark.gen_test
async def test_a_call_that_waits_is_never_started_twice():
    """A slow call is not entered again; after it the timer goes on."""
    timers, running, most, ended = Timers(), 0, 0, 0

    async def slow():
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        ended += 1

    timers.every(0.01, "slow", slow)
    async with asyncio.timeout(PATIENCE):
        while ended < 3:
            await asyncio.sleep(0.01)
    timers.stop()
    assert most == 1


@pytest.mark.gen_test
async def test_a_call_that_never_ends_is_overdue_and_named(monkeypatch):
    """Also a timer whose call hangs has not run: the complaint names it, and no other timer."""
    timers, hang = Timers(), asyncio.Event()
    timers.every(0.01, "stuck", hang.wait)
    timers.every(0.01, "well", lambda: None)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.05)
    assert timers.complaints() == []
    ahead = loop.time() + 6
    timers._timers["well"].last = ahead
    monkeypatch.setattr(loop, "time", lambda: ahead)
    assert timers.complaints() == ["the timer 'stuck' has not run for 6 s"]
    monkeypatch.undo()
    hang.set()
    timers.stop()


@pytest.mark.gen_test
async def test_a_call_that_raises_is_logged_and_runs_again(caplog):
    """One failure does not end the timer."""
    timers, calls = Timers(), []

    def fail():
        calls.append(1)
        raise ValueError("this turn fails")

    timers.every(0.01, "failing", fail)
    async with asyncio.timeout(PATIENCE):
        while len(calls) < 3:
            await asyncio.sleep(0.01)
    timers.stop()
    assert "this turn fails" in caplog.text


def test_no_other_module_makes_timers():
    """A timer elsewhere could run by another clock, and nothing would notice when it stops.

    The client is an app's own: it waits by its loop's clock, once at a time.
    """
    for path in (ROOT / "trainhub").rglob("*.py"):
        if path.name == "timers.py" or path.parent.name == "client":
            continue
        tree = ast.parse(path.read_text("utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not names & MAKERS, path
