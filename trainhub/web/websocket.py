"""The WebSocket: a client's frames to its session, and the hub's frames to the client."""

import asyncio
import errno
import logging
import secrets
import socket
import time
from asyncio import Task
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from trainhub.access.identity import Identity
from trainhub.core.cost import Bill, open_bill, paid
from trainhub.core.errors import HubError, Unavailable
from trainhub.core.rooms import Crowd, Room
from trainhub.core.wire import encode, error_fields
from trainhub.domain.model import RunKey
from trainhub.hub.hub import Hub
from trainhub.hub.protocol import MOST_SOCKET_BYTES, goodbye, welcome
from trainhub.hub.session import Session
from trainhub.process.activity import Act
from trainhub.web.backlog import Backlog
from trainhub.web.base import Web
from trainhub.web.close_codes import (
    BAD_MESSAGES,
    DISMISSED,
    GOING_AWAY,
    NOT_IDENTIFIED,
    TOKEN_REFUSED,
    TOO_MANY,
    TOO_SLOW,
)
from trainhub.web.frames import CONTINUATION, TEXT, text_frame
from trainhub.web.handshake import Handshake
from trainhub.web.held import reset_at_close
from trainhub.web.limits import (
    SECONDS_A_BYTE,
    SECONDS_A_FRAME,
    Account,
    Addresses,
    Limits,
    Meter,
    is_public,
    rate_of,
)
from trainhub.web.liveness import Liveness, sent
from trainhub.web.rfc6455 import (
    CLOSE,
    PING,
    PONG,
    Fault,
    FrameReader,
    Received,
    close_frame,
    control_frame,
    text_of,
)
from trainhub.web.streams import READ_BYTES

logger = logging.getLogger("trainhub.socket")

# Seconds that a client which is closed may take to read the frames before the close.
SOCKET_CLOSE_SECONDS = 3
# Seconds that a client may take to answer a close.
CLOSE_ANSWER_SECONDS = 5
PING_FRAME = control_frame(PING)
# Bytes that the kernel may hold unsent for a client: a ping or a close waits for no more.
UNSENT_IN_KERNEL = 16 * 1024
# Sockets that are pinged in one turn of the loop: ten thousand at once would delay all clients.
PING_BATCH = 500
# Tokens that are checked in one turn of the loop: each takes a microsecond.
CHECK_BATCH = 2_000
# Frames of one client that are read in one turn of the loop.
FRAMES_A_TURN = 50


