"""The hub takes its leave: every socket is told when to come back, no two crowds at once."""

import asyncio
import random
import time
from collections.abc import Iterable
from typing import Protocol

# Sockets that are told in one turn of the loop, and the seconds over which all are.
SOCKETS_A_TURN = 200
TOLD_WITHIN_SECONDS = 0.8
# When to come back, in milliseconds: at the earliest, and over how much longer it is spread, at
# least and for each socket. A hub takes some hundred new sockets a second, with their snapshots.
RETRY_EARLIEST = 1_000
RETRY_SPREAD = 2_000
RETRY_EACH = 2


class Leaver(Protocol):
    """A socket that can be told that the hub goes."""

    def leave(self, code: int, reason: str, retry_after_ms: int) -> None:
        """Say goodbye and close."""


class Drain:
    """Whether the hub is taking its leave, and how it does."""

    def __init__(self) -> None:
        self.begun = False

    async def run(self, sockets: Iterable[Leaver], code: int, reason: str) -> None:
        """Dismiss all these sockets; takes no longer than MOST_SECONDS, and no time if few."""
        self.begun = True
        everybody = list(sockets)
        random.shuffle(everybody)
        spread = RETRY_SPREAD + RETRY_EACH * len(everybody)
        start, pause = (
            time.monotonic(),
            TOLD_WITHIN_SECONDS * SOCKETS_A_TURN / max(len(everybody), 1),
        )
        for first in range(0, len(everybody), SOCKETS_A_TURN):
            if first:
                late = time.monotonic() - start - TOLD_WITHIN_SECONDS * first / len(everybody)
                await asyncio.sleep(min(pause, max(0.0, -late)))
            for each in everybody[first : first + SOCKETS_A_TURN]:
                each.leave(code, reason, RETRY_EARLIEST + random.randrange(spread))
