"""Bytes that the hub holds in memory for its clients: unread answers and unfinished bodies.

Each connection has limits of its own. These are the limits for one address and for all together.
"""

import logging
import socket
import struct
from contextlib import suppress
from typing import Protocol

from trainhub.web.limits import is_own, network_of

logger = logging.getLogger("trainhub.held")

# The part of the limit for all that may be held for one address.
ADDRESS_SHARE = 0.5
# The part of the limit for all from which the hub complains.
COMPLAIN_AT = 0.75
# SO_LINGER for zero seconds: the kernel drops what is unsent, and the client gets a reset.
_RESET = struct.pack("ii", 1, 0)


class HeldConnection(Protocol):
    """A connection for which bytes are held."""

    def cut_off(self) -> None:
        """Close the connection, and free the bytes."""


class HeldBytes:
    """The bytes held for each connection, by address.

    If an address exceeds its limit, the hub cuts off connections of that address. If all together
    exceed theirs, it cuts off connections of the address with the most bytes. The connection that
    has been behind for longest goes first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.total = 0
        self.cut_off = 0
        self._of_address: dict[str, int] = {}
        self._connections: dict[str, dict[HeldConnection, int]] = {}  # the longest behind is first

    def complaints(self) -> list[str]:
        """Return a complaint if much is held for clients that do not read."""
        if self.total < self.most * COMPLAIN_AT:
            return []
        held, most = self.total >> 20, self.most >> 20
        return [f"clients leave {held} of {most} MB unread, at which connections are cut off"]

    def hold(self, holder: HeldConnection, address: str, size: int) -> None:
        """Set how many bytes are held for a connection; 0 if it has caught up or is closed."""
        network = network_of(address)
        connections = self._connections.get(network)
        if connections is None:
            if not size:
                return
            connections = self._connections[network] = {}
        change = size - connections.get(holder, 0)
        if size:
            connections[holder] = size
        else:
            connections.pop(holder, None)
        self._count(network, change)
        if change > 0:
            self._enforce(network, address)

    def _count(self, network: str, change: int) -> None:
        self.total += change
        held = self._of_address.get(network, 0) + change
        if held:
            self._of_address[network] = held
        else:
            self._of_address.pop(network, None)
            self._connections.pop(network, None)

    def _enforce(self, network: str, address: str) -> None:
        # No limit for the hub's own machine: a proxy there forwards many clients.
        while not is_own(address) and self._of_address.get(network, 0) > self.most * ADDRESS_SHARE:
            self._cut_off_longest(network)
        while self.total > self.most:
            self._cut_off_longest(max(self._of_address, key=self._of_address.__getitem__))

    def _cut_off_longest(self, network: str) -> None:
        connections = self._connections[network]
        longest = next(iter(connections))
        self._count(network, -connections.pop(longest))
        self.cut_off += 1
        logger.debug("%d connections were too far behind together and were cut off", self.cut_off)
        longest.cut_off()


def reset_at_close(connected: socket.socket) -> None:
    """Let the close be a reset: after a plain close the kernel keeps unsent bytes for minutes."""
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
