"""What waits for a client that reads more slowly than it is told: bounded, each figure once."""

import asyncio
from collections import deque
from collections.abc import Callable

from tornado.iostream import IOStream

from trainhub.web.frames import frames_end

# So much is handed to the stream at once: what is there is sent, whatever comes after it. At least
# a whole TLS record.
PIECE = 16 * 1024


class Backlog:
    """Frames in their order behind a write that the socket did not take whole.

    It lasts until the stream has taken all, and then calls `done`. What is written past it, a ping,
    a pong or a close, comes between two frames and before what still waits here.
    """

    __slots__ = ("_done", "_figures", "_stream", "_underway", "_waiting", "most", "unsent")

    def __init__(
        self,
        stream: IOStream,
        frames: bytes,
        taken: int,
        most: int,
        done: Callable[[], None],
    ) -> None:
        """The socket has taken the first `taken` bytes; `most` is how many may wait in all."""
        self._stream = stream
        self._done = done
        # Frames, and figures by their names.
        self._waiting: deque[bytes | memoryview | str] = deque()
        self._figures: dict[str, bytes] = {}
        self.unsent = len(frames) - taken
        # A client that has read all before may be sent more: the snapshot of a very full train.
        # That must not be what it is cut off for at the next event.
        self.most = max(most, self.unsent + most // 2)
        whole = memoryview(frames)  # snapshots are shared: no copy for each slow client
        # A TLS record that blocked is offered again, and OpenSSL wants as many bytes as before.
        end = frames_end(whole, taken + PIECE)
        if end < len(whole):
            self._waiting.append(whole[end:])
        self._write(whole[taken:end])

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

    def _write(self, frames: bytes | memoryview) -> None:
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

    def _take(self, most: int) -> list[bytes | memoryview]:
        """Return the frames that come next: at most `most` bytes, or one larger frame."""
        taken: list[bytes | memoryview] = []
        size = 0
        while self._waiting and size < most:
            item = self._waiting.popleft()
            frames = self._figures.pop(item) if isinstance(item, str) else item
            if len(frames) > most:
                rest = memoryview(frames)
                end = frames_end(rest, most)
                if end < len(rest):
                    self._waiting.appendleft(rest[end:])
                frames = rest[:end]
            taken.append(frames)
            size += len(frames)
        return taken
