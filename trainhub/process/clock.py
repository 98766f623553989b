"""The hub's clock: the time that people read, which never jumps unless the hub says so.

It goes on by the machine's steady clock from where the wall clock was. When the wall clock is set,
by NTP or by hand, `look` tells by how much, and the hub's clock follows only with `follow`: in the
same turn of the loop everything that is counting down is moved along.
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

# Less is followed without a word: more than a time service slews in a turn, and too little to
# matter for an offer of five minutes.
STEP_SECONDS = 2.0
# How long a step is shown as a complaint.
STEP_COMPLAIN_SECONDS = 600.0
# The newest steps that are remembered.
MOST_STEPS = 50
# By how much the wall clock may be slewed before the file has to say so.
DRIFT_SECONDS = 0.5
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def steady() -> float:
    """Return the seconds since the machine was started, asleep or not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Step:
    """The clock showed `at` when it was set by `by` seconds; before, it had run from `since` on.

    All are in seconds, `since` and `at` since 1970 as the clock showed them then.
    """

    since: float
    at: float
    by: float


class WallClock:
    """The wall clock's time without its jumps. A call returns it as a datetime.

    `path` is a file that remembers the clock over a restart, so that a step in between is noticed
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
        # What the clock shows is the steady clock's time and this.
        self._offset = wall() - steady()
        # What it showed when it was last set, or when the machine was started.
        self._since = self._offset
        self._told_at: float | None = None
        self._remember()
        self._saved: float | None = None
        self._last = self._steady() + self._offset

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)

    def now(self) -> float:
        """Return the time in seconds since 1970; never less than the call before."""
        self._last = max(self._last, self._steady() + self._offset)
        return self._last

    # --- the wall clock is set ---------------------------------------------------------------

    def go_on_from(self, moment: float) -> None:
        """Know that this clock has shown `moment` already: a record of that time exists."""
        self._offset += max(0.0, moment - self.now())

    def look(self) -> float | None:
        """Return by how many seconds the wall clock was set, None if it was not."""
        by = self._wall() - self._steady() - self._offset
        if abs(by) >= STEP_SECONDS:
            return by
        self._offset += by
        return None

    def follow(self, by: float) -> None:
        """Show the wall clock's time from now on, which `look` has found `by` seconds away."""
        step = Step(self._since, self.now(), by)
        self.steps = (*self.steps, step)[-MOST_STEPS:]
        self._offset += by
        self._last = self._since = self._steady() + self._offset
        self._told_at = self._steady()
        logger.warning("the wall clock was set %s: the hub's time goes on from there", _words(by))

    def complaints(self) -> list[str]:
        """Return the last step, for a while."""
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

        What bears an earlier time is older than that, whenever the clock was set.
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

        A moment that the clock has shown twice is taken for the second time.
        """
        found, now = moment, self.now()
        for step in self.steps:
            if step.since <= found <= step.at and (step.by > 0 or found > now):
                found += step.by
        return found - moment

    # --- over a restart ----------------------------------------------------------------------

    @property
    def unsaved(self) -> bool:
        """True if the file no longer says what the clock shows."""
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
    """Return a name of the machine's last start, as the steady clock counts from there."""
    with suppress(OSError):
        return _BOOT.read_text().strip()
    return ""


def _words(by: float) -> str:
    return f"{'forward' if by > 0 else 'back'} by {abs(by):.0f} s"
