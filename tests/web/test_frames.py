"""trainhub/web/frames.py: frames that clients can read, and where they can be cut."""

import zlib
from dataclasses import replace
from random import Random

import pytest
from load import seeded
from websockets.frames import Opcode
from websockets.protocol import OPEN, Protocol, Side

from trainhub.core.deflate import Part, deflate
from trainhub.web.frames import PART_BYTES, frames_end, text_frame


def read(data):
    """Return the frames in the bytes, by another library's parser."""
    parser = Protocol(Side.CLIENT, state=OPEN, max_size=None)
    parser.receive_data(data)
    return parser.events_received()


@pytest.mark.parametrize(
    ("size", "head"), [(0, 2), (1, 2), (125, 2), (126, 4), (127, 4), (16_384, 4)]
)
def test_a_frame_is_what_a_client_reads(size, head):
    """Lengths have the shortest form of RFC 6455, 5.2, also at the limits of each form."""
    payload = b"x" * size
    sent = text_frame(payload)
    assert len(sent) == head + size
    (frame,) = read(sent)
    assert (frame.opcode, frame.fin, frame.data) == (Opcode.TEXT, True, payload)
    assert not any((frame.rsv1, frame.rsv2, frame.rsv3))


@pytest.mark.parametrize("size", [16_385, 32_768, 65_535, 65_536, 1_000_000])
@pytest.mark.parametrize("deflated", [False, True])
def test_a_large_message_comes_in_parts(size, deflated):
    """RFC 6455, 5.4: a text, then continuations, the last one final; the first may say deflated."""
    payload = Random(size).randbytes(size)
    sent = text_frame(payload, deflated=deflated)
    frames = read_parts(sent)
    assert b"".join(frame.data for frame in frames) == payload
    assert [frame.fin for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert [frame.opcode for frame in frames] == [Opcode.TEXT] + [Opcode.CONT] * (len(frames) - 1)
    starts = [0, *(frames_end(sent, 16_388 * number) for number in range(1, len(frames)))]
    assert [sent[at] & 0x40 for at in starts] == [0x40 * deflated] + [0] * (len(frames) - 1)
    assert max(len(frame.data) for frame in frames) == PART_BYTES


def read_parts(data):
    """Return the frames as `read` does, also with compressed texts or without UTF-8."""
    parser = Protocol(Side.CLIENT, state=OPEN, max_size=None)
    parser.extensions = [Anything()]
    parser.receive_data(data)
    return parser.events_received()


class Anything:
    """An extension that leaves the data of frames as they are."""

    def encode(self, frame):
        return frame

    def decode(self, frame, *, max_size=None):
        return replace(frame, rsv1=False)


def test_frames_in_one_write_are_read_one_by_one():
    """The frames of one commit go out in one write, one after the other."""
    payloads = [b"", "na\u00efve \u2603".encode(), b"y" * 126, b"z" * 16_384, b"{}"]
    assert [frame.data for frame in read(b"".join(map(text_frame, payloads)))] == payloads


def test_frames_are_cut_between_two_of_them():
    """The cut is at the first end of a frame at or after the given place."""
    chance = seeded()[1]
    sizes = [chance.choice([0, 5, 125, 126, 3_000, 16_384, 70_000]) for _ in range(50)]
    data = b"".join(text_frame(b"x" * size) for size in sizes)
    ends, at = [0], 0
    for frame in read(data):
        size = len(frame.data)
        at += size + (2 if size < 126 else 4)
        ends.append(at)
    assert at == len(data)
    for _ in range(1_000):
        least = chance.randrange(len(data) + 100)
        expected = min((end for end in ends if end >= least), default=len(data))
        assert frames_end(data, least) == expected == frames_end(memoryview(data), least)


def test_a_compressed_message_is_read_by_any_inflater():
    """Any inflater reads the frames' payload with the four bytes that RFC 7692 leaves out."""
    text = b'{"type": "SNAPSHOT"}' * 5_000 + Random(1).randbytes(50_000)
    frames = read_parts(text_frame(deflate([Part(text)], 15), deflated=True))
    whole = b"".join(frame.data for frame in frames) + b"\0\0\xff\xff"
    assert zlib.decompressobj(-15).decompress(whole) == text
