"""The loop's watchdog: it measures each turn of the loop, and finds the code that blocks a turn.

The selector records when a turn begins and ends, which costs two readings of a clock. A thread
checks the current turn, and records the stack of the loop's thread if the turn is too long.
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

# Seconds that one turn of the loop may take. All other work waits as long.
LIMIT_SECONDS = 0.02
# Seconds between two checks of the thread. It sees every turn longer than both values together.
LOOK_SECONDS = 0.02
# A turn that lasts longer than this is logged before it ends.
HANG_SECONDS = 5.0
# Seconds between two log lines, at least.
TELL_SECONDS = 60.0
# Seconds for which a long turn is reported.
RECENT_SECONDS = 60.0
# Seconds from which a turn is a complaint.
HELD_COMPLAIN_SECONDS = 1.0
# Long turns in memory.
MOST_TURNS = 1_000
# Calls in a logged stack.
DEEPEST = 12


class LoopWatch:
    """The turns of the loop that `make_loop` makes. `held` counts those over the limit."""

    def __init__(self) -> None:
        self.held = 0
        # When the current turn began; 0 while the loop waits. The selector sets it.
        self.began = 0.0
        # Turns over the limit: when each began, and how long it took.
        self._turns: deque[tuple[float, float]] = deque(maxlen=MOST_TURNS)
        self._thread: threading.Thread | None = None
        self._watching = False

    def make_loop(self) -> asyncio.AbstractEventLoop:
        """Make a loop whose turns are measured."""
        return asyncio.SelectorEventLoop(_Selector(self))

    def end(self, began: float, now: float) -> None:
        """Record a turn that was over the limit."""
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
        """Return the seconds of the longest turn within RECENT_SECONDS."""
        since = monotonic() - RECENT_SECONDS
        return max((took for began, took in tuple(self._turns) if began + took > since), default=0)

    def complaints(self) -> list[str]:
        """Return a sentence on the longest turn if it took HELD_COMPLAIN_SECONDS or more."""
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
    """A selector that reports the begin and end of each turn to the watch."""

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
    """Return the innermost calls as `file:line function`, without the loop's own calls."""
    calls: list[str] = []
    while frame is not None and len(calls) < DEEPEST:
        code: Any = frame.f_code
        path = code.co_filename
        if path.endswith(("asyncio/events.py", "asyncio/base_events.py")):
            break
        calls.append(f"{'/'.join(path.split('/')[-2:])}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(calls) or "the loop itself"
