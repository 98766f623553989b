"""A client's WebSocket frames (RFC 6455), from bytes and without I/O."""

import struct
from typing import NamedTuple

from trainhub.core.deflate import BadDeflate, TooLarge, inflate
from trainhub.web.close_codes import NOT_UTF_8, PROTOCOL_ERROR, TOO_LARGE
from trainhub.web.frames import BINARY, CONTINUATION, DEFLATED, FINAL, TEXT

CLOSE = 0x8
PING = 0x9
PONG = 0xA
# Close codes that may be sent (RFC 6455, 7.4, and IANA's list). Codes from 3000 on are for apps.
_REGISTERED = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_CONTROL = 0x8
_MASKED = 0x80
_RESERVED = 0x70
_MASK_BYTES = 4
_KNOWN = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})


class Fault(Exception):
    """A client broke the protocol. The socket closes with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Received(NamedTuple):
    """A frame of a client.

    The opcode TEXT or BINARY means that the frame completed a message, and `data` is the whole
    message. CONTINUATION means a part of a message that is not complete. `size` counts the frame's
    bytes, or those of the message after inflating if they are more.
    """

    opcode: int
    data: bytes
    size: int


class FrameReader:
    """Takes bytes of a client as they come, and returns the frames one by one."""

    __slots__ = ("_at", "_buffer", "_deflated", "_inflates", "_message", "_most", "_opcode")

    def __init__(self, most: int, *, inflates: bool = False) -> None:
        """`most` bytes may make up one message. `inflates` means that it may be compressed."""
        self._most = most
        self._inflates = inflates
        # The bytes that were not read yet: from `_at` on. None between two frames.
        self._buffer: bytes | bytearray | None = None
        self._at = 0
        # The message whose parts are coming; None between two messages.
        self._message: bytearray | None = None
        self._opcode = 0
        self._deflated = False

    def feed(self, data: bytes) -> None:
        """Add bytes that the client has sent."""
        buffer = self._buffer
        if buffer is None:
            self._buffer = data
            return
        if isinstance(buffer, bytes):
            self._buffer = buffer = bytearray(memoryview(buffer)[self._at :])
        else:
            del buffer[: self._at]
        self._at = 0
        buffer += data

    @property
    def waiting(self) -> int:
        """The bytes that were not read yet."""
        return 0 if self._buffer is None else len(self._buffer) - self._at

    def next(self) -> Received | None:
        """Return the next frame; None if it has not come whole. Raises Fault."""
        data, at = self._buffer, self._at
        if data is None or len(data) < at + 2:
            return None
        first, second = data[at], data[at + 1]
        size = second & ~_MASKED
        body = at + 2 + _MASK_BYTES
        if size == 126:
            body += 2
        elif size == 127:
            body += 8
        self._check_head(first, second, size)
        if len(data) < body:
            return None
        if size >= 126:
            size = int.from_bytes(data[at + 2 : body - _MASK_BYTES], "big")
        gathered = 0 if self._message is None else len(self._message)
        if gathered + size > self._most:
            raise Fault(TOO_LARGE, "message too big")
        end = body + size
        if len(data) < end:
            return None
        payload = _unmask(data[body:end], data[body - _MASK_BYTES : body])
        if end == len(data):
            self._buffer = None
            self._at = 0
        else:
            self._at = end
        return self._frame(first, payload, end - at)

    def _check_head(self, first: int, second: int, size: int) -> None:
        opcode = first & 0x0F
        if not second & _MASKED:
            raise Fault(PROTOCOL_ERROR, "a client masks its frames")
        if opcode not in _KNOWN:
            raise Fault(PROTOCOL_ERROR, "there is no such opcode")
        may_deflate = self._inflates and opcode in (TEXT, BINARY)
        if first & _RESERVED & ~(DEFLATED if may_deflate else 0):
            raise Fault(PROTOCOL_ERROR, "a reserved bit is set")
        if opcode & _CONTROL:
            if size > 125 or not first & FINAL:
                raise Fault(PROTOCOL_ERROR, "a control frame is short and whole")
        elif (opcode == CONTINUATION) != (self._message is not None):
            raise Fault(PROTOCOL_ERROR, "a message's parts follow each other")

    def _frame(self, first: int, payload: bytes, size: int) -> Received:
        opcode = first & 0x0F
        if opcode & _CONTROL:
            if opcode == CLOSE and (fault := fault_of_close(payload)):
                raise Fault(*fault)
            return Received(opcode, payload, size)
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._deflated = bool(first & DEFLATED)
        if not first & FINAL:
            if self._message is None:
                self._message = bytearray()
            self._message += payload
            return Received(CONTINUATION, b"", size)
        if self._message is not None:
            payload = bytes(self._message + payload)
            self._message = None
        if self._deflated:
            payload = self._inflate(payload)
            size = max(size, len(payload))
        return Received(self._opcode, payload, size)

    def _inflate(self, payload: bytes) -> bytes:
        try:
            return inflate(payload, self._most)
        except TooLarge as error:
            raise Fault(TOO_LARGE, str(error)) from None
        except BadDeflate as error:
            raise Fault(NOT_UTF_8, str(error)) from None


def _unmask(data: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """Return the data of a frame as they were before the client masked them."""
    size = len(data)
    key = int.from_bytes(bytes(mask) * (size // 4 + 1), "little")
    masked = int.from_bytes(data, "little")
    return (masked ^ (key & ((1 << 8 * size) - 1))).to_bytes(size, "little")


def text_of(payload: bytes) -> str:
    """Return a text message's text. Raises Fault if it is not UTF-8."""
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise Fault(NOT_UTF_8, "a text is in UTF-8") from None


def control_frame(opcode: int, payload: bytes = b"") -> bytes:
    """Return a ping, a pong or a close of the hub."""
    return bytes((FINAL | opcode, len(payload))) + payload


def close_frame(code: int | None, reason: str) -> bytes:
    """Return a close of the hub. Without a code it has no reason either."""
    if code is None:
        return control_frame(CLOSE)
    return control_frame(CLOSE, struct.pack("!H", code) + reason.encode())


def fault_of_close(payload: bytes) -> tuple[int, str] | None:
    """Return the code and reason that answer an invalid close. None means that it is valid."""
    if not payload:
        return None
    if len(payload) == 1:
        return PROTOCOL_ERROR, "a close code has two bytes"
    (code,) = struct.unpack("!H", payload[:2])
    if code not in _REGISTERED and not 3000 <= code <= 4999:
        return PROTOCOL_ERROR, "there is no such close code"
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return NOT_UTF_8, "a close reason is in UTF-8"
    return None
