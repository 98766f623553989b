"""The WebSocket: a client's frames to its session, and the hub's frames to the client."""

import logging
import secrets
import struct
from contextlib import suppress
from typing import Any, ClassVar, cast

from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketHandler

from trainhub.domain.errors import HubError, Unavailable
from trainhub.domain.model import RunKey
from trainhub.protocol import encode, error_fields, goodbye, welcome
from trainhub.rooms import Room
from trainhub.session import Session
from trainhub.web.base import Edge, Web

log = logging.getLogger("trainhub.websocket")

HEARTBEAT_SECONDS = 25
# Bytes that may wait for a client that does not read. What goes to a client that has read all
# before may be more: the snapshot of a very full train.
MOST_UNSENT_BYTES = 1024 * 1024
SUBPROTOCOL = "trainhub.v1"
BEARER = "bearer."

GOING_AWAY, JOURNAL_FAILED = 1001, 4503


def text_frame(payload: bytes) -> bytes:
    """A WebSocket text frame as a server sends it: whole and not masked (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


class TrainSocket(Edge, WebSocketHandler):
    """A client's socket. It registers into `rooms`, the table run → room of handlers."""

    rooms: ClassVar[dict[RunKey, Room]] = {}
    sockets: ClassVar[set["TrainSocket"]] = set()

    def initialize(self, web: Web) -> None:
        self._web = web
        self._session = Session(web.hub, web.tokens, self, self._answer, anonymous=web.anonymous)
        self._heard = True

    def prepare(self) -> None:
        self._web.hub.check()
        if len(self.sockets) >= self._web.max_connections:
            raise Unavailable("the hub has as many sockets as it may: try again later")

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        self._token = next(
            (each.removeprefix(BEARER) for each in subprotocols if each.startswith(BEARER)), None
        )
        return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None

    def open(self, *args: str, **kwargs: str) -> None:
        assert self.ws_connection is not None
        self.set_nodelay(True)
        self._stream = cast(IOStream, self.ws_connection.stream)
        self.sockets.add(self)
        self._answer(welcome(secrets.token_hex(8), self._web.hub.now(), HEARTBEAT_SECONDS))
        token = getattr(self, "_token", None)
        if token is not None:
            self._identify(token)

    def on_message(self, message: str | bytes) -> Any:
        self._heard = True
        return self._session.receive(message)

    def on_pong(self, data: bytes) -> None:
        self._heard = True

    def on_close(self) -> None:
        self.sockets.discard(self)
        self._session.close()

    def send(self, frames: bytes) -> None:
        """Write frames that are ready for the wire; a client that is too far behind is cut off."""
        if self.ws_connection is None or self.ws_connection.is_closing():
            return
        waiting = len(self._stream._write_buffer or ())
        if waiting and waiting + len(frames) > MOST_UNSENT_BYTES:
            self._cut_off()
            return
        with suppress(StreamClosedError):  # on_close comes, and takes it out of its rooms
            self._stream.write(frames)

    def show(self, figure: str, frame: bytes) -> None:
        self.send(frame)

    def beat(self) -> None:
        """Ping the client; one that has said nothing since the last beat but one is gone."""
        if not self._heard:
            self._stream.close()
        elif self.ws_connection is not None and not self.ws_connection.is_closing():
            self._heard = False
            self.ping()

    def leave(self, code: int, reason: str, retry_after_ms: int) -> None:
        """Say goodbye and close: the hub is going."""
        self._answer(goodbye(reason, retry_after_ms))
        self.close(code, reason)

    def _cut_off(self) -> None:
        # A closing frame would wait behind what the client does not read.
        log.info("a client was %d bytes behind and was cut off", MOST_UNSENT_BYTES)
        self._stream.close()

    def _identify(self, token: str) -> None:
        try:
            self._answer({"type": "IDENTIFIED", **self._session.identify(token)})
        except HubError as error:
            self._answer({"type": "ERROR", **error_fields(error)})

    def _answer(self, message: dict[str, Any]) -> None:
        self.send(text_frame(encode(message)))
