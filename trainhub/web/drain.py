"""The end of a hub's sockets: each is told when to connect again, spread over some seconds."""

import asyncio
import random
import time
from collections.abc import Iterable
from typing import Protocol

# Sockets that are told in one turn of the loop.
SOCKETS_A_TURN = 200
# Seconds over which all sockets are told.
TOLD_WITHIN_SECONDS = 0.8
# Milliseconds after which the first client may connect again.
RETRY_EARLIEST = 1_000
# Milliseconds over which the clients spread, at least.
RETRY_SPREAD = 2_000
# Milliseconds more for each socket: a hub takes some hundred new sockets a second, with snapshots.
RETRY_EACH = 2


class Leaver(Protocol):
    """A socket that can be told that the hub stops."""

    def leave(self, code: int, reason: str, retry_after_ms: int) -> None:
        """Send GOODBYE and close."""


class Drain:
    """The closing of all sockets. `begun` says whether it has begun."""

    def __init__(self) -> None:
        self.begun = False

    async def run(self, sockets: Iterable[Leaver], code: int, reason: str) -> None:
        """Close the sockets, SOCKETS_A_TURN at a time, over about TOLD_WITHIN_SECONDS.

        Up to SOCKETS_A_TURN sockets are closed without a pause.
        """
        self.begun = True
        leavers = list(sockets)
        random.shuffle(leavers)
        spread = RETRY_SPREAD + RETRY_EACH * len(leavers)
        start = time.monotonic()
        pause = TOLD_WITHIN_SECONDS * SOCKETS_A_TURN / max(len(leavers), 1)
        for first in range(0, len(leavers), SOCKETS_A_TURN):
            if first:
                due = start + TOLD_WITHIN_SECONDS * first / len(leavers)
                await asyncio.sleep(min(pause, max(0.0, due - time.monotonic())))
            for each in leavers[first : first + SOCKETS_A_TURN]:
                each.leave(code, reason, RETRY_EARLIEST + random.randrange(spread))
