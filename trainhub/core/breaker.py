"""A circuit breaker: stop calling a service that does not answer, and try again later."""

import time
from collections.abc import Callable

# Failures in a row that open the breaker: the driver may replace one broken connection.
FAILURES = 3
# Seconds until the next probe. Each probe that fails doubles them, up to LONGEST_PAUSE.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0


class Breaker:
    """Decide whether to call a service outside the hub, from how the last calls ended.

    Closed, it allows every call. Open, it allows none, except one probe after each pause.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._probe_at = 0.0
        self._probing = False

    @property
    def refuses(self) -> bool:
        """True if the breaker would not allow a call now."""
        waits = self._probing or self._clock() < self._probe_at
        return self._failures >= FAILURES and waits

    def allow(self) -> bool:
        """Return whether to make a call now. The caller then reports how the call ended."""
        if self.refuses:
            return False
        self._probing = self._failures >= FAILURES
        return True

    def succeeded(self) -> None:
        """Close: a call was answered."""
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._probing = False

    def failed(self) -> None:
        """Count a call that was not answered.

        A call that began before the breaker opened does not change the pause.
        """
        self._failures += 1
        if self._probing:
            self._probing = False
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        elif self._failures > FAILURES:
            return
        self._probe_at = self._clock() + self._pause
