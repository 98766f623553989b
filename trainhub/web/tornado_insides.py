"""All that the hub uses of tornado without a promise of tornado: a new version may change it.

Tornado's public hooks cover neither all of a handler's work, nor what a handler is about to write,
nor what a stream has read ahead. tests/web/test_tornado_insides.py fails if tornado changes these.
"""

import socket
from collections.abc import Coroutine
from typing import Any, cast

from tornado.iostream import IOStream
from tornado.web import GZipContentEncoding, RequestHandler


class WholeRequest(RequestHandler):
    """A handler with a hook around all its work."""

    async def carry_out(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of this request: `prepare`, the method, and the answer."""
        await work

    async def _execute(self, *args: Any, **kwargs: Any) -> None:
        await self.carry_out(super()._execute(*args, **kwargs))

    def compress(self) -> None:
        """Let tornado compress this answer if it is a text, and the client accepts gzip.

        A part of a file (Range) is sent as it is.
        """
        if "Range" not in self.request.headers:
            self._transforms = [*(self._transforms or ()), GZipContentEncoding(self.request)]

    def unflushed(self) -> int:
        """Return how many bytes of the body the next flush writes."""
        return sum(map(len, self._write_buffer))


def take_socket(stream: IOStream) -> tuple[socket.socket, bytes]:
    """Take the socket out of a stream that has nothing left to write.

    Returns the socket, and the bytes that the stream has read ahead. The stream is of no use then.
    """
    taken = stream.socket
    stream.io_loop.remove_handler(taken)
    early = bytes(cast(Any, stream)._read_buffer)
    stream.socket = cast(Any, None)
    return taken, early
