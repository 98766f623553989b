"""trainhub/process/loop_watch.py: long turns of the loop are counted, and their code named."""

import asyncio
import json
import logging
import time

import pytest
from load import asker
from railway import chart
from waiting import PATIENCE, until, wait_for

from trainhub.process import loop_watch
from trainhub.process.loop_watch import HELD_COMPLAIN_SECONDS, LIMIT_SECONDS, MOST_TURNS, LoopWatch


def run(main):
    """Run a coroutine of the watch on its loop, watched."""
    watch = LoopWatch()

    async def watched():
        watch.start()
        await asyncio.sleep(0.1)
        await main(watch)

    try:
        with asyncio.Runner(loop_factory=watch.make_loop) as runner:
            runner.run(watched())
    finally:
        watch.stop()
    return watch


def hold(seconds):
    """What a culprit does: it does not let go of the loop's thread."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        json.dumps(list(range(1_000)))


@pytest.mark.parametrize("holds", [hold, time.sleep], ids=["busy", "asleep"])
def test_the_culprit_is_named_in_one_line(caplog, holds):
    """The log has the innermost calls while the loop was held, and for how long it was."""

    def culprit():
        holds(0.5)

    async def main(watch):
        asyncio.get_running_loop().call_soon(culprit)
        await until(lambda: caplog.records)

    watch = run(main)
    line = caplog.records[0].getMessage()
    assert "test_loop_watch.py" in line
    assert " culprit" in line
    assert "\n" not in line
    assert watch.held >= 1
    assert watch.longest > 0.4


def test_turns_are_measured_whole(caplog):
    """Many short calls in one turn hold the others as one long call does; short turns do not."""

    async def main(watch):
        before = watch.held
        loop = asyncio.get_running_loop()
        for _ in range(20):
            loop.call_soon(time.sleep, LIMIT_SECONDS / 4)
        await until(lambda: watch.held > before)

    assert run(main).longest > 2 * LIMIT_SECONDS


def test_a_loop_that_waits_is_not_held(caplog):
    """Waiting for something to do is what a loop is for."""
    caplog.set_level(logging.WARNING, "trainhub.loop")

    async def main(watch):
        before = watch.held
        await asyncio.sleep(2)
        # The machine may be busy: a turn may be long for that, but not as long as the wait.
        assert watch.held - before < 20
        assert watch.longest < 2

    run(main)


def test_lines_are_few_and_turns_are_all_counted(caplog, monkeypatch):
    """A loop that is held again and again does not fill the log."""

    async def main(watch):
        before = watch.held
        for _ in range(20):
            time.sleep(0.05)
            await asyncio.sleep(0.005)
        assert watch.held - before >= 20

    run(main)
    assert len(caplog.records) <= 1


def test_a_turn_that_does_not_end_is_told_while_it_lasts(caplog, monkeypatch):
    """A turn that hangs is logged before it ends, so that operators learn the reason."""
    monkeypatch.setattr(loop_watch, "HANG_SECONDS", 0.1)

    async def main(watch):
        deadline = time.monotonic() + PATIENCE
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)

    run(main)
    assert "the loop was held for" in caplog.records[0].getMessage()


def test_only_what_clients_feel_is_a_complaint():
    """For a minute; what is remembered is bounded."""
    watch, now = LoopWatch(), time.monotonic()
    watch._turns += [(now - 1, HELD_COMPLAIN_SECONDS - 0.01)] * (MOST_TURNS + 5)
    assert len(watch._turns) == MOST_TURNS
    assert watch.complaints() == []
    watch._turns.append((now - 2, 1.5))
    assert watch.complaints() == ["the loop was held for 1.5 s within the last minute"]
    watch._turns.clear()
    watch._turns.append((now - 90, 20.0))
    assert watch.complaints() == []


def test_a_hub_shows_how_its_loop_is(start_hub, mongod_options):
    """/readyz and the monitor have the figures, and a hub stopped by a debugger is noticed."""
    hub = start_hub(*mongod_options)
    ask = asker(hub)
    ask("/api/trains", chart())
    assert ask("/readyz")["loop"].keys() == ask("/api/monitor")["loop"].keys()
    assert ask("/readyz")["loop"]["longestMillis"] < 60_000
    assert wait_for(lambda: "health" in ask("/readyz")["timers"])
