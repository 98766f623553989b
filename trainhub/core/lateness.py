"""The age of the oldest record that a reader of the log has not finished."""

import time
from collections import deque
from collections.abc import Callable

from trainhub.core.log import Reader

# Seconds from which a late reader is a complaint.
LATE_SECONDS = 10.0
# Positions of the log's head in memory, each with its time.
MOST_MARKS = 600


class Lateness:
    """The age of a reader's oldest unfinished record.

    Records bear the wall clock's time, which may jump. So a timer records the log's head with a
    monotonic time. The age is that of the first recorded head that the reader has not reached.
    """

    def __init__(
        self,
        reader: Reader,
        head: Callable[[], int],
        sentence: str,
        clock: Callable[[], float] = time.monotonic,
        overdue: Callable[[], float | None] = lambda: None,
    ) -> None:
        """`sentence` is the complaint, with "{}" in place of the seconds.

        A reader may keep a record until its time. `overdue` returns the seconds since that time,
        0 before it, and None if the reader has taken no record.
        """
        self._overdue = overdue
        self._reader, self._head, self._sentence, self._clock = reader, head, sentence, clock
        # (time, head) in the order of both.
        self._marks: deque[tuple[float, int]] = deque()
        self._spacing = 0.0

    def note(self) -> None:
        """Record the log's head. A timer calls this."""
        done, head = self._reader.done, self._head()
        while self._marks and self._marks[0][1] <= done:
            self._marks.popleft()
        now = self._clock()
        if not self._marks:
            self._spacing = 0.0
        elif head == self._marks[-1][1] or now - self._marks[-1][0] < self._spacing:
            return
        if head > done:
            self._marks.append((now, head))
        if len(self._marks) > MOST_MARKS:  # the longer the delay, the coarser the marks may be
            self._spacing = 2 * (now - self._marks[0][0]) / MOST_MARKS
            self._marks = deque(list(self._marks)[::2])

    @property
    def seconds(self) -> float:
        """Return the age in seconds; 0 if no record waits."""
        done = self._reader.done
        first = next((at for at, head in self._marks if head > done), None)
        if first is None:
            return 0.0
        overdue, age = self._overdue(), self._clock() - first
        return age if overdue is None else min(age, overdue)

    def complaints(self) -> list[str]:
        """Return the sentence if the reader is late."""
        return [self._sentence.format(round(self.seconds))] if self.seconds > LATE_SECONDS else []
