"""The handshake of a WebSocket: the HTTP part of a handler, which lets go of it afterwards."""

from base64 import b64encode
from collections.abc import Coroutine
from contextlib import suppress
from hashlib import sha1
from typing import Any, cast

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler, WebSocketProtocol

from trainhub.access.identity import ANONYMOUS
from trainhub.core.deflate import agree
from trainhub.core.errors import Unavailable
from trainhub.web.base import Edge, Web
from trainhub.web.streams import Stream, take_over

SUBPROTOCOL = "trainhub.v1"
BEARER = "bearer."
# RFC 6455, 1.3: what a server adds to the client's key.
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handshake(Edge, WebSocketHandler):
    """A handler of Tornado that opens a WebSocket, and keeps only what it has in slots.

    Tornado's attributes are in the `__dict__`: the request, its headers, the application. An idle
    socket needs none of them, and they are half of its memory.
    """

    address: str
    # The window of messages compressed for the client; 0 if it takes no such ones.
    window: int
    _stream: Stream
    _token: str | None = None

    def initialize(self, web: Web) -> None:
        self.web = web
        self.address = self.request.remote_ip or ""

    @property
    def allowed(self) -> list[str]:
        return ["GET", "OPTIONS"]  # a socket has no body that HEAD could leave out

    def prepare(self) -> None:
        # Only counted: the address may be in debt while the user of this socket is not.
        self.bill.account = account = self.web.askers.account(ANONYMOUS, self.address)
        account.count()
        self.check_query(())
        self._token = self.bearer()
        if self._token is not None:
            self.web.tokens.identify(self._token)  # a bad token is an error
        self.web.hub.check()
        if self.web.drain.begun:
            raise Unavailable("the hub is stopping: try again in a moment")
        self.check_room()

    def check_room(self) -> None:
        """Raise Unavailable if there are as many sockets as there may be."""

    async def carry_out(self, work: Coroutine[Any, Any, None]) -> None:
        await super().carry_out(work)
        # Freed now, with its cycles, and not by a long garbage collection.
        del self.__dict__

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """Return what tornado hands the connection to, after its checks of origin and headers.

        None means that the client wants a version that the hub does not have.
        """
        if self.request.headers.get("Sec-WebSocket-Version") != "13":
            return None
        return cast(WebSocketProtocol, self)

    async def accept_connection(self, handler: WebSocketHandler) -> None:
        """Answer the handshake, and take over the connection."""
        headers = self.request.headers
        key = headers.get("Sec-WebSocket-Key")
        if not key or not headers.get("Host"):
            raise HTTPError(400, reason="a handshake has Host and Sec-WebSocket-Key")
        offered = [each.strip() for each in headers.get("Sec-WebSocket-Protocol", "").split(",")]
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            *("Server: trainhub", "Upgrade: websocket", "Connection: Upgrade"),
            f"Sec-WebSocket-Accept: {b64encode(sha1((key + _GUID).encode()).digest()).decode()}",
        ]
        if SUBPROTOCOL in offered:
            lines.append(f"Sec-WebSocket-Protocol: {SUBPROTOCOL}")
        extensions, self.window = agree(headers.get("Sec-WebSocket-Extensions", ""))
        if extensions:
            lines.append(f"Sec-WebSocket-Extensions: {extensions}")
        tokens = (each.removeprefix(BEARER) for each in offered if each.startswith(BEARER))
        token = next(tokens, self._token)
        answer = "\r\n".join([*lines, "", ""]).encode("latin-1")
        with suppress(StreamClosedError):  # the client has gone
            self._stream, early = await take_over(self.detach(), self, self.web.poller)
            self.opened(answer, token)
            if early:
                self.received(early)
            self._stream.resume()

    def opened(self, answer: bytes, token: str | None) -> None:
        """Begin with `answer`, which accepts the handshake, and with the client's token."""
        raise NotImplementedError

    def received(self, data: bytes) -> None:
        """Handle bytes of the client."""
        raise NotImplementedError

    def lost(self) -> None:
        """Handle the end of the stream. It is called once, before the descriptor is free."""
        raise NotImplementedError

    def on_connection_close(self) -> None:
        """Do nothing: a client that goes during the handshake leaves nothing behind."""
