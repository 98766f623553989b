"""The bytes of one WebSocket: from and to the kernel, or through TLS.

A client that is idle costs one small object here. It has no task, no future and no buffer.
"""

import asyncio
import socket
from asyncio import Future
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, cast

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from trainhub.web.poller import Poller
from trainhub.web.tornado_insides import take_socket

# Bytes that are read at once.
READ_BYTES = 64 * 1024
# Bytes of a TLS record.
RECORD_BYTES = 16 * 1024

Done = Callable[[], None]


class Receiver(Protocol):
    """The owner of a stream."""

    def received(self, data: bytes) -> None:
        """Handle bytes of the client."""

    def lost(self) -> None:
        """Handle the end of the stream. It is called once, before the descriptor is free."""


class Stream(Protocol):
    """A connection to a client."""

    @property
    def socket(self) -> socket.socket:
        """The connected socket."""

    @property
    def closed(self) -> bool:
        """Whether the stream has ended."""

    @property
    def descriptor(self) -> int:
        """The descriptor if bytes may be written straight to it, else -1."""

    @property
    def writing(self) -> bool:
        """Whether earlier bytes still wait to be written."""

    def send(self, data: bytes) -> int:
        """Write at once what the socket takes, and return how much. Only if nothing waits.

        Raises OSError.
        """

    def write(self, data: bytes | memoryview, done: Done | None = None) -> None:
        """Write the data behind all that waits. Calls `done` later, when all is written."""

    def pause(self) -> None:
        """Read no more of the client."""

    def resume(self) -> None:
        """Read on."""

    def close(self) -> None:
        """Close the connection. What still waits is dropped."""


async def take_over(stream: IOStream, receiver: Receiver, poller: Poller) -> tuple[Stream, bytes]:
    """Return a stream on the connection of a tornado stream, and the bytes that came early.

    The receiver gets nothing before `resume` is called.
    Raises StreamClosedError if the client has gone.
    """
    if stream.writing():
        await stream.write(b"")
    if stream.closed():
        raise StreamClosedError
    if isinstance(stream, SSLIOStream):
        return SecureStream(stream, receiver), b""
    taken, early = take_socket(stream)
    return PlainStream(taken, receiver, poller), early


class PlainStream:
    """A stream over a socket that does not block."""

    __slots__ = ("_poller", "_reading", "_receiver", "_waiting", "closed", "socket")

    def __init__(self, connected: socket.socket, receiver: Receiver, poller: Poller) -> None:
        self.socket = connected
        self.closed = False
        self._receiver = receiver
        self._poller = poller
        self._reading = False
        # What waits to be written, each with the call that follows it. None if nothing waits.
        self._waiting: list[tuple[memoryview, Done | None]] | None = None

    @property
    def descriptor(self) -> int:
        return -1 if self.closed or self._waiting is not None else self.socket.fileno()

    @property
    def writing(self) -> bool:
        return self._waiting is not None

    def send(self, data: bytes) -> int:
        return self.socket.send(data)

    def write(self, data: bytes | memoryview, done: Done | None = None) -> None:
        if self.closed:
            return
        if self._waiting is not None:
            self._waiting.append((memoryview(data), done))
            return
        self._waiting = [(memoryview(data), done)]
        self._drain()
        if self._waiting is not None:
            self._wait()

    def _wait(self) -> None:
        """Wait for what this stream wants to do now."""
        descriptor, write = self.socket.fileno(), self._waiting is not None
        self._poller.wait(descriptor, self, read=self._reading, write=write)

    def ready(self, read: bool, write: bool) -> None:
        if write and self._waiting is not None:
            self._drain()
            if self._waiting is None and not self.closed:
                self._wait()
        if read and self._reading and not self.closed:
            self._read()

    def _drain(self) -> None:
        """Write what the socket takes."""
        while self._waiting:
            data, done = self._waiting[0]
            try:
                taken = self.socket.send(data) if data else 0
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.close()
                return
            if taken < len(data):
                self._waiting[0] = data[taken:], done
                return
            del self._waiting[0]
            if done is not None:
                asyncio.get_running_loop().call_soon(done)
        self._waiting = None

    def pause(self) -> None:
        if self._reading and not self.closed:
            self._reading = False
            self._wait()

    def resume(self) -> None:
        if not self._reading and not self.closed:
            self._reading = True
            self._wait()

    def _read(self) -> None:
        try:
            data = self.socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._receiver.received(data)
        else:
            self.close()

    def close(self) -> None:
        if self.closed:
            return
        self._poller.stop(self.socket.fileno())
        self._waiting = None
        self.closed = True
        self._receiver.lost()
        self._receiver = cast(Receiver, None)  # no cycle is left to the garbage collector
        self.socket.close()


class SecureStream:
    """A stream over tornado's stream with TLS."""

    __slots__ = ("_paused", "_reading", "_receiver", "_stream")

    def __init__(self, stream: SSLIOStream, receiver: Receiver) -> None:
        self._stream = stream
        self._receiver = receiver
        self._paused = True
        self._reading = False
        stream.set_close_callback(receiver.lost)

    @property
    def socket(self) -> socket.socket:
        return self._stream.socket

    @property
    def closed(self) -> bool:
        return self._stream.closed()

    @property
    def descriptor(self) -> int:
        return -1  # only OpenSSL may write to it

    @property
    def writing(self) -> bool:
        return self._stream.writing()

    def send(self, data: bytes) -> int:
        # One record at a time: OpenSSL wants all of a write that blocked again, to its last byte.
        whole = memoryview(data)
        taken = 0
        while taken < len(whole):
            size = self._stream.write_to_fd(whole[taken : taken + RECORD_BYTES])
            if not size:
                break
            taken += size
        return taken

    def write(self, data: bytes | memoryview, done: Done | None = None) -> None:
        with suppress(StreamClosedError):
            written = self._stream.write(data)
            if done is not None:
                written.add_done_callback(partial(_call_if_written, done))

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if not self._reading and not self.closed:
            with suppress(StreamClosedError):
                reading = cast("Future[bytes]", self._stream.read_bytes(READ_BYTES, partial=True))
                reading.add_done_callback(self._on_read)
                self._reading = True

    def _on_read(self, reading: "Future[bytes]") -> None:
        self._reading = False
        if reading.exception() is None:
            self._receiver.received(reading.result())
            if not self._paused:
                self.resume()

    def close(self) -> None:
        self._stream.close()


def _call_if_written(done: Done, written: "Future[None]") -> None:
    if written.exception() is None:
        done()
