"""The WebSocket's frames under nonsense: frames that no library would send.

Each socket is answered on, or closed with a documented code or none; nothing is logged or left.
FUZZ_SOCKETS=20000 opens more of them, SEED the same again. What is in sound frames is test_fuzz.py.
"""

import asyncio
import json
import os
import struct
import time
from collections import Counter

import pytest
from load import seeded
from mutation import flip, insert, mutated
from recorder import asyncapi
from websockets.frames import Opcode
from websockets.protocol import OPEN, Protocol, Side

SOCKETS = int(os.environ.get("FUZZ_SOCKETS", "400"))
AT_ONCE = 8
# Close codes that may come: the protocol's own, and those that answer a client's close.
OWN = {1001, 1002, 1007, 1009, 4400, 4401, 4403, 4408, 4429, 4503}
GIVEN_BACK = {1000, 1003, *range(1008, 1015), *range(3000, 5000)}
GOOD = json.dumps({"type": "PING", "id": "after"}).encode()


def frame(chance, opcode, payload, first=None, masked=True, length=None):
    """Return a frame's bytes; `length` may differ from the payload's length."""
    size = len(payload) if length is None else length
    mask = chance.randbytes(4) if masked else b""
    head = bytes((0x80 | opcode if first is None else first,))
    bit = 0x80 if masked else 0
    if size < 126:
        head += bytes((bit | size,))
    elif size < 1 << 16:
        head += struct.pack("!BH", bit | 126, size)
    else:
        head += struct.pack("!BQ", bit | 127, size)
    covered = bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if masked else payload
    return head + mask + covered


def _text(chance):
    found = mutated(chance)
    found = found if isinstance(found, bytes) else found.encode("utf-8", "surrogatepass")
    return frame(chance, Opcode.TEXT, found[:2_000])


def _opcode(chance):
    return frame(chance, chance.randrange(16), chance.randbytes(chance.randrange(200)))


def _first_byte(chance):
    return frame(chance, 0, GOOD, first=chance.randrange(256))


def _bare(chance):
    return frame(chance, Opcode.TEXT, GOOD, masked=False)


def _no_utf8(chance):
    return frame(chance, Opcode.TEXT, insert(chance, GOOD))


def _lie(chance):
    wrong = chance.choice((0, 5, 126, 127, 65_535, 65_536, 2**31, 2**62, 2**63, 2**64 - 1))
    return frame(chance, Opcode.TEXT, GOOD, length=wrong)


def _long_form(chance):
    """Return a frame whose short length has the form for long ones."""
    mask = bytes(4)
    wide = struct.pack("!BBH", 0x81, 0xFE, len(GOOD)), struct.pack("!BBQ", 0x81, 0xFF, len(GOOD))
    return chance.choice(wide) + mask + GOOD


def _parts(chance):
    """Return a message in parts, some of which may be missing, doubled, or of another kind."""
    parts = [frame(chance, 0, GOOD[:9], first=0x01)]
    parts += [frame(chance, 0, GOOD[9:12], first=0x00) for _ in range(chance.randrange(3))]
    parts += [frame(chance, 0, GOOD[9:], first=chance.choice((0x80, 0x81, 0x82, 0x00)))]
    return b"".join(chance.sample(parts, chance.randint(1, len(parts))))


def _close(chance):
    code = struct.pack(
        "!H", chance.choice((0, 999, 1000, 1004, 1005, 1006, 1015, 2999, 4999, 9999))
    )
    return frame(chance, Opcode.CLOSE, chance.choice((b"", b"\x03", code, code + b"\xff\xfe")))


def _control(chance):
    """Return a ping or pong, which may be too long or in parts."""
    opcode = chance.choice((Opcode.PING, Opcode.PONG))
    payload = chance.randbytes(chance.choice((0, 125, 126, 200)))
    return frame(chance, opcode, payload, first=chance.choice((None, int(opcode))))


def _noise(chance):
    return chance.randbytes(chance.randint(1, 100))


_KINDS = (
    *(_text, _opcode, _first_byte, _bare, _no_utf8, _lie, _long_form, _parts, _close, _control),
    _noise,
)


def nonsense(chance):
    """Return one to four frames, whole or with some bits flipped."""
    data = b"".join(chance.choice(_KINDS)(chance) for _ in range(chance.randint(1, 4)))
    return flip(chance, data) if chance.random() < 0.2 else data


async def outcome(raw, chance, read_some):
    """Return a socket's outcome: "answered", a close code, "closed" without a code, or "waits"."""
    socket, _ = await raw()
    reader, writer = socket.reader, socket.writer
    parser = Protocol(Side.CLIENT, state=OPEN, max_size=None)
    try:
        writer.write(nonsense(chance) + frame(chance, Opcode.TEXT, GOOD))
        while (data := await read_some(reader)) is not None:
            if not data:
                return "closed"
            parser.receive_data(data)
            assert parser.parser_exc is None, "the hub's own frames are sound"
            for each in parser.events_received():
                if each.opcode is Opcode.CLOSE:
                    return struct.unpack("!H", each.data[:2])[0] if each.data else "closed"
                if each.opcode is Opcode.TEXT:
                    found = json.loads(each.data)
                    assert found["type"] in asyncapi()["components"]["messages"]
                    if found.get("id") == "after":
                        return "answered"
        return "waits"
    except ConnectionError:
        return "closed"
    finally:
        writer.transport.abort()


@pytest.mark.sized
@pytest.mark.gen_test(timeout=36_000)
async def test_frames_of_nonsense_are_answered_or_closed(site, raw, connect, read_some, caplog):
    """The close has a documented code; other sockets go on, and nothing changes."""
    seed, chance = seeded()
    print(f"seed {seed}")
    await site.register()
    other = await connect("TTE")
    before, seen, start = site.hub.log.last, Counter(), time.monotonic()

    async def open_some(count):
        for _ in range(count):
            seen[await outcome(raw, chance, read_some)] += 1

    await asyncio.gather(*(open_some(SOCKETS // AT_ONCE) for _ in range(AT_ONCE)))
    print(f"{seen.total()} sockets in {time.monotonic() - start:.0f} s: {dict(seen)}")
    await other.ask("PONG", "PING")
    assert site.hub.log.last == before
    assert {each for each in seen if isinstance(each, int)} <= OWN | GIVEN_BACK
    assert seen.keys() >= {"answered", "closed", 1002}
    assert not [each for each in caplog.records if each.exc_info]
