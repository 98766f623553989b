"""trainhub/web/rfc6455.py: frames that the RFC forbids are refused, and all are counted."""

import json
import struct

import pytest
from load import seeded
from waiting import until
from websockets.frames import Opcode

from trainhub.core.deflate import Part, deflate
from trainhub.web.rfc6455 import Fault, FrameReader, fault_of_close
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


def read_all(reader):
    """Return all frames that have come whole."""
    return list(iter(reader.next, None))


def masked(first, payload, mask=b"\1\2\3\4"):
    """Return a client's frame with this first byte."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + mask + bytes(each ^ mask[n % 4] for n, each in enumerate(payload))


def test_every_frame_is_counted():
    """A frame counts by its bytes with the head, and says whether it completed a message."""
    reader = FrameReader(1_000)
    reader.feed(masked(0x89, b"12345"))
    reader.feed(masked(0x01, b"") + masked(0x00, b"ab"))  # parts, then the rest
    reader.feed(masked(0x80, b"cd") + masked(0x8A, b"") + masked(0x81, b"x" * 200))
    assert read_all(reader) == [
        (Opcode.PING, b"12345", 11),
        (Opcode.CONT, b"", 6),
        (Opcode.CONT, b"", 8),
        (Opcode.TEXT, b"abcd", 8),
        (Opcode.PONG, b"", 6),
        (Opcode.TEXT, b"x" * 200, 208),
    ]
    assert reader.waiting == 0


def test_frames_may_come_in_any_pieces():
    """However the bytes are cut, the frames are the same, and what is not whole waits."""
    seed, chance = seeded()
    print(f"seed {seed}")
    for _ in range(200):
        payloads = [chance.randbytes(chance.choice((0, 1, 125, 126, 300, 70_000)))
                    for _ in range(chance.randrange(1, 6))]  # fmt: skip
        sent = b"".join(masked(0x82, each, chance.randbytes(4)) for each in payloads)
        reader, found = FrameReader(100_000), []
        while sent:
            cut = chance.choice((1, 2, 7, 1_000, 65_536))
            reader.feed(sent[:cut])
            sent = sent[cut:]
            if chance.random() < 0.8:
                found += read_all(reader)
        found += read_all(reader)
        assert [frame.data for frame in found] == payloads
        assert reader.waiting == 0


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (bytes((0x81, 0x02)) + b"{}", 1002),  # not masked
        (masked(0x83, b""), 1002),  # there is no such opcode
        (masked(0x8B, b""), 1002),
        (masked(0xC1, b""), 1002),  # a reserved bit without an extension
        (masked(0x09, b""), 1002),  # a ping in parts
        (masked(0x89, b"x" * 126), 1002),  # a long ping
        (masked(0x80, b""), 1002),  # the end of no message
        (masked(0x01, b"") + masked(0x81, b""), 1002),  # a message within another
        (masked(0x81, b"x" * 1_001), 1009),
        (masked(0x01, b"x" * 600) + masked(0x00, b"x" * 401), 1009),
        (struct.pack("!BBQ", 0x81, 0xFF, 1 << 62) + bytes(4), 1009),
    ],
)
def test_what_the_rfc_forbids_is_a_fault(sent, code):
    """The fault is found as soon as the frame's head has come."""
    reader = FrameReader(1_000)
    reader.feed(sent)
    with pytest.raises(Fault) as raised:
        read_all(reader)
    assert raised.value.code == code


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


def test_a_message_counts_by_what_it_was_inflated_to():
    """A few compressed bytes may inflate to 64 KB, and count as that."""
    text = PING + b" " * 60_000
    payload = deflated(text)
    assert len(payload) < 500
    reader = FrameReader(1 << 16, inflates=True)
    reader.feed(masked(0xC1, payload))
    assert read_all(reader) == [(Opcode.TEXT, text, len(text))]
