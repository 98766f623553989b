"""What one client may ask of the hub, and how many clients there may be."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from itertools import islice
from typing import TypeVar

from trainhub.access.identity import Identity
from trainhub.core.errors import RateLimited
from trainhub.domain.model import Role
from trainhub.hub.protocol import MOST_SOCKET_BYTES
from trainhub.settings import Settings

# Seconds on a clock that is never set, from any beginning: what rates are reckoned by.
SecondsClock = Callable[[], float]

# A client that was silent may say at once what it could have said in this many seconds.
BURST_SECONDS = 5
# Bytes a second that go with each message a second: a command has some 200.
BYTES_A_MESSAGE = 4 * 1024
# The bytes that any client may send at once: some messages of the greatest size.
LEAST_BURST_BYTES = 8 * MOST_SOCKET_BYTES
# Frames a second that are no whole message, and at once: pings, pongs and parts of a message.
FRAME_RATE = 20
FRAME_BURST = 200
# Messages a second that are not well formed, and at once: an app with a fault in it, no flood.
BAD_RATE = 0.2
BAD_BURST = 20
# Seconds of work that the hub does in a second for one user or address: a share of its one loop.
# All clients without a token on the hub's own machine count as one address with a larger share.
SHARE = 0.1
OWN_SHARE = 0.25
STAFF_SHARE = 0.8
# Seconds of work that such a caller may ask for at once, as a multiple of its share.
SHARE_BURST = 5
# Seconds that a caller in debt waits for its turn; with a larger debt it is refused after them.
DEBT_WAIT_SECONDS = 1.0
# What a byte of an answer costs in seconds: a caller with a share of 0.1 gets 10 MB a second.
SECONDS_A_BYTE = 1e-8
# What it costs in seconds to read a frame from a socket, whatever is in it.
SECONDS_A_FRAME = 5e-5
# Seconds for which an account is kept at least: a request that it pays for may be under way.
IDLE_SECONDS = 60
# Users, and addresses, of which the hub remembers how much they have asked lately.
MOST_ASKERS = 25_000
# The bits of an IPv6 address that name a customer; the rest are theirs to choose.
IPV6_PREFIX = 64


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the edge allows: each is the setting of its name, and has that one's default.

    Rates are a second: messages of a socket, requests of a user.
    """

    max_connections_per_address: int = Settings.max_connections_per_address
    max_unsent_bytes: int = Settings.max_unsent_bytes
    max_held_bytes: int = Settings.max_held_bytes
    message_rate: int = Settings.message_rate
    staff_message_rate: int = Settings.staff_message_rate
    address_rate: int = Settings.address_rate
    identify_seconds: int = Settings.identify_seconds
    heartbeat_seconds: int = Settings.heartbeat_seconds


