"""Wall clocks that a test can set, as NTP does: in this process or in another one."""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trainhub.process.clock import WallClock

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()

# Only the wall clock moves: sleeps, timeouts and monotonic clocks stay correct.
SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long moved_by(void) {
    char text[32] = {0};
    const char *path = getenv("MOVED_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    long found = read(file, text, sizeof text - 1) > 0 ? atol(text) : 0;
    close(file);
    return found;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += moved_by();
    return result;
}

int gettimeofday(struct timeval *time, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result != NULL) *result = now.tv_sec;
    return now.tv_sec;
}
"""


class MovedClock:
    """A wall clock for another process: `environment` lets that process see what `set` set."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("gcc") is None:
            pytest.skip("gcc is not installed here")
        folder.mkdir()
        source, library = folder / "moved.c", folder / "moved.so"
        source.write_text(SOURCE)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
        self._file = folder / "seconds"
        self.environment = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self._file)}
        self.set(0)

    def set(self, seconds: int) -> None:
        """Move the clock to `seconds` from the true time, at once."""
        draft = self._file.with_suffix(".new")
        draft.write_text(str(seconds))
        os.replace(draft, self._file)


class Machine:
    """A machine's two clocks: `pass_` moves both on, `set` moves the wall clock only."""

    def __init__(self):
        self.steady, self.by = 1_000.0, 0.0

    def wall(self):
        return NOON - 1_000.0 + self.steady + self.by

    def pass_(self, seconds):
        self.steady += seconds

    def set(self, seconds):
        self.by += seconds

    def clock(self, path=None):
        return WallClock(path, self.wall, lambda: self.steady)
