"""The handshake of a WebSocket: an HTTP request whose connection becomes a TrainSocket's."""

from base64 import b64encode
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
from trainhub.web.websocket import TrainSocket

SUBPROTOCOL = "trainhub.v1"
BEARER = "bearer."
# RFC 6455, 1.3: what a server adds to the client's key.
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handshake(Edge, WebSocketHandler):
    """Opens a socket. It ends with the handshake, and the socket keeps nothing of it."""

    def initialize(self, web: Web, kind: type[TrainSocket] = TrainSocket) -> None:
        self.web = web
        self._kind = kind
        self._token: str | None = None

    @property
    def allowed(self) -> list[str]:
        return ["GET", "OPTIONS"]  # a socket has no body that HEAD could leave out

    def prepare(self) -> None:
        # Only counted: the address may be in debt while the user of this socket is not.
        self.bill.account = account = self.web.askers.account(ANONYMOUS, self._address)
        account.count()
        self.check_query(())
        self._token = self.bearer()
        if self._token is not None:
            self.web.tokens.identify(self._token)  # a bad token is an error
        self.web.hub.check()
        if self.web.drain.begun:
            raise Unavailable("the hub is stopping: try again in a moment")
        if len(TrainSocket.sockets) >= self.web.max_connections:
            raise Unavailable("the hub has as many sockets as it may: try again later")
        most = self.web.limits.max_connections_per_address
        if TrainSocket.addresses.count(self._address) >= most:
            raise Unavailable("your address has as many sockets as it may: close one first")

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """Return what tornado hands the connection to, after its checks of origin and headers.

        None means that the client wants a version that the hub does not have.
        """
        if self.request.headers.get("Sec-WebSocket-Version") != "13":
            return None
        return cast(WebSocketProtocol, self)

    async def accept_connection(self, handler: WebSocketHandler) -> None:
        """Answer the handshake, and hand the connection to a socket."""
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
        extensions, window = agree(headers.get("Sec-WebSocket-Extensions", ""))
        if extensions:
            lines.append(f"Sec-WebSocket-Extensions: {extensions}")
        tokens = (each.removeprefix(BEARER) for each in offered if each.startswith(BEARER))
        token = next(tokens, self._token)
        answer = "\r\n".join([*lines, "", ""]).encode("latin-1")
        new = self._kind(self.web, self._address, window)
        with suppress(StreamClosedError):  # the client has gone
            await new.open(self.detach(), answer, token)
        # Without these cycles the handler is freed now, and not by a long garbage collection.
        self.ws_connection = None
        self.ui = cast(Any, None)

    def on_connection_close(self) -> None:
        """Do nothing: a client that goes during the handshake leaves nothing behind."""

    @property
    def _address(self) -> str:
        return self.request.remote_ip or ""
