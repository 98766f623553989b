"""One socket to the hub: what is asked and answered on it, and whether it is alive."""

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

MOST_HEARD_BYTES = 64 * 1024 * 1024  # the snapshot of the largest train is some 8 MB
CLOSE_SECONDS = 1.0
# At DEBUG it would log each frame, tokens and names with them.
wire = logging.getLogger("trainhub_client.wire")
wire.setLevel(logging.WARNING)

Answered = Callable[[Message], None]


class _Socket(ClientConnection):
    """A connection that tells of all bytes that come."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.life = LinkLife(self.loop.time())

    def data_received(self, data: bytes) -> None:
        self.life.heard(len(data), self.loop.time())
        super().data_received(data)


class Link:
    """An open socket. `why` says why the client itself has ended it."""

    def __init__(self, socket: _Socket, is_slow: Callable[[], bool]) -> None:
        """`is_slow` says whether a large message is on its way."""
        self._socket = socket
        self._life = socket.life
        self._is_slow = is_slow
        self.why = ""
        self._ids = 0
        self._ping: int | None = None
        # id → what to do with the answer, and when it was asked
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
            ping_interval=None,  # LinkLife does that
            close_timeout=CLOSE_SECONDS,
            logger=wire,
        )
        assert isinstance(socket, _Socket)
        return cls(socket, is_slow)

    async def listen(self, hear: Callable[[Message], None]) -> None:
        """Pass on what comes and is no answer, until the socket is closed.

        Raises ConnectionClosed, and what `hear` or a callback of `ask` raises.
        """
        writer = asyncio.create_task(self._write())
        self._watch()
        try:
            async for text in self._socket:
                if self.why:
                    return  # what came before the end is of no use any more
                self._life.heard_message(self._now())
                message = json.loads(text)
                answered, _ = self._answers.pop(message.get("id", 0), (None, 0.0))
                if answered is not None:
                    answered(message)
                elif message["type"] == "PONG":
                    self._pong(message)
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
        """Take note of WELCOME: the hub is there."""
        self._life.answered()
        if heartbeat > 0:
            self._life.quiet = heartbeat

    def check(self) -> None:
        """Ask the hub for a sign of life now."""
        if self._life.check(self._now()):
            self._send_ping()
            self._watch()

    def abort(self, why: str) -> None:
        """End the connection without a word."""
        self.why = self.why or why
        self._socket.transport.abort()

    # --- inside -----------------------------------------------------------------------------

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionClosed):  # the reader hears of it too
            while True:
                await self._socket.send(await self._outgoing.get(), text=True)

    async def _close(self) -> None:
        # A dead link takes no close, and may not even take what is to be sent before that.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close()
        self._socket.transport.abort()

    def _watch(self) -> None:
        """Set the timer for the next step, if that comes before the step it is set for."""
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
        # The hub answers in order, so an answer that is this late does not come any more.
        if self._now() - self._asked_at > SLOW_SECONDS:
            self.abort("the hub has left a message unanswered")

    def _send_ping(self) -> None:
        self._ids += 1
        self._ping = self._ids
        self.send({"type": "PING", "id": self._ids})

    @property
    def _asked_at(self) -> float:
        """The time of the oldest message that is unanswered."""
        return next((at for _, at in self._answers.values()), math.inf)

    def _now(self) -> float:
        return self._socket.loop.time()
