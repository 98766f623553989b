"""The HTTP server: which connections it accepts, how long it waits, and whose request it is."""

import asyncio
import logging
import math
import resource
import socket
import time
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from functools import cached_property
from typing import Any, cast

from tornado import httputil
from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, SSLIOStream

from trainhub.access.identity import ANONYMOUS
from trainhub.core.shares import Shares
from trainhub.web.base import RETRY_AFTER_SECONDS
from trainhub.web.limits import Askers, TooOften, is_own, network_of
from trainhub.web.poller import Poller, best_poller
from trainhub.web.proxies import Proxies

logger = logging.getLogger("trainhub.door")

# Files that clients may not use: for the journal, the database driver (some hundred), the outbox.
KEPT_BACK = 160
# Seconds between two log lines on refused connections.
LOG_SECONDS = 60
# The share of the clients' files for connections that have not sent a whole request yet: a real
# client sends one within a few round trips.
WAITING_SHARE = 0.25
# Connections without a whole request, at most, however many files there are.
MOST_WAITING = 4_000
# Connections that are accepted in one turn of the loop.
ACCEPTED_A_TURN = 16
# Connections whose first request is read in one turn of the loop: each is a millisecond of work
# if it opens a socket and subscribes.
BEGUN_A_TURN = 8
# Seconds for a TLS handshake and a request's head, and for the next request on a connection.
HEAD_SECONDS = 10
# Seconds for a request's body: what the largest chart needs at a megabit a second.
BODY_SECONDS = 65
# Seconds after which a client that takes no byte of its answer is cut off.
UNREAD_SECONDS = 60

_FULL = (
    "HTTP/1.1 503 Service Unavailable\r\n"
    f"Retry-After: {RETRY_AFTER_SECONDS}\r\n"
    "Connection: close\r\nContent-Length: 0\r\n\r\n"
).encode()


