"""Compressed messages (permessage-deflate, RFC 7692): negotiation, and both directions.

Neither side keeps a compressor between two messages, so an idle socket costs no memory. Each part
of a message is compressed separately, so a part for many clients is compressed once.
"""

import zlib
from collections.abc import Iterable

EXTENSION_NAME = "permessage-deflate"
_NO_CONTEXT = ("server_no_context_takeover", "client_no_context_takeover")
# Bits of the window. zlib's raw deflate does not support 8.
_LEAST_WINDOW = 9
_MOST_WINDOW = 15
# A snapshot of 511 KB becomes 28.6 KB in 0.9 ms; at zlib's usual level 27.2 KB in 2.3 ms.
_LEVEL = 1
# The end of each flushed block. A message is sent without it (RFC 7692, 7.2.1).
_TAIL = b"\x00\x00\xff\xff"


class BadDeflate(ValueError):
    """A client sent a compressed message that cannot be inflated."""


class TooLarge(ValueError):
    """A message is larger than allowed after it is inflated."""


def agree(offers: str) -> tuple[str, int]:
    """Return the answer to Sec-WebSocket-Extensions, and the window's bits the hub may use.

    Returns "" and 0 if the hub supports none of the offers.
    """
    for offer in offers.split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        asked = _read(parameters) if name == EXTENSION_NAME else None
        if asked is None:
            continue
        bits = asked.get("server_max_window_bits")
        window = _MOST_WINDOW if bits is None else int(bits)
        if window >= _LEAST_WINDOW:
            limit = () if bits is None else (f"server_max_window_bits={window}",)
            return "; ".join((EXTENSION_NAME, *_NO_CONTEXT, *limit)), window
    return "", 0


def _read(parameters: Iterable[str]) -> dict[str, str] | None:
    """Return an offer's parameters. None means that the offer is declined (RFC 7692, 7.1)."""
    found: dict[str, str] = {}
    for parameter in parameters:
        name, equals, value = (part.strip() for part in parameter.partition("="))
        value = value[1:-1] if value[:1] == value[-1:] == '"' else value
        if name in _NO_CONTEXT:
            is_good = not equals
        elif name == "client_max_window_bits":
            is_good = not equals or value in _BITS
        else:
            is_good = name == "server_max_window_bits" and value in _BITS
        if not is_good or name in found:
            return None
        found[name] = value
    return found


_BITS = {str(bits) for bits in range(8, 16)}


class Part:
    """A part of messages, compressed at most once for each window."""

    __slots__ = ("_deflated", "plain")

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._deflated: dict[int, bytes] = {}

    def deflated(self, window: int) -> bytes:
        """Return the part as complete blocks, which other blocks may follow."""
        found = self._deflated.get(window)
        if found is None:
            deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -window)
            found = deflater.compress(self.plain) + deflater.flush(zlib.Z_SYNC_FLUSH)
            self._deflated[window] = found
        return found


def deflate(parts: Iterable[Part], window: int) -> bytes:
    """Return the parts as the payload of one compressed message."""
    return b"".join(part.deflated(window) for part in parts).removesuffix(_TAIL)


def inflate(payload: bytes, most: int) -> bytes:
    """Return the bytes of a compressed message.

    Raises BadDeflate, and TooLarge if there are more than `most` bytes.
    """
    inflater = zlib.decompressobj(-_MOST_WINDOW)
    try:
        found = inflater.decompress(payload + _TAIL, most + 1)
    except zlib.error as error:
        raise BadDeflate("this is not deflated") from error
    if len(found) > most:
        raise TooLarge(f"a message has at most {most} bytes")
    if inflater.unused_data not in (b"", _TAIL):
        raise BadDeflate("more follows the last block")
    return found
