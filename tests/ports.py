"""Free ports that stay free: below the range from which the kernel serves others."""

import contextlib
import socket
from random import SystemRandom


def free_ports(count: int) -> list[int]:
    """Return `count` different ports of 127.0.0.1, in order.

    Nothing but a test asks for a port below 32,000 by chance, so a process finds its own again
    after a restart.
    """
    found: set[int] = set()
    while len(found) < count:
        port = SystemRandom().randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return sorted(found)
