"""How much a client may ask of the hub, and how many sockets an address may have."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from itertools import islice
from typing import TypeVar

from trainhub.access.identity import Identity
from trainhub.core.errors import RateLimited
from trainhub.domain.model import Role
from trainhub.hub.protocol import MOST_SOCKET_BYTES
from trainhub.settings import Settings

# A monotonic clock, in seconds: rates are measured by it.
SecondsClock = Callable[[], float]

# After a silence a client may send at once what it may send in this many seconds.
BURST_SECONDS = 5
# Bytes a second for each message a second: a command has some 200.
BYTES_A_MESSAGE = 4 * 1024
# Bytes that any client may send at once: some messages of the greatest size.
LEAST_BURST_BYTES = 8 * MOST_SOCKET_BYTES
# Frames a second that complete no message: pings, pongs and parts of a message.
FRAME_RATE = 20
# The same frames, at once.
FRAME_BURST = 200
# Badly formed messages a second: an app with a fault may send them, a flood may not.
BAD_RATE = 0.2
# Badly formed messages, at once.
BAD_BURST = 20
# Seconds of work a second for one passenger or one address: a share of the hub's one loop.
SHARE = 0.1
# The same for all clients without a token on the hub's own machine, which count as one address.
OWN_SHARE = 0.25
# The same for one user of the staff.
STAFF_SHARE = 0.8
# Seconds of work that a caller may ask for at once, as a multiple of its share.
SHARE_BURST = 5
# Seconds that a caller in debt waits for its turn. A caller with a larger debt is then refused.
DEBT_WAIT_SECONDS = 1.0
# Seconds of work for a byte of an answer: a caller with a share of 0.1 gets 10 MB a second.
SECONDS_A_BYTE = 1e-8
# Seconds of work for a frame that is read from a socket, of any content.
SECONDS_A_FRAME = 5e-5
# Seconds for which an unused account stays: a request that it pays for may still run.
IDLE_SECONDS = 60
# Accounts of users, and as many of addresses.
MOST_ASKERS = 25_000
# The bits of an IPv6 address that a provider gives to one customer, who chooses the other bits.
IPV6_PREFIX = 64


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of the edge. Each has the name and the default of its setting.

    Rates are per second: messages of a socket, requests of a user.
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
        """Begin with `burst` tokens, the most that it holds. `rate` tokens come each second."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens = burst
        self._at = clock()

    def spend(self, amount: float = 1) -> float:
        """Spend tokens, and return the seconds until the debt is paid off; 0 means no debt."""
        now = self._clock()
        grown = self._tokens + (now - self._at) * self._rate
        self._tokens = min(grown, self._burst) - amount
        self._at = now
        return max(0.0, -self._tokens / self._rate)

    def try_spend(self) -> float:
        """Spend one token if there is one. Return 0, or else the seconds until there is one."""
        seconds = self.spend()
        if seconds:
            self._tokens += 1
        return seconds

    def is_full(self, now: float) -> bool:
        """Return whether it holds as many tokens as a new bucket."""
        return self._tokens + (now - self._at) * self._rate >= self._burst

    def charge(self, amount: float) -> None:
        """Spend tokens for the cost of an answer, down to a debt of half a burst.

        The client could not know the cost, so some requests may still follow.
        """
        self.spend(0)
        self._tokens = min(self._tokens, max(self._tokens - amount, -self._burst / 2))

    def spend_capped(self, amount: float) -> None:
        """Spend tokens, down to a debt of one burst."""
        self.spend(amount)
        self._tokens = max(self._tokens, -self._burst)

    @property
    def is_spent(self) -> bool:
        """Return whether the debt is larger than a burst: the client did not slow down."""
        return self._tokens < -self._burst


class Meter:
    """A measure of what one socket has sent recently."""

    __slots__ = ("_bytes", "_clock", "_frames", "_messages", "_rate", "bad")

    def __init__(self, rate: int, clock: SecondsClock = time.monotonic) -> None:
        self._clock = clock
        self._frames = Bucket(FRAME_RATE, FRAME_BURST, clock)
        self.bad = Bucket(BAD_RATE, BAD_BURST, clock)
        self._rate = 0
        self.set_rate(rate)

    def set_rate(self, rate: int) -> None:
        """Set how many messages a second the socket may send."""
        if rate != self._rate:
            self._rate = rate
            self._messages = Bucket(rate, rate * BURST_SECONDS, self._clock)
            size = rate * BYTES_A_MESSAGE
            burst = max(size * BURST_SECONDS, LEAST_BURST_BYTES)
            self._bytes = Bucket(size, burst, self._clock)

    def frame(self, size: int, whole: bool) -> None:
        """Count a frame. `whole` says that it completed a message."""
        self._bytes.spend(size)
        if not whole:
            self._frames.spend()

    def message(self) -> float:
        """Count a message. Return 0 if it is accepted, else the seconds until one would be."""
        return max(self._messages.spend(), self._bytes.spend(0))

    def answered(self, size: int) -> None:
        """Charge an answer's bytes as that many messages, of BYTES_A_MESSAGE each."""
        self._messages.charge(size / BYTES_A_MESSAGE)

    @property
    def is_spent(self) -> bool:
        """Return whether the client kept sending above its rate."""
        return self._messages.is_spent or self._bytes.is_spent or self._frames.is_spent


