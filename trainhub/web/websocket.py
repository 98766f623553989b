"""The WebSocket: a client's frames to its session, and the hub's frames to the client."""

import asyncio
import errno
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, cast

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.websocket import WebSocketHandler, WebSocketProtocol

from trainhub.access.identity import Identity
from trainhub.core.cost import Bill, open_bill, paid
from trainhub.core.deflate import agree
from trainhub.core.errors import HubError, Unavailable
from trainhub.core.rooms import Room
from trainhub.core.wire import encode, error_fields
from trainhub.domain.model import RunKey
from trainhub.hub.protocol import goodbye, welcome
from trainhub.hub.session import Session
from trainhub.process.activity import Act
from trainhub.web.backlog import Backlog
from trainhub.web.base import Edge, Web
from trainhub.web.close_codes import (
    BAD_MESSAGES,
    GOING_AWAY,
    NOT_IDENTIFIED,
    TOKEN_REFUSED,
    TOO_MANY,
    TOO_SLOW,
)
from trainhub.web.frames import text_frame
from trainhub.web.held import reset
from trainhub.web.limits import (
    SECONDS_A_BYTE,
    SECONDS_A_FRAME,
    Account,
    Addresses,
    Meter,
    is_public,
    rate_of,
)
from trainhub.web.liveness import Liveness, sent
from trainhub.web.rfc6455 import Rfc6455

SUBPROTOCOL = "trainhub.v1"
BEARER = "bearer."

# Seconds that a client which is closed may take to read the frames before the close.
SOCKET_CLOSE_SECONDS = 3
PING = b"\x89\x00"
# Bytes that the kernel may hold unsent for a client: a ping or a close waits for no more.
UNSENT_IN_KERNEL = 16 * 1024
# Sockets that are pinged in one turn of the loop: ten thousand at once would delay all clients.
PING_BATCH = 500
# Tokens that are checked in one turn of the loop: each takes a microsecond.
CHECK_BATCH = 2_000


