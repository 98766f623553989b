"""Messages as a server's frames (RFC 6455): not masked, and large messages in parts."""

import struct

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
# Bits of a frame's first byte: the message's last frame, and a compressed message.
FINAL = 0x80
DEFLATED = 0x40
# Bytes of a message in one frame. A ping, a pong or a close goes between two frames, so it waits
# for one frame at most: 1.6 s at 10 kB/s.
PART_BYTES = 16 * 1024


def text_frame(payload: bytes, *, deflated: bool = False) -> bytes:
    """Return a text message's frames. `deflated` says that the payload is compressed."""
    return message_frames(TEXT, payload, deflated=deflated)


def message_frames(opcode: int, payload: bytes, *, deflated: bool = False) -> bytes:
    """Return the frames of a message with that opcode."""
    first = opcode | (DEFLATED if deflated else 0)
    if len(payload) <= PART_BYTES:
        return _head(first | FINAL, len(payload)) + payload
    frames = []
    for start in range(0, len(payload), PART_BYTES):
        part = payload[start : start + PART_BYTES]
        last = FINAL if start + PART_BYTES >= len(payload) else 0
        frames += [_head(first | last, len(part)), part]
        first = CONTINUATION
    return b"".join(frames)


def _head(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size)
    return struct.pack("!BBQ", first, 127, size)


def frames_end(frames: bytes | memoryview, least: int) -> int:
    """Return the first end of a frame at or after byte `least`: the frames may be cut there."""
    end = 0
    while end < min(least, len(frames)):
        end += _frame_size(frames, end)
    return end


def _frame_size(frames: bytes | memoryview, at: int) -> int:
    size = frames[at + 1]
    if size < 126:
        return 2 + size
    if size == 126:
        return 4 + int(struct.unpack_from("!H", frames, at + 2)[0])
    return 10 + int(struct.unpack_from("!Q", frames, at + 2)[0])
