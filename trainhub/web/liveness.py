"""Whether a client is still there, by the frames that it sends and the bytes that it takes."""

import socket
import struct
from typing import NamedTuple

# The slowest link that is served: bytes that a proxy has taken may still be on their way.
SLOWEST_BYTES_A_SECOND = 5_000
# Heartbeats of grace for such bytes: a proxy holds no more than a very full train's snapshot.
MOST_BEATS = 4
# In Linux's struct tcp_info: segments not acknowledged, bytes acknowledged, bytes not yet sent.
_UNACKED = 24
_ACKED = 120
_NOT_SENT = 144
_TCP_INFO_BYTES = 148


class Sent(NamedTuple):
    """How far the kernel has got with the bytes for a client."""

    taken: int = 0  # acknowledged by the client's kernel, or by a proxy's
    waiting: bool = False  # some are not acknowledged yet


def sent(connection: socket.socket) -> Sent:
    """Ask the kernel. Where it cannot tell, the client has taken nothing and nothing waits."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except (AttributeError, OSError):
        return Sent()
    if len(info) < _TCP_INFO_BYTES:
        return Sent()
    (taken,) = struct.unpack_from("=Q", info, _ACKED)
    (unacked,) = struct.unpack_from("=I", info, _UNACKED)
    (not_sent,) = struct.unpack_from("=I", info, _NOT_SENT)
    return Sent(taken, bool(unacked or not_sent))


class Liveness:
    """Tells a slow client from a gone client, at each heartbeat.

    Signs of life are a frame from the client, and bytes that it takes while others wait for it. A
    client that is silent for a whole beat has not answered a ping. Bytes that perhaps only a proxy
    has taken since give the client more time.
    """

    __slots__ = ("_at_beat", "_at_life", "_bytes_a_beat", "_silent", "heard")

    def __init__(self, heartbeat_seconds: int) -> None:
        self._bytes_a_beat = SLOWEST_BYTES_A_SECOND * heartbeat_seconds
        self._at_beat = 0
        self._at_life = 0
        self._silent = 0
        self.heard = True

    def beat(self, now: Sent, behind: bool) -> bool:
        """Return whether the client is still there.

        `behind` says that frames wait outside the kernel. Then the kernel ends the connection if
        the client takes nothing for two beats (TCP_USER_TIMEOUT).
        """
        if self.heard or behind or (now.waiting and now.taken > self._at_beat):
            self._silent = 0
            self._at_life = now.taken
        else:
            self._silent += 1
        self.heard = False
        self._at_beat = now.taken
        grace = min((now.taken - self._at_life) // self._bytes_a_beat, MOST_BEATS)
        return self._silent <= grace
