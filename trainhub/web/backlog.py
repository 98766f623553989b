"""What waits for a client that reads more slowly than it is told: bounded, each figure once."""

import asyncio
from collections import deque
from collections.abc import Callable

from tornado.iostream import IOStream

# So much is handed to the stream at once: what is there is sent, whatever comes after it.
PIECE = 64 * 1024


class Backlog:
    """Frames in their order behind a write that the socket did not take whole.

    It lasts until the stream has taken all, and then calls `done`. What is written past it, a pong
    or a close, comes between two frames and before what still waits here.
    """

    __slots__ = ("_done", "_figures", "_stream", "_underway", "_waiting", "most", "unsent")

    def __init__(self, stream: IOStream, rest: bytes, most: int, done: Callable[[], None]) -> None:
        """`rest` is what the socket has not taken; `most` is how many bytes may wait in all."""
        self._stream = stream
        self._done = done
        self._waiting: deque[bytes | str] = deque()  # frames, and figures by their names
        self._figures: dict[str, bytes] = {}
        self.unsent = len(rest)
        # A client that has read all before may be sent more: the snapshot of a very full train.
        # That must not be what it is cut off for at the next event.
        self.most = max(most, len(rest) + most // 2)
        self._write(rest)

    def add(self, frames: bytes) -> bool:
        """Let frames wait; returns False if they are more than may."""
        if self.unsent + len(frames) > self.most:
            return False
        self.unsent += len(frames)
        self._waiting.append(frames)
        return True

    def show(self, figure: str, frame: bytes) -> bool:
        """Let a figure wait, in the place of an older one of its name; False as for `add`."""
        older = self._figures.get(figure)
        more = len(frame) - len(older or b"")
        if self.unsent + more > self.most:
            return False
        self.unsent += more
        self._figures[figure] = frame
        if older is None:
            self._waiting.append(figure)
        return True

    def clear(self) -> None:
        """Let go of all but what is being sent."""
        self._waiting.clear()
        self._figures.clear()
        self.unsent = self._underway

    def hand_over(self) -> None:
        """Give all that waits to the stream, so that a close comes after it."""
        frames = b"".join(self._take(self.unsent))
        if frames:
            self._stream.write(frames)

    def _write(self, frames: bytes) -> None:
        self._underway = len(frames)
        self._stream.write(frames).add_done_callback(self._written)

    def _written(self, future: "asyncio.Future[None]") -> None:
        if future.cancelled() or future.exception() is not None or self._stream.closed():
            self.clear()  # the client has gone
            return
        self.unsent -= self._underway
        self._underway = 0
        if pieces := self._take(PIECE):
            self._write(b"".join(pieces))
        else:
            self._done()

    def _take(self, most: int) -> list[bytes]:
        """The frames that come next: so many bytes, or one that has more."""
        taken: list[bytes] = []
        size = 0
        while self._waiting and size < most:
            item = self._waiting.popleft()
            taken.append(self._figures.pop(item) if isinstance(item, str) else item)
            size += len(taken[-1])
        return taken