class Turnstile(socket.socket):
    """A listening socket that lets in ACCEPTED_A_TURN connections in one turn of the loop.

    The kernel holds the others. Tornado accepts 128 at once, and each brings a millisecond of work
    within a few turns: when a whole train reconnects, all other requests would wait behind them.
    """

    _let_in = 0

    @classmethod
    def at(cls, listening: socket.socket) -> "Turnstile":
        """Put a turnstile at a listening socket, which it takes over."""
        turnstile = cls(fileno=listening.detach())
        turnstile.setblocking(False)
        return turnstile

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection. Raises BlockingIOError if none waits, or in this turn none may."""
        if self._let_in == ACCEPTED_A_TURN:
            raise BlockingIOError
        if not self._let_in:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        self._let_in += 1
        return super().accept()

    def _begin_turn(self) -> None:
        self._let_in = 0


class Comer:
    """A connection that has sent nothing yet."""

    def __init__(self, door: "Door", stream: IOStream, address: tuple[Any, ...]) -> None:
        self.stream = stream
        self.peer = network_of(address[0])
        self._door, self._address = door, address
        self._descriptor = stream.socket.fileno()
        self._patience = stream.io_loop.call_later(HEAD_SECONDS, self._end_wait)
        door.poller.wait(self._descriptor, self, read=True, write=False)

    def ready(self, read: bool, write: bool) -> None:
        self._leave()
        self._door.begin(self.stream, self._address)

    def _end_wait(self) -> None:
        """Close if nothing has come. A busy hub may not have had time to read what has."""
        with suppress(OSError):
            if self.stream.socket.recv(1, socket.MSG_PEEK):
                return
        self.close()

    def close(self) -> None:
        self._leave()
        self.stream.close()

    def _leave(self) -> None:
        self._door.poller.stop(self._descriptor)
        self.stream.io_loop.remove_timeout(self._patience)
        self._door.has_come(self)


class Door(HTTPServer):
    """An HTTP server that keeps room for clients that send requests.

    If the process has no free file, accepting a connection fails, and the loop tries again without
    end. So the door accepts such a connection early enough, and refuses it with 503. Before that,
    connections that send no request make room: the longest waiting is closed first.
    """

    most_files: float = math.inf  # files that the process may have open
    proxies = Proxies()
    comers: Askers | None = None  # limits how often an address may connect; None means no limit
    refused = 0
    evicted = 0
    _silent_until = 0.0
    _knows_own_proxy = False

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        # The connections without a whole request, by address. If there are too many, the address
        # with the most of them loses the connection that has waited longest.
        self._waiting: Shares[str, HTTP1ServerConnection | Comer, None] = Shares(math.inf)
        self._comers: set[Comer] = set()

    @cached_property
    def poller(self) -> Poller:
        """What waits for the first bytes of connections."""
        return best_poller(BEGUN_A_TURN)

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        super().add_sockets(map(Turnstile.at, sockets))

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """Let a connection wait for a request, its first or the next one."""
        waiting = cast(HTTP1ServerConnection, server_conn)
        self._let_wait(_peer(waiting), waiting)
        inner = super().start_request(server_conn, request_conn)
        return _Visit(inner, self, server_conn, request_conn)

    @property
    def most_waiting(self) -> int:
        return int(min((self.most_files - KEPT_BACK) * WAITING_SHARE, MOST_WAITING))

    def has_own_proxy(self) -> None:
        """Warn once that a proxy on this machine is not trusted to name its clients."""
        if not self._knows_own_proxy:
            self._knows_own_proxy = True
            logger.warning(
                "a proxy on this machine is not among --trusted-proxies: all its clients without "
                "a token share the limits of one"
            )

    def _let_wait(self, peer: str, waiting: HTTP1ServerConnection | Comer) -> None:
        self._waiting.most = self.most_waiting
        for _, longest in self._waiting.put(peer, waiting, None):
            self.evicted += 1
            self._log("%d connections that asked for nothing made room so far", self.evicted)
            if isinstance(longest, Comer):
                longest.close()
            else:
                longest.stream.close()

    def has_asked(self, server_conn: object) -> None:
        """Stop waiting for a connection: it has sent its whole request, or is closed."""
        connection = cast(HTTP1ServerConnection, server_conn)
        self._waiting.drop(_peer(connection), connection)

    def on_close(self, server_conn: object) -> None:
        self.has_asked(server_conn)
        super().on_close(server_conn)

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        # The kernel gives out the lowest free number, so the number says how many are in use.
        if stream.socket.fileno() >= self.most_files - KEPT_BACK:
            self._refuse(stream, "no more files for clients: %d connections refused so far")
        elif self._comes_too_often(address[0]):
            self._refuse(stream, "an address comes too often: %d connections refused so far")
        else:
            with suppress(AttributeError, OSError):  # only Linux has this option
                unread = int(UNREAD_SECONDS * 1000)
                stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread)
            if isinstance(stream, SSLIOStream):
                self.begin(stream, address)  # the handshake of TLS comes first
            else:
                comer = Comer(self, stream, address)
                self._comers.add(comer)
                self._let_wait(comer.peer, comer)

    def begin(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Let tornado read the requests of a connection."""
        super().handle_stream(stream, address)

    def has_come(self, comer: Comer) -> None:
        """Stop waiting for the first bytes of a connection."""
        self._comers.discard(comer)
        self._waiting.drop(comer.peer, comer)

    async def close_all_connections(self) -> None:
        for comer in tuple(self._comers):
            comer.close()
        await super().close_all_connections()

    def _comes_too_often(self, address: str) -> bool:
        if self.comers is None or self.proxies.trusts(address):
            return False
        try:
            self.comers.admit(ANONYMOUS, address)
        except TooOften:
            return True
        return False

    def _refuse(self, stream: IOStream, why: str) -> None:
        self.refused += 1
        self._log(why, self.refused)
        with suppress(OSError):
            # If unread bytes are left, the kernel sends a reset, and the client loses the answer.
            stream.socket.recv(64 * 1024)
        with suppress(OSError):
            stream.socket.send(_FULL)
        stream.close()

    def _log(self, text: str, count: int) -> None:
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + LOG_SECONDS
            logger.warning(text, count)


def _peer(connection: HTTP1ServerConnection) -> str:
    """Return the network of the peer, which is a client or a proxy."""
    return network_of(cast(Any, connection).context.address[0])


class _Visit(httputil.HTTPMessageDelegate):
    """One request: its head names the client, and its end ends the wait for the connection."""

    def __init__(
        self,
        inner: httputil.HTTPMessageDelegate,
        door: Door,
        server_conn: object,
        request_conn: httputil.HTTPConnection,
    ) -> None:
        self._inner, self._door = inner, door
        self._server_conn, self._request_conn = server_conn, request_conn

    def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> Awaitable[None] | None:
        context: Any = cast(Any, self._request_conn).context
        peer, protocol = context.address[0], "http" if self._door.ssl_options is None else "https"
        context.remote_ip, context.protocol = self._door.proxies.client(peer, protocol, headers)
        if is_own(context.remote_ip) and "X-Forwarded-For" in headers:
            self._door.has_own_proxy()
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        self._door.has_asked(self._server_conn)
        self._inner.finish()

    def on_connection_close(self) -> None:
        self._inner.on_connection_close()


def raise_file_limit(max_connections: int) -> int:
    """Raise the limit of open files as far as the system allows, and return it.

    Warns if the limit is too low for `max_connections` sockets.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems set a limit below the hard one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < max_connections + KEPT_BACK:
        logger.warning(
            "%d files may be open, too few for --max-connections %d: raise LimitNOFILE to %d",
            files,
            max_connections,
            max_connections + KEPT_BACK,
        )
    return files
