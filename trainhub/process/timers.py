"""The timers of the hub: watched periodic callbacks on the event loop's monotonic clock."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tornado import ioloop

# A timer is overdue if it has finished no call for this many periods and for its patience.
OVERDUE_PERIODS = 3
# The default patience in seconds.
OVERDUE_SECONDS = 5.0

Call = Callable[[], Awaitable[None] | None]


class PeriodicCallback(ioloop.PeriodicCallback):
    """Tornado's PeriodicCallback on the loop's monotonic clock.

    Tornado's class uses `time.time()`: when the wall clock steps back by an hour, it sleeps for
    an hour. As in Tornado, no call starts while the previous call is running.
    """

    def __init__(self, call: Call, seconds: float) -> None:
        super().__init__(call, seconds * 1000)

    def start(self) -> None:
        self.io_loop = ioloop.IOLoop.current()
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._next_timeout = self._loop.time()
        self._schedule_next()

    def _schedule_next(self) -> None:
        if self._running:
            self._update_next(self._loop.time())
            self._timeout = self._loop.call_at(self._next_timeout, self._start_call)

    def _start_call(self) -> None:
        self._task = self._loop.create_task(
            self._run()
        )  # the reference keeps it from being collected


@dataclass(slots=True)
class _Timer:
    callback: PeriodicCallback
    period: float
    patience: float
    last: float  # the loop's time at which the last call ended, or the timer was started

    @property
    def longest_pause(self) -> float:
        return max(OVERDUE_PERIODS * self.period, self.patience)


class Timers:
    """The running timers by name."""

    def __init__(self) -> None:
        self._timers: dict[str, _Timer] = {}

    def every(
        self, seconds: float, name: str, call: Call, patience: float = OVERDUE_SECONDS
    ) -> None:
        """Start a timer with a unique name. Tornado logs a call that raises.

        `patience` is how many seconds a call may take before the timer counts as overdue.
        """
        assert name not in self._timers

        async def watched() -> None:
            try:
                waits = call()
                if waits is not None:
                    await waits
            finally:
                timer.last = asyncio.get_running_loop().time()

        now = asyncio.get_running_loop().time()
        callback = PeriodicCallback(watched, seconds)
        timer = self._timers[name] = _Timer(callback, seconds, patience, now)
        timer.callback.start()

    def stop(self) -> None:
        """Stop all timers. A running call continues."""
        for timer in self._timers.values():
            timer.callback.stop()
        self._timers.clear()

    def last_runs(self) -> dict[str, float]:
        """Return the seconds since each timer last finished a call, by name."""
        now = asyncio.get_running_loop().time()
        return {name: now - timer.last for name, timer in self._timers.items()}

    def complaints(self) -> list[str]:
        """Return a sentence for each timer that is overdue."""
        return [
            f"the timer '{name}' has not run for {ago:.0f} s"
            for name, ago in self.last_runs().items()
            if ago > self._timers[name].longest_pause
        ]
