"""One socket to the hub: its messages, their answers, and whether the socket is alive."""

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed

from trainhub_client.callbacks import Message
from trainhub_client.link_life import ANSWER_SECONDS, SLOW_SECONDS, LinkLife

# Bytes of a message from the hub, at most: the snapshot of the largest train has some 8 MB.
MOST_HEARD_BYTES = 64 * 1024 * 1024
# Seconds that a close may take.
CLOSE_SECONDS = 1.0
# At DEBUG, websockets would log each frame, with tokens and names.
wire = logging.getLogger("trainhub_client.wire")
wire.setLevel(logging.WARNING)

Answered = Callable[[Message], None]


class _Socket(ClientConnection):
    """A connection that reports all received bytes to a LinkLife."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.life = LinkLife(self.loop.time())

    def data_received(self, data: bytes) -> None:
        self.life.heard(len(data), self.loop.time())
        super().data_received(data)


class Link:
    """An open socket. `why` is set if the client itself ended it."""

    def __init__(self, socket: _Socket, is_slow: Callable[[], bool]) -> None:
        """Wrap a socket. `is_slow` says whether a large message is on its way."""
        self._socket = socket
        self._life = socket.life
        self._is_slow = is_slow
        self.why = ""
        self._ids = 0
        self._ping: int | None = None
        # id → the callback for the answer, and the time of the question
        self._answers: dict[int, tuple[Answered, float]] = {}
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, url: str, is_slow: Callable[[], bool]) -> "Link":
        socket = await open_socket(
            url,
            create_connection=_Socket,
            max_size=MOST_HEARD_BYTES,
            open_timeout=ANSWER_SECONDS,
            ping_interval=None,  # LinkLife decides when to ping
            close_timeout=CLOSE_SECONDS,
            logger=wire,
        )
        assert isinstance(socket, _Socket)
        return cls(socket, is_slow)

    async def listen(self, hear: Callable[[Message], None]) -> None:
        """Give answers to their callbacks and other messages to `hear`, until the socket closes.

        Raises ConnectionClosed, and the errors of `hear` and of the callbacks.
        """
        writer = asyncio.create_task(self._write())
        self._watch()
        try:
            async for text in self._socket:
                if self.why:
                    return  # the client has ended this socket, so the message is void
                self._life.heard_message(self._now())
                message = json.loads(text)
                answered, _ = self._answers.pop(message.get("id", 0), (None, 0.0))
                if answered is not None:
                    answered(message)
                elif message["type"] == "PONG":
                    self._pong(message)
                    hear(message)
                else:
                    hear(message)
                self._watch()
        finally:
            writer.cancel()
            self._stop_watching()
            await self._close()

    def send(self, message: Message) -> None:
        self._outgoing.put_nowait(json.dumps(message, ensure_ascii=False).encode())

    def ask(self, message: Message, answered: Answered) -> None:
        self._ids += 1
        self._answers[self._ids] = answered, self._now()
        self.send({**message, "id": self._ids})
        self._watch()

    def welcomed(self, heartbeat: float) -> None:
        """Record WELCOME and the hub's heartbeat."""
        self._life.answered()
        if heartbeat > 0:
            self._life.quiet = heartbeat

    def check(self) -> None:
        """Ping the hub now."""
        if self._life.check(self._now()):
            self._send_ping()
            self._watch()

    def abort(self, why: str) -> None:
        """End the connection without a close frame."""
        self.why = self.why or why
        self._socket.transport.abort()

    # --- inside -----------------------------------------------------------------------------

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionClosed):  # `listen` raises it
            while True:
                await self._socket.send(await self._outgoing.get(), text=True)

    async def _close(self) -> None:
        # On a dead link neither the close nor the messages before it can be sent.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close()
        self._socket.transport.abort()

    def _watch(self) -> None:
        """Set the timer for the next step, unless the timer fires before that anyway."""
        due = self._life.due(self._asked_at, self._is_slow())
        if self._timer is None or due < self._timer.when():
            self._stop_watching()
            self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        step = self._life.step(self._now(), self._asked_at, self._is_slow())
        if step == "dead":
            self.abort("the hub does not answer")
            return
        if step == "ping":
            self._send_ping()
        self._watch()

    def _pong(self, message: Message) -> None:
        if message.get("id") == self._ping:
            self._life.answered()
        # The hub answers in order, so after a later PONG this answer will not come.
        if self._now() - self._asked_at > SLOW_SECONDS:
            self.abort("the hub did not answer a message")

    def _send_ping(self) -> None:
        self._ids += 1
        self._ping = self._ids
        self.send({"type": "PING", "id": self._ids})

    @property
    def _asked_at(self) -> float:
        """Return the time of the oldest unanswered message, or infinity."""
        return next((at for _, at in self._answers.values()), math.inf)

    def _now(self) -> float:
        return self._socket.loop.time()
