"""trainhub/web/rfc6455.py: frames that the RFC forbids are refused, and all are counted."""

import json
import struct

import pytest
from waiting import until
from websockets.frames import Opcode

from trainhub.core.deflate import Part, deflate
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
    """RFC 6455, 7.4 lists the codes; by 5.5.1 a close has two bytes, then UTF-8."""
    fault = fault_of_close(payload)
    assert answer == (fault and fault[0])


@pytest.mark.gen_test
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.PING, Opcode.CLOSE])
async def test_a_client_masks_its_frames(raw, connect, opcode):
    """RFC 6455, 5.1: an unmasked frame is ignored and closes its socket with 1002, no other."""
    other = await connect()
    socket, _ = await raw()
    socket.say("PING")
    socket.send_unmasked(opcode, b"")
    assert await socket.close_code() == 1002
    await until(lambda: len(TrainSocket.sockets) == 1)
    await other.ask("PONG", "PING")


@pytest.mark.gen_test
async def test_a_part_of_a_message_is_masked_too(raw):
    """An unmasked frame closes the socket also in the middle of a message."""
    socket, _ = await raw()
    socket.writer.write(bytes((0x01, 2)) + b"{}")  # the first part of a text, not masked
    assert await socket.close_code() == 1002


@pytest.mark.gen_test
async def test_every_frame_is_counted(raw):
    """A frame counts by its bytes with the head, and by whether it completed a message."""
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


# --- compressed messages --------------------------------------------------------------------------

OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
PING = b'{"type": "PING", "id": "compressed"}'


def deflated(text):
    return deflate([Part(text)], 15)


def frame(first, payload):
    """Return a client's frame with this first byte."""
    return struct.pack("!BBH", first, 0x80 | 126, len(payload)) + bytes(4) + payload


@pytest.mark.gen_test
async def test_a_ping_between_the_parts_of_a_compressed_message(raw):
    """RFC 7692, 6: the first frame says that the message is compressed, for all of them."""
    socket, _ = await raw(OFFER)
    payload = deflated(PING)
    socket.writer.write(frame(0x41, payload[:5]))
    socket.send(Opcode.PING, b"here?")
    socket.writer.write(frame(0x80, payload[5:]))
    _, pong, answer = await socket.frames(3)
    assert (pong.opcode, pong.data) == (Opcode.PONG, b"here?")
    assert json.loads(answer.data)["id"] == "compressed"


@pytest.mark.gen_test
async def test_messages_may_be_compressed_or_not(raw):
    """Each message may be compressed or not, independently of earlier ones."""
    socket, _ = await raw(OFFER)
    for first, payload in ((0x81, PING), (0xC1, deflated(PING)), (0x81, PING)):
        socket.writer.write(frame(first, payload))
    assert [json.loads(each.data)["type"] for each in await socket.frames(4)][1:] == ["PONG"] * 3


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("offers", "first", "payload", "code"),
    [
        ([OFFER], 0xC1, b"not deflated", 1007),
        ([OFFER], 0xC1, deflate([Part(bytes(70_000))], 15), 1009),
        ([OFFER], 0xC0, PING, None),  # a continuation with the deflate bit
        ([OFFER], 0xA1, PING, None),  # a reserved bit without an extension
        ([], 0xC1, deflated(PING), None),
    ],
)
async def test_a_malformed_compressed_message_closes(raw, offers, first, payload, code):
    """The close has a code if the RFC names a code."""
    socket, _ = await raw(*offers)
    socket.writer.write(frame(first, payload))
    if code is None:
        assert await socket.is_closed()
    else:
        assert await socket.close_code() == code
        socket.send(Opcode.CLOSE, b"")
    await until(lambda: not TrainSocket.sockets)


@pytest.mark.gen_test
async def test_a_message_counts_by_what_it_was_inflated_to(raw):
    """A few compressed bytes may inflate to 64 KB, and count as that."""
    socket, _ = await raw(OFFER)
    (handler,) = TrainSocket.sockets
    counted = []
    handler.ws_connection._on_frame = lambda size, whole: counted.append((size, whole))
    text = PING + b" " * 60_000
    payload = deflated(text)
    assert len(payload) < 500
    socket.writer.write(frame(0xC1, payload))
    await until(lambda: counted)
    assert counted == [(len(text), True)]
