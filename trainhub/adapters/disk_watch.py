"""A watch of the data folder's disk and of its outbox, on a timer and in a thread."""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Free bytes below which the watch complains: a hub that cannot write its journal stops.
LOW_BYTES = 512 << 20
# Seconds: the watch complains if the disk will be full within this time at its present rate.
SOON_SECONDS = 24 * 3600.0
# Seconds over which that rate is measured.
WINDOW_SECONDS = 3600.0
# Seconds that a measure takes at least, to say anything about the future.
LEAST_SECONDS = 600.0
# Files in the outbox from which the watch complains, if their number never falls.
MANY_FILES = 1_000


class DiskWatch:
    """A watch that complains of a disk that is low or soon full, and of an outbox that grows."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        # A thread of its own: a hub that ends waits for the threads of the loop's executor.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        # (time, free bytes, files in the outbox)
        self._seen: deque[tuple[float, int, int]] = deque()

    async def look(self) -> None:
        """Measure once. If the disk does not answer, this call waits, and its timer is overdue."""
        call = asyncio.get_running_loop().run_in_executor(self._thread, self._measure)
        free, files = await call
        now = self._clock()
        self._seen.append((now, free, files))
        while self._seen[0][0] < now - WINDOW_SECONDS:
            self._seen.popleft()

    def complaints(self) -> list[str]:
        """Return what is wrong with the disk and the folder."""
        return [*self._disk(), *self._outbox()] if self._seen else []

    def _disk(self) -> list[str]:
        (then, before, _), (now, free, _) = self._seen[0], self._seen[-1]
        if free < LOW_BYTES:
            return [f"the disk of the data folder has {free >> 20} MB left"]
        if now - then < LEAST_SECONDS or free >= before:
            return []
        left = free / (before - free) * (now - then)
        if left > SOON_SECONDS:
            return []
        return [f"the disk of the data folder is full in {left / 3600:.1f} hours if it goes on so"]

    def _outbox(self) -> list[str]:
        counts = [files for _, _, files in self._seen]
        lasted = self._seen[-1][0] - self._seen[0][0]
        if counts[-1] < MANY_FILES or lasted < LEAST_SECONDS or counts != sorted(counts):
            return []
        return [f"the outbox has {counts[-1]} files, and no program takes them away"]

    def _measure(self) -> tuple[int, int]:
        disk = os.statvfs(self._folder)
        try:
            with os.scandir(self._folder / "outbox") as entries:
                files = sum(1 for _ in entries)
        except OSError:  # without an outbox the notifications complain, not this watch
            files = 0
        return disk.f_bavail * disk.f_frsize, files
