"""Whether a link is alive, judged by the bytes that come over it. No I/O, no timer and no clock."""

# Seconds without a message before a PING; WELCOME's heartbeatSeconds replaces this.
QUIET_SECONDS = 25.0
# Seconds without an answer to a message before a PING.
ASKED_SECONDS = 5.0
# Seconds of silence after a PING after which the link is dead.
ANSWER_SECONDS = 15.0
# The same, while a large message is on its way to the hub.
SLOW_SECONDS = 90.0
# Seconds: a timer that is later than this was delayed, and says nothing about the link.
LATE_SECONDS = 1.0
# The slowest link: an answer to a PING may wait behind other bytes.
SLOWEST_BYTES_PER_SECOND = 1000


class LinkLife:
    """The life of a link. The caller gives the time, in seconds.

    Any received byte is a sign of life. A PING is due after `quiet` seconds without a message, or
    when a message is unanswered for `asked` seconds. The link is dead after `answer` seconds of
    silence after a PING, or after `slow` seconds while a large message is on its way. It is also
    dead if the PING is unanswered for `slow` seconds, plus one second for each KB received since.
    """

    def __init__(
        self,
        at: float,
        quiet: float = QUIET_SECONDS,
        asked: float = ASKED_SECONDS,
        answer: float = ANSWER_SECONDS,
        slow: float = SLOW_SECONDS,
    ) -> None:
        self.quiet = quiet
        self._asked, self._answer, self._slow = asked, answer, slow
        self._message_at = self._heard_at = self._pinged_at = at
        self._pinging = True  # opening a socket counts as a PING: WELCOME answers it
        self._bytes = 0  # received since the PING
        self._spared = False  # the PING was repeated once, because the timer was late

    def heard(self, size: int, at: float) -> None:
        self._heard_at = at
        self._bytes += size
        self._spared = False

    def heard_message(self, at: float) -> None:
        self._message_at = at

    def answered(self) -> None:
        """Record that the hub answered the PING."""
        self._pinging = False

    def check(self, at: float, *, slept: bool = False) -> bool:
        """Return whether to send a PING now. An unanswered PING is repeated only after a sleep."""
        if self._pinging and not slept:
            return False
        self._pinging, self._pinged_at, self._bytes = True, at, 0
        return True

    def due(self, asked_at: float, slow: bool) -> float:
        """Return when `step` is due; `asked_at` is the time of the oldest unanswered message."""
        if not self._pinging:
            asked = max(asked_at, self._pinged_at) + self._asked
            return min(self._message_at + self.quiet, asked)
        silent = max(self._pinged_at, self._heard_at) + (self._slow if slow else self._answer)
        deaf = self._pinged_at + self._slow + self._bytes / SLOWEST_BYTES_PER_SECOND
        return min(silent, deaf)

    def step(self, at: float, asked_at: float, slow: bool) -> str | None:
        """Return "ping", "dead" or None."""
        due = self.due(asked_at, slow)
        if at < due:
            return None
        if self._pinging and (self._spared or at - due < LATE_SECONDS):
            return "dead"
        self._spared = self._pinging
        self.check(at, slept=True)
        return "ping"