class TrainSocket(Edge, WebSocketHandler):
    """A client's socket. It registers into `rooms`, the table run → room of handlers."""

    rooms: ClassVar[dict[RunKey, Room]] = {}
    sockets: ClassVar[set["TrainSocket"]] = set()
    addresses: ClassVar[Addresses] = Addresses()
    # New sockets, each with the time until which it has to identify or to subscribe.
    newcomers: ClassVar[dict["TrainSocket", float]] = {}
    # The window, in bits, for messages compressed for the client; 0 if it takes no compressed ones.
    window = 0

    def initialize(self, web: Web) -> None:
        self.web = web
        self._limits = web.limits
        self._session = Session(
            web.hub,
            web.tokens,
            self,
            self._answer,
            anonymous=web.anonymous,
            address=self.request.remote_ip,
        )
        self._meter = Meter(web.limits.message_rate, web.clock)
        self._backlog: Backlog | None = None
        self._liveness = Liveness(web.limits.heartbeat_seconds)
        self._payer: Identity | None = None
        self._token: str | None = None
        self._is_new = True  # the first message identifies, so it is accepted also in debt

    @property
    def allowed(self) -> list[str]:
        return ["GET", "OPTIONS"]  # a socket has no body that HEAD could leave out

    async def _execute(self, *args: Any, **kwargs: Any) -> None:
        # This call lasts as long as the socket, so each frame and each message pays for itself.
        self.bill = Bill()
        open_bill(self.bill)
        await WebSocketHandler._execute(self, *args, **kwargs)

    def prepare(self) -> None:
        # `count` and not `ask`: the address may be in debt while the user of this socket is not.
        self._account().count()
        self.check_query(())
        self._token = self.bearer()
        if self._token is not None:
            self.web.tokens.identify(self._token)  # a bad token is an error
        self.web.hub.check()
        if self.web.drain.begun:
            raise Unavailable("the hub is stopping: try again in a moment")
        if len(self.sockets) >= self.web.max_connections:
            raise Unavailable("the hub has as many sockets as it may: try again later")
        if self.addresses.count(self._address) >= self._limits.max_connections_per_address:
            raise Unavailable("your address has as many sockets as it may: close one first")

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        plain = super().get_websocket_protocol()
        if plain is None:
            return None
        answer, self.window = agree(self.request.headers.get("Sec-WebSocket-Extensions", ""))
        if answer:
            self.set_header("Sec-WebSocket-Extensions", answer)
        params = cast(Any, plain).params
        return Rfc6455(self, params, self._on_frame, self._changed, compressed=bool(answer))

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        self._token = next(
            (each.removeprefix(BEARER) for each in subprotocols if each.startswith(BEARER)),
            self._token,
        )
        return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None

    def open(self, *args: str, **kwargs: str) -> None:
        assert self.ws_connection is not None
        self.set_nodelay(True)
        self._stream = cast(IOStream, self.ws_connection.stream)
        # A closed descriptor may become the next client's: no delivery may write to it any more.
        cast(Any, self._stream).close_fd = self._close_descriptor
        beat = self._limits.heartbeat_seconds
        with suppress(AttributeError):  # only Linux has both; max_unsent_bytes holds everywhere
            tune = partial(self._stream.socket.setsockopt, socket.IPPROTO_TCP)
            tune(socket.TCP_USER_TIMEOUT, 2 * beat * 1000)
            tune(socket.TCP_NOTSENT_LOWAT, UNSENT_IN_KERNEL)
        self.sockets.add(self)
        self.addresses.enter(self._address)
        self.newcomers[self] = time.monotonic() + self._limits.identify_seconds
        self._id = secrets.token_hex(8)
        self.web.hub.activity.note(Act.CONNECTIONS, "opened", "connection %s opened", self._id)
        self._answer(welcome(self._id, self.web.hub.now(), beat))
        if self._token is not None:
            self._identify(self._token)

    # --- what comes in ------------------------------------------------------------------------

    async def on_message(self, message: str | bytes) -> None:
        if not self._may_write():
            return  # it is being closed
        account = self._account()
        first, self._is_new = self._is_new, False
        if not first and account.debt():
            await account.pay_off()  # tornado reads no more of the client meanwhile
            if not self._may_write():
                return
        seconds = max(self._meter.message(), 0 if first else account.debt())
        if seconds:
            self._session.rate_limited(message, seconds)
            return
        was_bad = self._session.bad
        await paid(self._session.receive(message))
        self._meter.set_rate(rate_of(self._limits, self._session.identity.role))
        if self._session.bad > was_bad and self._meter.bad.spend():
            self._close(BAD_MESSAGES, "too many messages were not well formed")

    def _account(self) -> Account:
        """Return the account that pays for the client, whose user may have changed."""
        identity = self._session.identity
        if identity is not self._payer:
            self._payer = identity
            self._paying = self.web.askers.account(identity, self._address)
            self.bill.account = self._paying
        self._paying.used_at = self.web.clock()
        return self._paying

    def on_close(self) -> None:
        if self in self.sockets:
            self.sockets.discard(self)
            self.addresses.leave(self._address)
            self.web.hub.activity.note(
                Act.CONNECTIONS, "closed", "connection %s closed: %s", self._id, self.close_code
            )
        self.newcomers.pop(self, None)
        self._backlog = None
        self.hold(0)
        self._session.close()

    def _on_frame(self, size: int, whole: bool) -> None:
        self._liveness.heard = True
        self._meter.frame(size, whole)
        self.bill.spend(SECONDS_A_FRAME)
        if self._meter.is_spent and self._may_write():
            self._note_cut_off("kept sending above its rate")
            self._close(TOO_MANY, "too many messages, frames or bytes: keep to retryAfterMs")

    # --- what goes out ------------------------------------------------------------------------

    def send(self, frames: bytes) -> None:
        """Write frames that are ready for the wire. Cuts off a client that is too far behind."""
        if self._backlog is None:
            self._write(frames)
        elif self._may_write() and not self._backlog.add(frames):
            self.cut_off()
        else:
            self.hold(self.unsent)

    def catch_up(self, frames: bytes) -> None:
        """Write what the client asked for, and charge it by its size."""
        self._meter.answered(len(frames))
        self.bill.spend(len(frames) * SECONDS_A_BYTE)
        if self._backlog is not None and not is_public(self._session.identity.role):
            # Staff may ask for many full trains at once, on a slow line.
            self._backlog.most += len(frames)
        self.send(frames)

    def show(self, figure: str, frame: bytes) -> None:
        """Write a figure's frame. It replaces a frame of that figure that still waits."""
        if self._backlog is None:
            self._write(frame)
        elif self._may_write() and not self._backlog.show(figure, frame):
            self.cut_off()
        else:
            self.hold(self.unsent)

    @property
    def descriptor(self) -> int:
        """Return the socket's descriptor if frames may be written straight to it, else -1."""
        stream = self._stream
        if self._backlog is not None or not self._may_write() or stream.writing():
            return -1
        return -1 if isinstance(stream, SSLIOStream) else stream.socket.fileno()

    def _changed(self) -> None:
        self.web.hub.rooms.changed(self)

    def _close_descriptor(self) -> None:
        self._changed()
        type(self._stream).close_fd(self._stream)

    def _may_write(self) -> bool:
        return self.ws_connection is not None and not self.ws_connection.is_closing()

    def _write(self, frames: bytes) -> None:
        # If nothing waits, the frames bypass IOStream.write, which makes a future and uses a
        # buffer: a quarter to a half more CPU (bench/fanout.py).
        if not self._may_write():
            return
        taken = 0
        if not self._stream.writing():
            try:
                taken = self._stream.write_to_fd(cast(memoryview, frames))
            except BlockingIOError:
                pass
            except OSError as error:
                taken = -(error.errno or errno.EIO)
        if taken != len(frames):
            self.sent(frames, taken)

    def sent(self, frames: bytes, taken: int) -> None:
        """Queue what the socket did not take. `taken` is in bytes, or a negative errno."""
        if taken < 0 and taken != -errno.EAGAIN:
            self._stream.close()  # tornado then calls on_close, which leaves the rooms
            return
        with suppress(StreamClosedError):
            most = self._limits.max_unsent_bytes
            done = self._caught_up
            self._backlog = Backlog(self._stream, frames, max(taken, 0), most, done)
            self.hold(self.unsent)
        self._changed()

    def _caught_up(self) -> None:
        self._backlog = None
        self.hold(0)
        self._changed()

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client."""
        return 0 if self._backlog is None else self._backlog.unsent

    # --- timers, and going --------------------------------------------------------------------

    @classmethod
    async def beat_all(cls) -> None:
        """Ping every socket, and close those that are silent."""
        those = list(cls.sockets)
        for first in range(0, len(those), PING_BATCH):
            for each in those[first : first + PING_BATCH]:
                each.beat()
            await asyncio.sleep(0)

    def beat(self) -> None:
        """Ping the client. Close it if the previous ping was not answered."""
        if not self._liveness.beat(sent(self._stream.socket), self._backlog is not None):
            self._reset()
        elif self._backlog is None:
            self._write(PING)
        elif self._may_write():
            self._stream.write(PING)

    @classmethod
    def dismiss_idlers(cls) -> None:
        """Close the sockets that neither identified nor subscribed in time."""
        now = time.monotonic()
        while cls.newcomers:
            first = next(iter(cls.newcomers))
            if cls.newcomers[first] > now:
                return
            del cls.newcomers[first]
            if first._session.is_busy:  # its request is being answered
                cls.newcomers[first] = now + first._limits.identify_seconds
            elif first._session.is_idle:
                first._close(NOT_IDENTIFIED, "identify or subscribe after connecting")

    @classmethod
    async def dismiss_refused(cls) -> None:
        """Close the sockets whose token has expired or was revoked."""
        those = list(cls.sockets)
        for first in range(0, len(those), CHECK_BATCH):
            for each in those[first : first + CHECK_BATCH]:
                objection = each._session.objection()
                if objection is not None and each._may_write():
                    each._close(TOKEN_REFUSED, objection)
            await asyncio.sleep(0)

    def leave(self, code: int, reason: str, retry_after_ms: int) -> None:
        """Send GOODBYE and close: the hub stops."""
        if not self._may_write():
            return
        self._answer(goodbye(reason, retry_after_ms))
        if self._may_write() and self._backlog is not None:
            self._backlog.hand_over()
        self.close(code, reason)

    def missed(self) -> None:
        """Close, so that the client connects again for an event that could not be delivered."""
        if self._may_write():
            self._close(GOING_AWAY, "an event was not delivered: connect again, with since")

    def cut_off(self) -> None:
        if self._backlog is None or not self._may_write():
            return  # it is being closed
        self._note_cut_off("too slow")
        self._backlog.clear()
        self._close(TOO_SLOW, "too slow: connect again, with since")

    def _note_cut_off(self, reason: str) -> None:
        detail = "connection %s cut off: %s, %d bytes behind"
        self.web.hub.activity.note(Act.CUT_OFF, reason, detail, self._id, reason, self.unsent)

    def _close(self, code: int, reason: str) -> None:
        """Close for a fault. The client gets no more frames, and a reset if it stays."""
        self._session.close()
        self.close(code, reason)
        asyncio.get_running_loop().call_later(SOCKET_CLOSE_SECONDS, self._reset)

    def _reset(self) -> None:
        reset(self._stream)

    @property
    def _address(self) -> str:
        return self.request.remote_ip or ""

    def _identify(self, token: str) -> None:
        try:
            self._session.identify(token)
            self._meter.set_rate(rate_of(self._limits, self._session.identity.role))
        except HubError as error:
            self._answer({"type": "ERROR", **error_fields(error)})

    def _answer(self, message: Mapping[str, Any]) -> None:
        self.send(text_frame(encode(message)))
