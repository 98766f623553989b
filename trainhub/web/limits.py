"""What one client may ask of the hub, and how many clients there may be."""

import time
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from itertools import islice

from trainhub.domain.errors import RateLimited
from trainhub.domain.model import Role
from trainhub.identity import Identity
from trainhub.protocol import MOST_SOCKET_BYTES
from trainhub.settings import Settings

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
# Of so many askers it is known how much they have asked lately.
MOST_ASKERS = 50_000
# The bits of an IPv6 address that name a customer; the rest are theirs to choose.
IPV6_PREFIX = 64


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the edge allows: each is the setting of its name, and has that one's default.

    Rates are a second: messages of a socket, requests of a user.
    """

    max_connections_per_address: int = Settings.max_connections_per_address
    max_unsent_bytes: int = Settings.max_unsent_bytes
    message_rate: int = Settings.message_rate
    staff_message_rate: int = Settings.staff_message_rate
    address_rate: int = Settings.address_rate
    identify_seconds: int = Settings.identify_seconds
    heartbeat_seconds: int = Settings.heartbeat_seconds


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

    def ask(self, now: float | None = None) -> float:
        """Take one token if there is one; returns the seconds until there is, 0 if there was."""
        seconds = self.take(1, now)
        if seconds:
            self._tokens += 1
        return seconds

    def is_full(self, now: float) -> bool:
        """Whether it is as it was when it was new."""
        return self._tokens + (now - self._at) * self._rate >= self._burst

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
        return self._open.get(_network(address), 0)

    def enter(self, address: str) -> None:
        if not _is_own(address):
            self._open[_network(address)] += 1

    def leave(self, address: str) -> None:
        network = _network(address)
        if network in self._open:
            self._open[network] -= 1
            if not self._open[network]:
                del self._open[network]


class TooOften(RateLimited):
    """A request that is one too many; `seconds` is how long to wait before the next."""

    def __init__(self, seconds: float) -> None:
        super().__init__("you ask more often than you may: wait before the next request")
        self.seconds = seconds


class Askers:
    """How much each user, and each address without a token, has asked lately over HTTP.

    Those of the hub's own machine may ask without a token what they like, if `own_are_free`: a
    proxy there speaks for everybody, unless it is trusted to say for whom.
    """

    def __init__(self, limits: Limits, own_are_free: bool = True) -> None:
        self._limits, self._own_are_free = limits, own_are_free
        self._buckets: dict[tuple[str, int], Bucket] = {}  # the last that asked stands last

    def ask(self, identity: Identity, address: str, now: float | None = None) -> None:
        """One request; raises RateLimited if it is one too many, and then does not count it."""
        if identity.user is not None:
            asker, rate = f"user {identity.user}", rate_of(self._limits, identity.role)
        elif self._own_are_free and _is_own(address):
            return
        else:
            asker, rate = _network(address), self._limits.address_rate
        now = time.monotonic() if now is None else now
        key = (asker, rate)
        bucket = self._buckets.pop(key, None) or Bucket(rate, rate * BURST_SECONDS, now)
        self._buckets[key] = bucket
        seconds = bucket.ask(now)
        self._let_go(now)
        if seconds:
            raise TooOften(seconds)

    def _let_go(self, now: float) -> None:
        """Forget two of those that were silent longest, if they may: so the table is bounded."""
        for key in list(islice(self._buckets, 2)):
            if len(self._buckets) > MOST_ASKERS or self._buckets[key].is_full(now):
                del self._buckets[key]


def _network(address: str) -> str:
    """The address, or the part of it that its owner cannot change at will."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(IPv6Address(int(found) >> IPV6_PREFIX << IPV6_PREFIX))
    return address


def _is_own(address: str) -> bool:
    return address == "::1" or address.startswith(("127.", "::ffff:127."))


def rate_of(limits: Limits, role: Role | None) -> int:
    """Messages a second for that role; whoever has no token counts as a passenger."""
    public = role is None or role is Role.PASSENGER
    return limits.message_rate if public else limits.staff_message_rate
