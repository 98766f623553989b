"""trainhub/core/deflate.py: negotiation, and messages that both sides read alike."""

import zlib
from random import Random

import pytest

from trainhub.core.deflate import BadDeflate, Part, TooLarge, agree, deflate, inflate

PLAIN = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
BITS = "server_max_window_bits"


@pytest.mark.parametrize(
    ("offers", "answer", "window"),
    [
        ("", "", 0),
        ("x-webkit-deflate-frame", "", 0),
        ("permessage-deflate", PLAIN, 15),
        ("permessage-deflate; client_max_window_bits", PLAIN, 15),  # Chromium, and websockets
        ('permessage-deflate; client_max_window_bits="12"', PLAIN, 15),
        ("permessage-deflate; server_no_context_takeover", PLAIN, 15),
        (" permessage-deflate ;client_no_context_takeover ", PLAIN, 15),
        ("permessage-deflate; server_max_window_bits=15", f"{PLAIN}; {BITS}=15", 15),
        ("permessage-deflate; server_max_window_bits=10", f"{PLAIN}; {BITS}=10", 10),
        ("permessage-deflate; server_max_window_bits=8", "", 0),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", PLAIN, 15),
        ("permessage-bzip2, permessage-deflate", PLAIN, 15),
        # RFC 7692, 7.1: an offer with any of these is declined.
        ("permessage-deflate; unheard_of", "", 0),
        ("permessage-deflate; server_max_window_bits", "", 0),
        ("permessage-deflate; server_max_window_bits=16", "", 0),
        ("permessage-deflate; server_max_window_bits=010", "", 0),
        ("permessage-deflate; client_max_window_bits=7", "", 0),
        ("permessage-deflate; server_no_context_takeover=1", "", 0),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", "", 0),
        (";;=,,;", "", 0),
    ],
)
def test_what_is_agreed(offers, answer, window):
    """No side keeps a context; the window is the client's; what is not understood is declined."""
    assert agree(offers) == (answer, window)


@pytest.mark.parametrize("window", range(9, 16))
def test_parts_make_one_message(window):
    """Each is compressed by itself, within the window, and once."""
    chance = Random(window)
    texts = [b'{"head":1', b"x" * 100_000, chance.randbytes(40_000), b"", b"}"]
    parts = [Part(text) for text in texts]
    payload = deflate(parts, window)
    assert parts[1].deflated(window) is parts[1].deflated(window)
    reader = zlib.decompressobj(-window)
    assert reader.decompress(payload + b"\0\0\xff\xff") == b"".join(texts)
    assert inflate(payload, 1 << 20) == b"".join(texts)


def test_a_message_has_at_most_so_many_bytes_inflated():
    """A bomb of 100 MB is not inflated any further than allowed."""
    bomb = deflate([Part(b"x" * 65_536)], 15)
    assert len(inflate(bomb, 65_536)) == 65_536
    with pytest.raises(TooLarge):
        inflate(bomb, 65_535)
    with pytest.raises(TooLarge):
        inflate(deflate([Part(bytes(100_000_000))], 15), 65_536)


@pytest.mark.parametrize("payload", [b"\xff" * 20, b"not deflated", b"\x07"])
def test_what_is_not_deflated_is_refused(payload):
    """As an error of its own."""
    with pytest.raises(BadDeflate):
        inflate(payload, 65_536)


def test_a_message_may_end_with_a_final_block():
    """RFC 7692, 7.2.3.4; but nothing may follow it."""
    deflater = zlib.compressobj(wbits=-15)
    final = deflater.compress(b"hello") + deflater.flush()
    assert inflate(final, 100) == b"hello"
    with pytest.raises(BadDeflate):
        inflate(final + b"more", 100)
