"""The free space of the data folder's disk: measured on a timer, in a thread."""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

# The hub stops when the journal cannot be written, so this is said well before.
LOW_BYTES = 512 << 20
# A disk that would be full in this time, as it filled up lately, is a complaint.
SOON_SECONDS = 24 * 3600.0
# What happened "lately", and the least of it that says anything about what comes.
WINDOW_SECONDS, LEAST_SECONDS = 3600.0, 600.0


class DiskWatch:
    """Whether the disk is low on space, or full soon."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        # (time, free bytes)
        self._seen: deque[tuple[float, int]] = deque()

    async def look(self) -> None:
        """Measure. A disk that does not answer holds up a thread, and this timer is overdue."""
        free = await asyncio.to_thread(self._measure)
        now = self._clock()
        self._seen.append((now, free))
        while self._seen[0][0] < now - WINDOW_SECONDS:
            self._seen.popleft()

    def complaints(self) -> list[str]:
        """Return what is wrong with the disk."""
        if not self._seen:
            return []
        (then, before), (now, free) = self._seen[0], self._seen[-1]
        if free < LOW_BYTES:
            return [f"the disk of the data folder has {free >> 20} MB left"]
        if now - then < LEAST_SECONDS or free >= before:
            return []
        left = free / (before - free) * (now - then)
        if left > SOON_SECONDS:
            return []
        return [f"the disk of the data folder is full in {left / 3600:.1f} hours if it goes on so"]

    def _measure(self) -> int:
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize
