"""The loop's watchdog: how long each turn of the loop takes, and what holds a long one.

The selector notes when a turn begins and ends, which costs two looks at a clock. A thread looks at
the turn that is under way, and takes the stack of the loop's thread if it is too long.
"""

import asyncio
import logging
import selectors
import sys
import threading
import time
from collections import deque
from time import monotonic
from types import FrameType
from typing import Any

logger = logging.getLogger("trainhub.loop")

# Seconds that one turn of the loop may take: all others wait as long.
LIMIT_SECONDS = 0.02
# How often the thread looks. A turn is caught for certain when it takes the limit and this.
LOOK_SECONDS = 0.02
# A turn that has not ended after this is told of while it lasts.
HANG_SECONDS = 5.0
# The log gets at most one line in this time.
TELL_SECONDS = 60.0
# Turns are shown for this long, and are a complaint from this length on.
RECENT_SECONDS = 60.0
HELD_COMPLAIN_SECONDS = 1.0
MOST_TURNS = 1_000
DEEPEST = 12


class LoopWatch:
    """The turns of the loop that `make_loop` makes. `held` counts those over the limit."""

    def __init__(self) -> None:
        self.held = 0
        # When the turn under way began; 0 while the loop waits. The selector sets it.
        self.began = 0.0
        # Turns over the limit: when each began, and how long it took.
        self._turns: deque[tuple[float, float]] = deque(maxlen=MOST_TURNS)
        self._thread: threading.Thread | None = None
        self._watching = False

    def make_loop(self) -> asyncio.AbstractEventLoop:
        """Make a loop whose turns are measured."""
        return asyncio.SelectorEventLoop(_Selector(self))

    def end(self, began: float, now: float) -> None:
        """Note that a turn was over the limit."""
        if self._watching:
            self.held += 1
            self._turns.append((began, now - began))

    def start(self) -> None:
        """Watch the turns of the calling thread's loop from the next one on."""
        self.began, self._watching = 0.0, True
        arguments = (threading.get_ident(),)
        self._thread = threading.Thread(target=self._watch, args=arguments, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._watching = False

    @property
    def longest(self) -> float:
        """Return the seconds of the longest turn lately."""
        since = monotonic() - RECENT_SECONDS
        return max((took for began, took in tuple(self._turns) if began + took > since), default=0)

    def complaints(self) -> list[str]:
        """Return the longest turn if clients may have felt it."""
        if self.longest < HELD_COMPLAIN_SECONDS:
            return []
        return [f"the loop was held for {self.longest:.1f} s within the last minute"]

    # --- the thread ------------------------------------------------------------------------------

    def _watch(self, loop_thread: int) -> None:
        caught, where, told_at, told = 0.0, "", -TELL_SECONDS, 0
        while self._watching:
            time.sleep(LOOK_SECONDS)
            began, now = self.began, monotonic()
            if caught and (began != caught or now - caught > HANG_SECONDS):
                took = next((took for at, took in tuple(self._turns) if at == caught), now - caught)
                if now - told_at >= TELL_SECONDS:
                    logger.warning(
                        "the loop was held for %d ms in %s; since the last line %d turns took "
                        "over %d ms",
                        took * 1000,
                        where,
                        self.held - told,
                        LIMIT_SECONDS * 1000,
                    )
                    told_at, told = now, self.held
                caught = 0.0
            if began and began != caught and now - began > LIMIT_SECONDS:
                caught, where = began, _where(sys._current_frames().get(loop_thread))


class _Selector(selectors.DefaultSelector):
    """A selector that tells when it has something to do and when all of that is done."""

    def __init__(self, watch: LoopWatch) -> None:
        super().__init__()
        self._watch = watch

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        watch = self._watch
        began, watch.began = watch.began, 0.0
        if began and (now := monotonic()) - began > LIMIT_SECONDS:
            watch.end(began, now)
        found = super().select(timeout)
        watch.began = monotonic()
        return found


def _where(frame: FrameType | None) -> str:
    """Return the innermost calls, as `file:line function`, down to the loop's own."""
    calls: list[str] = []
    while frame is not None and len(calls) < DEEPEST:
        code: Any = frame.f_code
        path = code.co_filename
        if path.endswith(("asyncio/events.py", "asyncio/base_events.py")):
            break
        calls.append(f"{'/'.join(path.split('/')[-2:])}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(calls) or "the loop itself"
