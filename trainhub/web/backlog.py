"""The bounded backlog of a client that reads too slowly. Of each figure only the newest waits."""

from collections import deque
from collections.abc import Callable

from trainhub.web.frames import frames_end
from trainhub.web.streams import RECORD_BYTES, Stream

# Bytes that are given to the stream at once, and cannot be dropped after that.
PIECE = RECORD_BYTES


class Backlog:
    """The frames, in order, that wait behind a write which the socket did not take whole.

    The backlog calls `done` when the stream has taken all. A ping, pong or close is written to the
    stream directly: it goes between two frames, before what still waits here.
    """

    __slots__ = ("_done", "_figures", "_stream", "_underway", "_waiting", "most", "unsent")

    def __init__(
        self,
        stream: Stream,
        frames: bytes,
        taken: int,
        most: int,
        done: Callable[[], None],
    ) -> None:
        """Begin with frames of which the socket took `taken` bytes. `most` bytes may wait."""
        self._stream = stream
        self._done = done
        # Frames, and figures by their names.
        self._waiting: deque[bytes | memoryview | str] = deque()
        self._figures: dict[str, bytes] = {}
        self.unsent = len(frames) - taken
        # One answer may be larger than `most`: the snapshot of a very full train. The next event
        # must not cut off the client because of it.
        self.most = max(most, self.unsent + most // 2)
        whole = memoryview(frames)  # snapshots are shared: no copy for each slow client
        # After a TLS record that blocked, OpenSSL wants at least as many bytes again.
        end = frames_end(whole, taken + PIECE)
        if end < len(whole):
            self._waiting.append(whole[end:])
        self._write(whole[taken:end])

    def add(self, frames: bytes) -> bool:
        """Add frames. Return False, and add nothing, if they exceed the limit."""
        if self.unsent + len(frames) > self.most:
            return False
        self.unsent += len(frames)
        self._waiting.append(frames)
        return True

    def show(self, figure: str, frame: bytes) -> bool:
        """Add a figure, or replace the waiting figure of that name. Return False as `add` does."""
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
        """Drop all frames that the stream does not have yet."""
        self._waiting.clear()
        self._figures.clear()
        self.unsent = self._underway

    def hand_over(self) -> None:
        """Give all waiting frames to the stream, so that a close comes after them."""
        frames = b"".join(self._pop(self.unsent))
        if frames:
            self._stream.write(frames)

    def _write(self, frames: bytes | memoryview) -> None:
        self._underway = len(frames)
        self._stream.write(frames, self._written)

    def _written(self) -> None:
        self.unsent -= self._underway
        self._underway = 0
        if pieces := self._pop(PIECE):
            self._write(b"".join(pieces))
        else:
            self._done()

    def _pop(self, most: int) -> list[bytes | memoryview]:
        """Remove and return the next frames: about `most` bytes, cut only between two frames."""
        pieces: list[bytes | memoryview] = []
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
            pieces.append(frames)
            size += len(frames)
        return pieces
