"""The hub's door: it takes connections in while the process may have more files, and no longer."""

import logging
import math
import resource
import time
from contextlib import suppress
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from trainhub.web.base import RETRY_AFTER_SECONDS

log = logging.getLogger("trainhub.door")

# Files kept back from clients: the journal's, the database driver's hundred, the outbox's.
KEPT_BACK = 160
# A crowd that is refused is one line in so many seconds.
LOG_SECONDS = 60

_FULL = (
    "HTTP/1.1 503 Service Unavailable\r\n"
    f"Retry-After: {RETRY_AFTER_SECONDS}\r\n"
    "Connection: close\r\nContent-Length: 0\r\n\r\n"
).encode()


class Door(HTTPServer):
    """An HTTP server that refuses a connection before the process has no file left for it.

    Without a file to spare accepting fails, and the connection stays where it is, to be accepted
    again at once: the loop would spin. Here it is accepted, refused and gone.
    """

    most_files: float = math.inf  # that the process may have open
    refused = 0
    _silent_until = 0.0

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        # The kernel gives out the lowest number that is free: it says how many are in use.
        if stream.socket.fileno() < self.most_files - KEPT_BACK:
            super().handle_stream(stream, address)
            return
        self.refused += 1
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + LOG_SECONDS
            log.warning("no more files for clients: %d connections refused so far", self.refused)
        with suppress(OSError):
            stream.socket.recv(64 * 1024)  # closing on what was not read would take back the answer
        with suppress(OSError):
            stream.socket.send(_FULL)
        stream.close()


def raise_file_limit(max_connections: int) -> int:
    """Let the process have as many files as it may; returns how many that is.

    Warns if they are too few for so many sockets.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems set a limit below the hard one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < max_connections + KEPT_BACK:
        log.warning(
            "%d files may be open, too few for --max-connections %d: raise LimitNOFILE to %d",
            *(files, max_connections, max_connections + KEPT_BACK),
        )
    return files
