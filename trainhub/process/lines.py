"""A text stream that never blocks or raises on write, even if its reader is stuck or gone."""

import io
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

# Bytes that may wait for the reader; above that, lines are dropped and counted.
MOST_WAITING_BYTES = 1 << 20
# Characters of an unfinished line; a longer one is split.
LONGEST_LINE = 1 << 16
# Seconds after which one write counts as stuck.
STUCK_SECONDS = 5.0
# Seconds for which a drop is reported as a complaint.
DROP_COMPLAIN_SECONDS = 60.0


class Lines(io.TextIOBase):
    """A replacement for stdout or stderr. A thread writes the lines, so the caller never waits.

    The thread is a daemon, so a stuck write does not delay the end of the process.
    """

    def __init__(self, file: int, name: str, dropped: Callable[[int], str] | None = None) -> None:
        """Start the writing thread. `dropped` makes the line that reports how many were dropped."""
        super().__init__()
        self._file, self._name, self._make_note = file, name, dropped
        # Reentrant, because a signal handler of the main thread may log in the middle of a write.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[bytes] = deque()
        self._begun = ""
        self._missing = 0
        self._bytes = 0
        self._stuck_since: float | None = None
        self._dropped_at = -DROP_COMPLAIN_SECONDS
        self.dropped = 0
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file

    def write(self, text: str) -> int:
        """Queue the complete lines. An unfinished line waits for its end."""
        with self._changed:
            whole, end, self._begun = (self._begun + text).rpartition("\n")
            if len(self._begun) > LONGEST_LINE:
                whole, end, self._begun = whole + end + self._begun, "\n", ""
            if end:
                self._queue((whole + end).encode("utf-8", "backslashreplace"))
        return len(text)

    def _queue(self, lines: bytes) -> None:
        if self._bytes + len(lines) > MOST_WAITING_BYTES:
            self._drop(lines)
            return
        if self._missing and self._make_note is not None:
            lines = f"{self._make_note(self._missing)}\n".encode() + lines
        self._missing = 0
        self._waiting.append(lines)
        self._bytes += len(lines)
        self._changed.notify_all()

    def _drop(self, lines: bytes) -> None:
        count = lines.count(b"\n")
        self.dropped += count
        self._missing += count
        self._dropped_at = time.monotonic()

    def drain(self, seconds: float) -> bool:
        """Wait at most `seconds` until all lines are written. Return True if they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._bytes, seconds)

    def complaints(self) -> list[str]:
        """Return a sentence if the reader is stuck or lines were dropped recently."""
        now, since = time.monotonic(), self._stuck_since
        stuck = since is not None and now - since > STUCK_SECONDS
        if not stuck and now - self._dropped_at > DROP_COMPLAIN_SECONDS:
            return []
        return [f"{self._name} is not read: {self.dropped} lines were dropped since the start"]

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                lines = self._waiting.popleft()
                self._stuck_since = time.monotonic()
            written = self._write_out(lines)
            with self._changed:
                self._stuck_since = None
                self._bytes -= len(lines)
                if not written:
                    self._drop(lines)
                self._changed.notify_all()

    def _write_out(self, lines: bytes) -> bool:
        """Return False if the reader is gone, or the disk behind the file is full."""
        while lines:
            try:
                lines = lines[os.write(self._file, lines) :]
            except BlockingIOError:  # another program made the shared terminal or pipe non-blocking
                poll = select.poll()
                poll.register(self._file, select.POLLOUT)
                poll.poll()
            except OSError:
                return False
        return True
