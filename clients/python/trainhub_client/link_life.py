"""Whether a link is alive, from the bytes that come over it. No I/O, no timer and no clock."""

# Without a message for this long, PING; WELCOME's heartbeatSeconds replaces it.
QUIET_SECONDS = 25.0
# A message that is unanswered for this long is followed by a PING.
ASKED_SECONDS = 5.0
# Silence for this long after a PING: the link is dead.
ANSWER_SECONDS = 15.0
# The same while a SNAPSHOT or a large message is on its way.
SLOW_SECONDS = 90.0
# A timer that is later than this was held up, and says nothing about the link.
LATE_SECONDS = 1.0
# A PING may wait behind bytes that are on their way: at this rate at the slowest.
SLOWEST_BYTES_PER_SECOND = 1000


class LinkLife:
    """Decides whether a link is alive. Its caller tells the time, in seconds.

    Any bytes received count as life. After `quiet` seconds without a message, or when a message is
    unanswered for `asked` seconds, a PING is due. The link is dead after `answer` seconds of
    silence after a PING. While something large is on its way it is dead after `slow` seconds. It is
    dead as well if the PING itself stays unanswered for `slow` seconds, and one more for each KB
    received since.
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
        self._pinging = True  # opening a socket is a question too: WELCOME is its answer
        self._bytes = 0  # received since the PING
        self._spared = False  # a PING was repeated because the timer came late

    def heard(self, size: int, at: float) -> None:
        self._heard_at = at
        self._bytes += size
        self._spared = False

    def heard_message(self, at: float) -> None:
        self._message_at = at

    def answered(self) -> None:
        """Take note that the hub has answered the PING."""
        self._pinging = False

    def check(self, at: float, *, slept: bool = False) -> bool:
        """Return whether to send a PING now. One on its way is repeated only after a sleep."""
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
