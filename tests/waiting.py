"""Wait for a condition, with a deadline that is far away: a machine may be busy."""

import asyncio
import time

# Seconds after which what a test waits for counts as never coming.
PATIENCE = 180


def wait_for(condition, seconds=PATIENCE):
    """Look again and again until the condition holds; returns what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not come about in {seconds} s"
        time.sleep(0.01)
    return found


async def until(condition, seconds=PATIENCE, pause=0.005):
    """As `wait_for`, and the loop goes on meanwhile."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not come about in {seconds} s"
        await asyncio.sleep(pause)
    return found
