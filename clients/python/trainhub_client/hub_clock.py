"""The hub's clock, as its messages tell it, from the readings of a clock that is never set."""

import math

# Seconds between two times of the hub that show how fast its clock is.
FAIR_SECONDS = 1.0


class HubClock:
    """The hub's time in seconds since 1970. A demo's clock runs faster than life."""

    def __init__(self) -> None:
        self._hub = math.nan
        self._read = 0.0
        self._speed = 1.0

    def set(self, hub: float, read: float) -> None:
        """Take note that the hub's time was `hub` when the own clock was at `read`."""
        if math.isnan(hub):
            return
        passed, here = hub - self._hub, read - self._read
        if here >= FAIR_SECONDS:
            self._speed = passed / here if passed > 2 * here else 1.0
        self._hub, self._read = hub, read

    def at(self, read: float) -> float:
        """Return the hub's time at a reading; NaN before the hub has told any."""
        return self._hub + (read - self._read) * self._speed