class Addresses:
    """The number of sockets that each address has open.

    Sockets of the hub's own machine are not counted: a proxy there forwards many clients.
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
    """A request above the rate. The next one is accepted after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("you ask more often than you may: wait before the next request")
        self.seconds = seconds


class InDebt(TooOften):
    """A request of a caller that still owes for earlier work."""


class Account:
    """The requests and the seconds of work that one user, or one address without a token, has left.

    `rate` is in requests a second; None means no limit. `share` is in seconds of work a second.
    """

    __slots__ = ("_requests", "_work", "used_at")

    def __init__(
        self, rate: float | None, share: float, clock: SecondsClock = time.monotonic
    ) -> None:
        self._requests = None if rate is None else Bucket(rate, rate * BURST_SECONDS, clock)
        self._work = Bucket(share, share * SHARE_BURST, clock)
        self.used_at = 0.0

    def admit(self) -> None:
        """Count one request. Raises TooOften, and counts nothing, if it is above the rate."""
        self.check()
        self.count()

    def count(self) -> None:
        """Count one request, also in debt. Raises TooOften if it is above the rate."""
        if self._requests is not None and (seconds := self._requests.try_spend()):
            raise TooOften(seconds)

    def check(self) -> None:
        """Raise InDebt if this account still owes for earlier work."""
        if seconds := self.debt():
            raise InDebt(seconds)

    def debt(self) -> float:
        """Return the seconds until earlier work is paid off; 0 means no debt."""
        return self._work.spend(0)

    async def pay_off(self) -> None:
        """Wait until this account has no debt, DEBT_WAIT_SECONDS at most."""
        left = DEBT_WAIT_SECONDS
        while left > 0 and (debt := self.debt()):
            pause = min(debt + 0.001, left)  # the loop may wake up a little too early
            await asyncio.sleep(pause)
            left -= pause

    def spend(self, seconds: float) -> None:
        """Pay for work."""
        self._work.spend_capped(seconds)

    def is_idle(self, now: float) -> bool:
        """Return whether this account equals a new one, and was not used for IDLE_SECONDS."""
        if now - self.used_at < IDLE_SECONDS:
            return False
        return self._work.is_full(now) and (self._requests is None or self._requests.is_full(now))


BucketName = TypeVar("BucketName", str, tuple[str, int])


class Askers:
    """The account of each user, and of each address without a token.

    `own_are_free` means that clients without a token on the hub's own machine have no limit of
    requests: a proxy there may forward many clients. One account pays for the work of all of them.
    """

    def __init__(
        self, limits: Limits, own_are_free: bool = True, clock: SecondsClock = time.monotonic
    ) -> None:
        self._limits, self._own_are_free, self._clock = limits, own_are_free, clock
        self.refused = 0
        # Two tables, so that many addresses cannot displace a user. The last to ask is last.
        self._users: dict[tuple[str, int], Account] = {}
        self._addresses: dict[str, Account] = {}

    def __len__(self) -> int:
        return len(self._users) + len(self._addresses)

    def account(self, identity: Identity, address: str) -> Account:
        """Return the account that pays for this caller's requests and messages."""
        if identity.user is not None:
            rate = rate_of(self._limits, identity.role)
            share = SHARE if identity.role is Role.PASSENGER else STAFF_SHARE
            return self._open(self._users, (identity.user, rate), rate, share)
        if self._own_are_free and is_own(address):
            return self._open(self._addresses, "this machine", None, OWN_SHARE)
        rate = self._limits.address_rate
        return self._open(self._addresses, network_of(address), rate, SHARE)

    def admit(self, identity: Identity, address: str) -> None:
        """Count one request. Raises TooOften, and counts nothing, if it is above the rate."""
        self.account(identity, address).admit()

    def _open(
        self, table: dict[BucketName, Account], name: BucketName, rate: int | None, share: float
    ) -> Account:
        """Return the account of that name, and open it if needed.

        Closes up to two of the accounts that were silent longest, if they are idle or too many.
        """
        now = self._clock()
        account = table.pop(name, None) or Account(rate, share, self._clock)
        table[name] = account
        account.used_at = now
        for oldest in list(islice(table, 2)):
            if len(table) > MOST_ASKERS or table[oldest].is_idle(now):
                del table[oldest]
        return account


@lru_cache(maxsize=MOST_ASKERS)
def network_of(address: str) -> str:
    """Return an address, or of IPv6 only the part that its owner cannot choose."""
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
    """Return how many messages a second a role may send."""
    return limits.message_rate if is_public(role) else limits.staff_message_rate


def is_public(role: Role | None) -> bool:
    """Return whether a role is a passenger's. A client without a token counts as a passenger."""
    return role is None or role is Role.PASSENGER
