"""The hub's clock: wall clock time that jumps only when the hub calls `follow`.

The hub's clock advances with the machine's steady clock. When NTP or an operator sets the wall
clock, `look` returns by how many seconds. `follow` then sets the hub's clock. The caller moves all
deadlines in the same turn of the loop.
"""

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

from trainhub.process.private_file import write_private

logger = logging.getLogger("trainhub.clock")

# A smaller difference is followed without a warning. A time service slews less than this between
# two looks, and an offer of five minutes is not affected.
STEP_SECONDS = 2.0
# How long a step is reported as a complaint.
STEP_COMPLAIN_SECONDS = 600.0
# How many of the newest steps are stored.
MOST_STEPS = 50
# The file is written again when the offset differs from the saved offset by more than this.
DRIFT_SECONDS = 0.5
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def steady() -> float:
    """Return the seconds since the machine was started, including the time that it was asleep."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Step:
    """One setting of the clock: the clock showed `at` when it was set by `by` seconds.

    The clock had run without a step since it showed `since`. `since` and `at` are seconds since
    1970, as the clock showed them then.
    """

    since: float
    at: float
    by: float


class WallClock:
    """The wall clock's time without its jumps. A call returns the time as a datetime.

    `path` is a file that stores the clock across restarts, so that a step in between is noticed
    too. A file that cannot be read counts as missing.
    """

    def __init__(
        self,
        path: Path | None = None,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady,
    ) -> None:
        self._path, self._wall, self._steady = path, wall, steady
        self.steps: tuple[Step, ...] = ()
        self._boot = _boot()
        # The hub's time is the steady clock's time plus this offset.
        self._offset = wall() - steady()
        # What this clock showed when it was last set, or when the machine was started.
        self._since = self._offset
        self._told_at: float | None = None
        self._remember()
        self._saved: float | None = None
        self._last = self._steady() + self._offset

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)

    def now(self) -> float:
        """Return the time in seconds since 1970. It goes back only with `follow`."""
        self._last = max(self._last, self._steady() + self._offset)
        return self._last

    # --- the wall clock is set ---------------------------------------------------------------

    def go_on_from(self, moment: float) -> None:
        """Move the clock forward to `moment`, the time of a record, if the clock is behind it."""
        self._offset += max(0.0, moment - self.now())

    def look(self) -> float | None:
        """Return by how many seconds the wall clock was set, None if it was not."""
        by = self._wall() - self._steady() - self._offset
        if abs(by) >= STEP_SECONDS:
            return by
        self._offset += by
        return None

    def follow(self, by: float) -> None:
        """Set this clock to the wall clock, which `look` has found `by` seconds away."""
        step = Step(self._since, self.now(), by)
        self.steps = (*self.steps, step)[-MOST_STEPS:]
        self._offset += by
        self._last = self._since = self._steady() + self._offset
        self._told_at = self._steady()
        logger.warning("the wall clock was set %s: the hub's time goes on from there", _words(by))

    def complaints(self) -> list[str]:
        """Return a sentence on the last step for STEP_COMPLAIN_SECONDS after it."""
        if self._told_at is None or not self.steps:
            return []
        ago = self._steady() - self._told_at
        if ago > STEP_COMPLAIN_SECONDS:
            return []
        how = _words(self.steps[-1].by)
        return [f"the wall clock was set {how}, {ago:.0f} s ago: check the machine's time service"]

    # --- how old something is ----------------------------------------------------------------

    def before(self, seconds: float) -> float:
        """Return the earliest time that the clock has shown in the last `seconds`.

        A record with an earlier time is older than `seconds`, even if the clock was set since.
        """
        shown, left, earliest = self.now(), seconds, self.now()
        for step in reversed(self.steps):
            start = step.at + step.by
            if shown - start >= left:
                break
            earliest = min(earliest, start)
            shown, left = step.at, left - (shown - start)
        return min(earliest, shown - left)

    def latest(self) -> float:
        """Return the latest time that this machine's clocks have shown."""
        back = (step.at for step in self.steps if step.by < 0)
        return max(self.now(), self._wall(), *back)

    def correction(self, moment: float) -> float:
        """Return the seconds to add to a time that this machine's clock showed before it was set.

        If the clock has shown `moment` twice, the second time counts.
        """
        found, now = moment, self.now()
        for step in self.steps:
            if step.since <= found <= step.at and (step.by > 0 or found > now):
                found += step.by
        return found - moment

    # --- over a restart ----------------------------------------------------------------------

    @property
    def unsaved(self) -> bool:
        """True if the file differs from the clock by more than DRIFT_SECONDS."""
        return self._saved is None or abs(self._offset - self._saved) > DRIFT_SECONDS

    def save(self) -> None:
        """Write the file. A failure is logged: the clock goes on without it."""
        self._saved = self._offset
        if self._path is None:
            return
        data = {
            "boot": self._boot,
            "offset": self._offset,
            "since": self._since,
            "steps": [astuple(step) for step in self.steps],
        }
        try:
            write_private(self._path, json.dumps(data, indent=1))
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._path, error.strerror)

    def _remember(self) -> None:
        if self._path is None:
            return
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            data = json.loads(self._path.read_bytes())
            steps = tuple(Step(*map(float, each)) for each in data["steps"])
            offset, since = float(data["offset"]), float(data["since"])
            self.steps = steps
            if data["boot"] == self._boot:
                self._offset, self._since = offset, since


def _boot() -> str:
    """Return the id of the machine's last start, from which the steady clock counts."""
    with suppress(OSError):
        return _BOOT.read_text().strip()
    return ""


def _words(by: float) -> str:
    return f"{'forward' if by > 0 else 'back'} by {abs(by):.0f} s"