class TrainSocket(Handshake):
    """A client's socket. It registers into `rooms`, the table run → room of sockets.

    After the handshake it has no HTTP request, no task and no coroutine: only these slots. A task
    runs while a message is answered.
    """

    __slots__ = (
        "_backlog",
        "_closing",
        "_is_new",
        "_liveness",
        "_meter",
        "_payer",
        "_paying",
        "_pong",
        "_reader",
        "_session",
        "_stream",
        "_working",
        "address",
        "bill",
        "close_code",
        "id",
        "opened_at",
        "web",
        "window",
    )

    rooms: ClassVar[dict[RunKey, Room]] = {}
    sockets: ClassVar[set["TrainSocket"]] = set()
    addresses: ClassVar[Addresses] = Addresses()
    # New sockets, each with the time until which it has to identify or to subscribe.
    newcomers: ClassVar[dict["TrainSocket", float]] = {}
    most_message_bytes = MOST_SOCKET_BYTES

    def initialize(self, web: Web) -> None:
        super().initialize(web)
        self._backlog: Backlog | None = None

    def check_room(self) -> None:
        if len(self.sockets) >= self.web.max_connections:
            raise Unavailable("the hub has as many sockets as it may: try again later")
        if self.addresses.count(self.address) >= self._limits.max_connections_per_address:
            raise Unavailable("your address has as many sockets as it may: close one first")

    def opened(self, answer: bytes, token: str | None) -> None:
        web, limits = self.web, self._limits
        self.close_code: int | None = None
        self._session = Session(
            web.hub, web.tokens, self, self._answer, anonymous=web.anonymous, address=self.address
        )
        self._reader = FrameReader(self.most_message_bytes, inflates=bool(self.window))
        self._meter = Meter(limits.message_rate, web.clock)
        self._liveness = Liveness(limits.heartbeat_seconds)
        self.id = secrets.token_hex(8)
        self.opened_at = time.time()
        # The account of the latest identity pays, and `bill` names it while a message is answered.
        self._payer: Identity | None = None
        self._paying: Account
        self.bill = Bill()
        self._is_new = True  # the first message identifies, so it is accepted also in debt
        self._working = False  # frames wait: a message is answered, or many came at once
        self._closing = False  # the hub has sent a close
        self._pong: bytes | None = None  # what the pong is to say that waits to be written

        with suppress(OSError, AttributeError):  # only Linux has the last two
            tune = partial(self._stream.socket.setsockopt, socket.IPPROTO_TCP)
            tune(socket.TCP_NODELAY, 1)
            tune(socket.TCP_USER_TIMEOUT, 2 * limits.heartbeat_seconds * 1000)
            tune(socket.TCP_NOTSENT_LOWAT, UNSENT_IN_KERNEL)
        self.sockets.add(self)
        self.addresses.enter(self.address)
        self.newcomers[self] = time.monotonic() + limits.identify_seconds
        web.hub.activity.note(Act.CONNECTIONS, "opened", "connection %s opened", self.id)
        self.send(answer + self._greeting())
        if token is not None:
            self._identify(token)

    @property
    def _limits(self) -> Limits:
        return self.web.limits

    def _greeting(self) -> bytes:
        now, beat = self.web.hub.now(), self._limits.heartbeat_seconds
        return text_frame(encode(welcome(self.id, now, beat)))

    # --- what comes in ------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        self._reader.feed(data)
        if not self._working:
            self._read_on()
        elif self._reader.waiting > READ_BYTES:
            self._stream.pause()

    def _read_on(self) -> None:
        """Handle the frames that have come, up to a message: its answer comes first."""
        self._working = False
        try:
            for _ in range(FRAMES_A_TURN):
                frame = None if self._stream.closed else self._reader.next()
                if frame is None:
                    self._stream.resume()
                    return
                if frame.opcode == TEXT:
                    self._begin(frame, text_of(frame.data))
                    return
                if not self._handle(frame):
                    return
        except Fault as fault:
            self._refuse(fault)
            return
        self._working = True
        asyncio.get_running_loop().call_soon(self._read_on)

    def _handle(self, frame: Received) -> bool:
        """Handle any frame but a text. Return False if no more is read for now."""
        if frame.opcode == PING:
            self._answer_ping(frame.data)
        elif frame.opcode == CLOSE:
            if frame.data:
                self.close_code = int.from_bytes(frame.data[:2], "big")
            self.close(self.close_code)
            self._stream.close()
            return False
        elif frame.opcode not in (CONTINUATION, PONG):
            self._begin(frame, frame.data)
            return False
        self._on_frame(frame.size, False)
        return True

    def _begin(self, frame: Received, message: str | bytes) -> None:
        self._working = True
        task = asyncio.get_running_loop().create_task(self._work(message))
        task.add_done_callback(partial(self._worked, frame.size))

    async def _work(self, message: str | bytes) -> None:
        open_bill(self.bill)
        await self.on_message(message)

    def _worked(self, size: int, task: "Task[None]") -> None:
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            logger.error("a message could not be handled", exc_info=error)
            self._stream.close()
        self._on_frame(size, True)
        self._read_on()

    def _refuse(self, fault: Fault) -> None:
        """Close at once: what follows cannot be read."""
        self.close(fault.code, fault.reason)
        self._stream.close()

    def _answer_ping(self, data: bytes) -> None:
        if self._pong is None and self._may_write():
            if self._stream.writing:
                self._stream.write(b"", self._answer_last_ping)
                self._pong = data
            else:
                self._control(control_frame(PONG, data))
        elif self._pong is not None:
            self._pong = data  # RFC 6455, 5.5.3: the last ping is the one to answer

    def _answer_last_ping(self) -> None:
        data, self._pong = self._pong, None
        if data is not None and self._may_write():
            self._control(control_frame(PONG, data))

    async def on_message(self, message: str | bytes) -> None:
        if not self._may_write():
            return  # it is being closed
        account = self._account()
        first, self._is_new = self._is_new, False
        if not first and account.debt():
            await account.pay_off()  # the hub reads no more of the client meanwhile
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
            self._paying = self.web.askers.account(identity, self.address)
            self.bill.account = self._paying
        self._paying.used_at = self.web.clock()
        return self._paying

    def lost(self) -> None:
        """Take the socket out of every delivery: its descriptor may become the next client's."""
        self._changed()
        asyncio.get_running_loop().call_soon(self._leave)

    def _leave(self) -> None:
        self.sockets.discard(self)
        self.addresses.leave(self.address)
        self.web.hub.activity.note(
            Act.CONNECTIONS, "closed", "connection %s closed: %s", self.id, self.close_code
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
        return -1 if self._backlog is not None or self._closing else self._stream.descriptor

    def _changed(self) -> None:
        self.web.hub.rooms.changed(self)

    def _may_write(self) -> bool:
        return not self._closing and not self._stream.closed

    def _write(self, frames: bytes) -> None:
        if not self._may_write():
            return
        taken = 0
        if not self._stream.writing:
            try:
                taken = self._stream.send(frames)
            except BlockingIOError:
                pass
            except OSError as error:
                taken = -(error.errno or errno.EIO)
        if taken != len(frames):
            self.sent(frames, taken)

    def _control(self, frame: bytes) -> None:
        """Write a control frame. It goes before what waits in the backlog."""
        self._stream.write(frame)
        if self._stream.writing:
            self._changed()

    def sent(self, frames: bytes, taken: int) -> None:
        """Queue what the socket did not take. `taken` is in bytes, or a negative errno."""
        if taken < 0 and taken != -errno.EAGAIN:
            self._stream.close()
            return
        most = self._limits.max_unsent_bytes
        self._backlog = Backlog(self._stream, frames, max(taken, 0), most, self._caught_up)
        self.hold(self.unsent)
        self._changed()

    def _caught_up(self) -> None:
        self._backlog = None
        self.hold(0)
        self._changed()

    @property
    def identity(self) -> Identity:
        return self._session.identity

    @property
    def is_behind(self) -> bool:
        return self._backlog is not None

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client."""
        return 0 if self._backlog is None else self._backlog.unsent

    # --- timers, and going --------------------------------------------------------------------

    @classmethod
    async def beat_all(cls) -> None:
        """Ping every socket, a batch in one system call, and close those that are silent."""
        those = list(cls.sockets)
        for first in range(0, len(those), PING_BATCH):
            due: Crowd[None] = Crowd()
            due.update((each, None) for each in those[first : first + PING_BATCH] if each._is_due())
            if due:
                those[first].web.hub.rooms.deliver(due, PING_FRAME)
            await asyncio.sleep(0)

    def beat(self) -> None:
        """Ping the client. Close it if the previous ping was not answered."""
        if self._is_due():
            self._write(PING_FRAME)

    def _is_due(self) -> bool:
        """Return whether the client is to be pinged: it is there, and nothing waits for it.

        Closes a client that is gone. A client that is behind is pinged before what waits for it.
        """
        if not self._may_write():
            return False
        if not self._liveness.beat(sent(self._stream.socket), self._backlog is not None):
            self._reset()
            return False
        if self._backlog is not None:
            self._control(PING_FRAME)
        return self._backlog is None

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

    @classmethod
    async def tell_next_runs(cls, hub: Hub) -> None:
        """Tell the clients that subscribed without a date which runs took over since last time."""
        moved = hub.runs.moved(hub.now())
        those = list(cls.sockets) if moved else []
        for first in range(0, len(those), CHECK_BATCH):
            for each in those[first : first + CHECK_BATCH]:
                each._session.tell_next_runs(moved)
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

    def dismiss(self) -> None:
        """Close, as an ADMIN asked for it."""
        if self._may_write():
            self._close(DISMISSED, "the control room closed this connection")

    def hold(self, size: int) -> None:
        """Set how many bytes wait in memory for this client."""
        self.web.held.hold(self, self.address, size)

    def cut_off(self) -> None:
        if self._backlog is None or not self._may_write():
            return  # it is being closed
        self._note_cut_off("too slow")
        self._backlog.clear()
        self._close(TOO_SLOW, "too slow: connect again, with since")

    def _note_cut_off(self, reason: str) -> None:
        detail = "connection %s cut off: %s, %d bytes behind"
        self.web.hub.activity.note(Act.CUT_OFF, reason, detail, self.id, reason, self.unsent)

    def _close(self, code: int, reason: str) -> None:
        """Close for a fault. The client gets no more frames, and a reset if it stays."""
        self._session.close()
        self.close(code, reason)
        asyncio.get_running_loop().call_later(SOCKET_CLOSE_SECONDS, self._reset)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send a close, and wait some seconds for the client's."""
        if self._closing or self._stream.closed:
            return
        self._closing = True
        self._changed()
        self._stream.write(close_frame(code, reason or ""))
        asyncio.get_running_loop().call_later(CLOSE_ANSWER_SECONDS, self._stream.close)

    def _reset(self) -> None:
        if not self._stream.closed:
            reset_at_close(self._stream.socket)
            self._stream.close()

    def _identify(self, token: str) -> None:
        try:
            self._session.identify(token)
            self._meter.set_rate(rate_of(self._limits, self._session.identity.role))
        except HubError as error:
            self._answer({"type": "ERROR", **error_fields(error)})

    def _answer(self, message: Mapping[str, Any]) -> None:
        self.send(text_frame(encode(message)))
