"""What one client may ask of the hub, and how many clients there may be."""

import time
from collections import Counter
from dataclasses import dataclass

from trainhub.domain.model import Role
from trainhub.protocol import MOST_SOCKET_BYTES

# A client that was silent may say at once what it could have said in so many seconds.
BURST_SECONDS = 5
# Bytes a second that go with each message a second: a command has some 200.
BYTES_A_MESSAGE = 4 * 1024
# The bytes that anybody may send at once: some messages of the greatest size.
LEAST_BURST_BYTES = 8 * MOST_SOCKET_BYTES
# Frames a second that are no whole message, and at once: pings, pongs and parts of a message.
FRAME_RATE, FRAME_BURST = 20, 200
# Messages a second that are not well formed, and at once: an app with a fault in it, no flood.
BAD_RATE, BAD_BURST = 0.2, 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the edge allows. Rates are in messages a second, of one socket."""

    max_connections_per_address: int = 1_000
    max_unsent_bytes: int = 1 << 20
    message_rate: int = 20
    staff_message_rate: int = 2_000
    identify_seconds: int = 10
    heartbeat_seconds: int = 25


class Bucket:
    """A token bucket that can go into debt, so that whoever goes on is told from who was hasty."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float | None = None) -> None:
        """`rate` tokens come in a second, up to `burst`, with which it begins."""
        self._rate, self._burst = rate, burst
        self._tokens = burst
        self._at = time.monotonic() if now is None else now

    def take(self, amount: float = 1, now: float | None = None) -> float:
        """Take tokens; returns how many seconds of debt that makes, 0 if there were enough."""
        now = time.monotonic() if now is None else now
        grown = self._tokens + (now - self._at) * self._rate
        self._tokens = min(grown, self._burst) - amount
        self._at = now
        return max(0.0, -self._tokens / self._rate)

    @property
    def is_spent(self) -> bool:
        """Whether the debt is as large as what may be taken at once: it was not let up."""
        return self._tokens < -self._burst


class Meter:
    """What one socket has sent lately. Whoever identifies as staff may send more."""

    __slots__ = ("_bytes", "_frames", "_messages", "_rate", "bad")

    def __init__(self, rate: int) -> None:
        self._frames = Bucket(FRAME_RATE, FRAME_BURST)
        self.bad = Bucket(BAD_RATE, BAD_BURST)
        self._rate = 0
        self.set_rate(rate)

    def set_rate(self, rate: int) -> None:
        """Messages a second from now on."""
        if rate != self._rate:
            self._rate = rate
            self._messages = Bucket(rate, rate * BURST_SECONDS)
            size = rate * BYTES_A_MESSAGE
            self._bytes = Bucket(size, max(size * BURST_SECONDS, LEAST_BURST_BYTES))

    def frame(self, size: int, whole: bool) -> None:
        """A frame came: a whole message, or a part of one, a ping or a pong."""
        self._bytes.take(size)
        if not whole:
            self._frames.take()

    def message(self) -> float:
        """A message came; returns the seconds to wait before it may be said, 0 if it may now."""
        return max(self._messages.take(), self._bytes.take(0))

    @property
    def is_spent(self) -> bool:
        """Whether the client went on though it was over its rate."""
        return self._messages.is_spent or self._bytes.is_spent or self._frames.is_spent


class Addresses:
    """How many sockets each address has open; those of the hub's own machine are not counted.

    A proxy there speaks for everybody.
    """

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def count(self, address: str) -> int:
        return self._open.get(address, 0)

    def enter(self, address: str) -> None:
        if not _is_own(address):
            self._open[address] += 1

    def leave(self, address: str) -> None:
        if address in self._open:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]


def _is_own(address: str) -> bool:
    return address == "::1" or address.startswith(("127.", "::ffff:127."))


def rate_of(limits: Limits, role: Role | None) -> int:
    """Messages a second for that role; whoever has no token counts as a passenger."""
    public = role is None or role is Role.PASSENGER
    return limits.message_rate if public else limits.staff_message_rate