class Bucket:
    """A token bucket that may go negative: that separates sustained abuse from a burst."""

    __slots__ = ("_at", "_burst", "_clock", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, clock: SecondsClock = time.monotonic) -> None:
        """`rate` tokens come in a second, up to `burst`, with which it begins."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens = burst
        self._at = clock()

    def take(self, amount: float = 1) -> float:
        """Take tokens; returns how many seconds of debt that makes, 0 if there were enough."""
        now = self._clock()
        grown = self._tokens + (now - self._at) * self._rate
        self._tokens = min(grown, self._burst) - amount
        self._at = now
        return max(0.0, -self._tokens / self._rate)

    def ask(self) -> float:
        """Take one token if there is one; returns the seconds until there is, 0 if there was."""
        seconds = self.take()
        if seconds:
            self._tokens += 1
        return seconds

    def is_full(self, now: float) -> bool:
        """Whether it is as it was when it was new."""
        return self._tokens + (now - self._at) * self._rate >= self._burst

    def charge(self, amount: float) -> None:
        """Take tokens for what an answer has cost.

        At most half a burst of debt: the client could not know the cost, and may ask on a little.
        """
        self.take(0)
        self._tokens = min(self._tokens, max(self._tokens - amount, -self._burst / 2))

    def spend(self, amount: float) -> None:
        """Take tokens, into debt no deeper than what may be taken at once."""
        self.take(amount)
        self._tokens = max(self._tokens, -self._burst)

    @property
    def is_spent(self) -> bool:
        """Whether the debt is as large as what may be taken at once: it was not let up."""
        return self._tokens < -self._burst


class Meter:
    """What one socket has sent lately. Staff may send more."""

    __slots__ = ("_bytes", "_clock", "_frames", "_messages", "_rate", "bad")

    def __init__(self, rate: int, clock: SecondsClock = time.monotonic) -> None:
        self._clock = clock
        self._frames = Bucket(FRAME_RATE, FRAME_BURST, clock)
        self.bad = Bucket(BAD_RATE, BAD_BURST, clock)
        self._rate = 0
        self.set_rate(rate)

    def set_rate(self, rate: int) -> None:
        """Messages a second from now on."""
        if rate != self._rate:
            self._rate = rate
            self._messages = Bucket(rate, rate * BURST_SECONDS, self._clock)
            size = rate * BYTES_A_MESSAGE
            burst = max(size * BURST_SECONDS, LEAST_BURST_BYTES)
            self._bytes = Bucket(size, burst, self._clock)

    def frame(self, size: int, whole: bool) -> None:
        """A frame came: a whole message, or a part of one, a ping or a pong."""
        self._bytes.take(size)
        if not whole:
            self._frames.take()

    def message(self) -> float:
        """A message came; returns the seconds to wait before it may be said, 0 if it may now."""
        return max(self._messages.take(), self._bytes.take(0))

    def answered(self, size: int) -> None:
        """Charge the bytes that a message was answered with, as the messages that may have them."""
        self._messages.charge(size / BYTES_A_MESSAGE)

    @property
    def is_spent(self) -> bool:
        """Whether the client went on though it was over its rate."""
        return self._messages.is_spent or self._bytes.is_spent or self._frames.is_spent


class Addresses:
    """How many sockets each address has open; those of the hub's own machine are not counted.

    A proxy there speaks for all its clients.
    """

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def count(self, address: str) -> int:
        return self._open.get(network_of(address), 0)

    def enter(self, address: str) -> None:
        if not is_own(address):
            self._open[network_of(address)] += 1

    def leave(self, address: str) -> None:
        network = network_of(address)
        if network in self._open:
            self._open[network] -= 1
            if not self._open[network]:
                del self._open[network]


class TooOften(RateLimited):
    """A request that is one too many; `seconds` is how long to wait before the next."""

    def __init__(self, seconds: float) -> None:
        super().__init__("you ask more often than you may: wait before the next request")
        self.seconds = seconds


class InDebt(TooOften):
    """A request of a caller whose work has not been paid off yet."""


class Account:
    """What one user, or one address without a token, may still ask: requests and seconds of work.

    `rate` is requests a second, None for any number; `share` is seconds of work a second.
    """

    __slots__ = ("_requests", "_work", "used_at")

    def __init__(
        self, rate: float | None, share: float, clock: SecondsClock = time.monotonic
    ) -> None:
        self._requests = None if rate is None else Bucket(rate, rate * BURST_SECONDS, clock)
        self._work = Bucket(share, share * SHARE_BURST, clock)
        self.used_at = 0.0

    def ask(self) -> None:
        """Count one request. Raises TooOften, and does not count it, if it is one too many."""
        self.check()
        self.count()

    def count(self) -> None:
        """Count one request that may be made in debt too. Raises TooOften as `ask` does."""
        if self._requests is not None and (seconds := self._requests.ask()):
            raise TooOften(seconds)

    def check(self) -> None:
        """Raise InDebt while the work that was done has not been paid off."""
        if seconds := self.debt():
            raise InDebt(seconds)

    def debt(self) -> float:
        """Return the seconds until the work that was done is paid off, 0 if it is."""
        return self._work.take(0)

    async def pay_off(self) -> None:
        """Wait until this account is out of debt, or for PATIENCE_SECONDS."""
        left = DEBT_WAIT_SECONDS
        while left > 0 and (debt := self.debt()):
            pause = min(debt + 0.001, left)  # the loop may wake up a little too early
            await asyncio.sleep(pause)
            left -= pause

    def spend(self, seconds: float) -> None:
        """Pay for work."""
        self._work.spend(seconds)

    def is_idle(self, now: float) -> bool:
        """Return whether this account is as it was when it was new, and nothing is under way."""
        if now - self.used_at < IDLE_SECONDS:
            return False
        return self._work.is_full(now) and (self._requests is None or self._requests.is_full(now))


BucketName = TypeVar("BucketName", str, tuple[str, int])


class Askers:
    """The account of each user, and of each address without a token.

    Clients on the hub's own machine may ask without a token as often as they like, if
    `own_are_free`. A proxy there speaks for many clients, unless it is trusted to say for which.
    The work that they cause is paid from one account.
    """

    def __init__(
        self, limits: Limits, own_are_free: bool = True, clock: SecondsClock = time.monotonic
    ) -> None:
        self._limits, self._own_are_free, self._clock = limits, own_are_free, clock
        # Two tables, so that no crowd of addresses pushes out a user. The last to ask is last.
        self.refused = 0
        self._users: dict[tuple[str, int], Account] = {}
        self._addresses: dict[str, Account] = {}

    def __len__(self) -> int:
        return len(self._users) + len(self._addresses)

    def account(self, identity: Identity, address: str) -> Account:
        """Return what pays for this caller's requests and messages."""
        if identity.user is not None:
            rate = rate_of(self._limits, identity.role)
            share = SHARE if identity.role is Role.PASSENGER else STAFF_SHARE
            return self._open(self._users, (identity.user, rate), rate, share)
        if self._own_are_free and is_own(address):
            return self._open(self._addresses, "this machine", None, OWN_SHARE)
        rate = self._limits.address_rate
        return self._open(self._addresses, network_of(address), rate, SHARE)

    def ask(self, identity: Identity, address: str) -> None:
        """Count one request. Raises TooOften, and does not count it, if it is one too many."""
        self.account(identity, address).ask()

    def _open(
        self, table: dict[BucketName, Account], name: BucketName, rate: int | None, share: float
    ) -> Account:
        """Find or open an account; close two that were silent longest, if they may be closed."""
        now = self._clock()
        account = table.pop(name, None) or Account(rate, share, self._clock)
        table[name] = account
        account.used_at = now
        for oldest in list(islice(table, 2)):
            if len(table) > MOST_ASKERS or table[oldest].is_idle(now):
                del table[oldest]
        return account


def network_of(address: str) -> str:
    """The address, or the part of it that its owner cannot change at will."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(IPv6Address(int(found) >> IPV6_PREFIX << IPV6_PREFIX))
    return address


def is_own(address: str) -> bool:
    return address == "::1" or address.startswith(("127.", "::ffff:127."))


def rate_of(limits: Limits, role: Role | None) -> int:
    """Messages a second for that role."""
    return limits.message_rate if is_public(role) else limits.staff_message_rate


def is_public(role: Role | None) -> bool:
    """Whether it is a passenger's. A client without a token counts as a passenger."""
    return role is None or role is Role.PASSENGER
