"""trainhub/web/rfc6455.py: what the RFC forbids a client is refused, and each frame is counted."""

import struct

import pytest
from websockets.frames import Opcode

from trainhub.web.rfc6455 import fault_of_close
from trainhub.web.websocket import TrainSocket


def close(code, reason=b""):
    return struct.pack("!H", code) + reason


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"", None),
        (close(1000), None),
        (close(1001, "bye ☃".encode()), None),
        *((close(code), None) for code in (1003, 1007, 1011, 1014, 3000, 4408, 4999)),
        *((close(code), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)),
        (close(65_535), 1002),
        (b"\x03", 1002),
        (close(1000, b"\xff"), 1007),
    ],
)
def test_a_close_says_something_or_is_a_fault(payload, answer):
    """RFC 6455, 7.4: which codes there are; 5.5.1: two bytes, then UTF-8."""
    fault = fault_of_close(payload)
    assert answer == (fault and fault[0])


@pytest.mark.gen_test
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.PING, Opcode.CLOSE])
async def test_a_client_masks_its_frames(raw, connect, until, opcode):
    """5.1: one that does not is closed with 1002, and nothing it said is taken; others live on."""
    other = await connect()
    socket, _ = await raw()
    socket.say("PING")
    socket.send_unmasked(opcode, b"")
    assert await socket.close_code() == 1002
    await until(lambda: len(TrainSocket.sockets) == 1)
    await other.ask("PONG", "PING")


@pytest.mark.gen_test
async def test_a_part_of_a_message_is_masked_too(raw):
    """Also where a frame makes no message complete."""
    socket, _ = await raw()
    socket.writer.write(bytes((0x01, 2)) + b"{}")  # a text that goes on, not masked
    assert await socket.close_code() == 1002


@pytest.mark.gen_test
async def test_every_frame_is_counted(raw, until):
    """Its bytes, with the head, and whether it made a message complete."""
    socket, _ = await raw()
    (handler,) = TrainSocket.sockets
    counted = []
    handler.ws_connection._on_frame = lambda size, whole: counted.append((size, whole))
    socket.send(Opcode.PING, b"12345")
    socket.writer.write(bytes((0x01, 0x80)) + bytes(4))  # an empty part, and another, and the rest
    socket.writer.write(bytes((0x00, 0x80)) + bytes(4))
    socket.send(Opcode.CONT, b'{"type": "PING"}')
    socket.send(Opcode.PONG, b"")
    socket.send(Opcode.TEXT, b"x" * 200)
    await until(lambda: len(counted) == 6)
    assert counted == [(11, False), (6, False), (6, False), (22, True), (6, False), (208, True)]
