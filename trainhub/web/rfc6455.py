"""A WebSocket that keeps to RFC 6455 where tornado is lenient, and counts every frame.

Tornado's protocol class has no public hook between a frame and its message. So this file uses six
of tornado's private names: `_receive_frame`, `_read_bytes`, `_handle_message`, `_write_frame`,
`_frame_mask` and `_wire_bytes_in`. tests/web/test_autobahn.py and test_rfc6455.py test them. The
other private names are `_execute`, in base.py and websocket.py, and `_write_buffer`, in base.py.

Tornado's own compression is not used. It reads a compressed message wrongly if a ping comes between
the message's fragments.
"""

import struct
from asyncio import Future
from collections.abc import Callable
from typing import Any

from tornado.websocket import WebSocketProtocol13

from trainhub.core.deflate import BadDeflate, TooLarge, inflate
from trainhub.web.close_codes import NOT_UTF_8, PROTOCOL_ERROR, TOO_LARGE
from trainhub.web.frames import BINARY, TEXT

CLOSE = 0x8
# Close codes that may be sent (RFC 6455, 7.4, and IANA's list). Codes from 3000 on are for apps.
_REGISTERED = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class Rfc6455(WebSocketProtocol13):
    """A protocol that refuses unmasked frames and invalid closes, and reports each frame.

    `on_frame(bytes, whole)` is called after each frame; `whole` says that the frame completed a
    message. `on_occupied()` is called when frames may not bypass tornado: its stream still has a
    frame to send, or the connection closes. `compressed` says that permessage-deflate is in use.
    """

    def __init__(
        self,
        handler: Any,
        params: Any,
        on_frame: Callable[[int, bool], None],
        on_occupied: Callable[[], None],
        *,
        compressed: bool = False,
    ) -> None:
        super().__init__(handler, False, params)
        self._on_frame = on_frame
        self._on_occupied = on_occupied
        self._compressed = compressed
        self._at_head = False
        self._whole = False
        self._deflated = False  # the message that is being read is compressed
        self._inflated = 0  # bytes of the message after inflating; 0 if it is not compressed

    async def _receive_frame(self) -> None:
        self._frame_mask = None
        self._whole = False
        self._inflated = 0
        self._at_head = True
        before = self._wire_bytes_in
        await super()._receive_frame()
        if self.client_terminated:
            return
        if self._frame_mask is None:
            self._refuse(PROTOCOL_ERROR, "a client masks its frames")
        else:
            self._on_frame(max(self._wire_bytes_in - before, self._inflated), self._whole)

    async def _read_bytes(self, n: int) -> bytes:
        data = await super()._read_bytes(n)
        if self._at_head:
            self._at_head = False
            if self._compressed and data[0] & self.OPCODE_MASK in (TEXT, BINARY):
                # On any other frame the bit stays, and tornado refuses it.
                self._deflated = bool(data[0] & self.RSV1)
                data = bytes((data[0] & ~self.RSV1, data[1]))
        return data

    def _handle_message(self, opcode: int, data: bytes) -> "Future[None] | None":
        if self._frame_mask is None:
            return None  # _receive_frame refuses it
        self._whole = opcode in (TEXT, BINARY)
        if opcode == CLOSE and (fault := fault_of_close(data)):
            self._refuse(*fault)
            return None
        if self._whole and self._deflated:
            try:
                data = inflate(data, self.params.max_message_size)
            except TooLarge as error:
                self._refuse(TOO_LARGE, str(error))
                return None
            except BadDeflate as error:
                self._refuse(NOT_UTF_8, str(error))
                return None
            self._inflated = len(data)
        return super()._handle_message(opcode, data)

    def _write_frame(self, fin: bool, opcode: int, data: bytes, flags: int = 0) -> "Future[None]":
        written = super()._write_frame(fin, opcode, data, flags)
        if self.stream.writing():
            self._on_occupied()
        return written

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        super().close(code, reason)
        self._on_occupied()

    def _refuse(self, code: int, reason: str) -> None:
        self.client_terminated = True  # tornado reads no more frames
        self.close(code, reason)


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
