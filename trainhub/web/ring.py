"""Sends to a whole crowd in one system call, by Linux's io_uring.

The ring gets one entry per socket, and one `io_uring_enter` carries out all entries. Each send
completes inside that call, and reports only a short or a failed send. So a frame costs what the
kernel needs for it, and the thread keeps the interpreter's lock.
Entries differ only in the socket, so they are made once per crowd. A delivery joins them with the
address and the length of its frames, which is one call for the whole room.
"""

import ctypes
import errno
import logging
import mmap
import os
import platform
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trainhub.core.rooms import Crowd, Delivery, Listener, OneByOne, send_each

logger = logging.getLogger("trainhub.ring")

# Listeners of the smallest crowd for which the ring is faster.
LEAST_CROWD = 4
# Entries of the ring, a power of two: the sends of one system call.
ENTRIES = 1024

# Linux's numbers, from its io_uring.h: they are the same on every architecture.
_SETUP = 425
_ENTER = 426
_OP_SEND = 26
_SKIP_SUCCESS = 1 << 6  # IOSQE_CQE_SKIP_SUCCESS
_FEATURE_SINGLE_MMAP = 1 << 0
_FEATURE_SKIP = 1 << 11
_OFFSET_RINGS = 0
_OFFSET_ENTRIES = 0x10000000
# MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL: complete within the call, and report a short send.
_FLAGS = 0x40 | 0x100 | 0x4000
_ENTRY_BYTES = 64
_COMPLETION = struct.Struct("<Qi4x")
# An entry is a head, a middle that is the same for the whole crowd, and a tail.
_HEAD = struct.Struct("<BBHiQ")  # opcode, flags, priority, descriptor, offset
_MIDDLE = struct.Struct("<QII")  # address, length, flags of send
_TAIL = struct.Struct("<Q24x")  # what a completion names
# From the address of a bytes object to its first byte.
_BYTES_HEAD = bytes.__basicsize__ - 1


class NoRing(Exception):
    """The machine has no io_uring for the hub; the message says why."""


class Ring:
    """An io_uring that only sends, and is empty between two calls."""

    def __init__(self, entries: int = ENTRIES) -> None:
        """Set up a ring. Raises NoRing if this machine cannot have one."""
        if sys.platform != "linux" or platform.python_implementation() != "CPython":
            raise NoRing("it needs Linux and CPython")
        # PyDLL keeps the interpreter's lock: the calls are short, and getting the lock back is not.
        self._call = ctypes.PyDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        parameters = ctypes.create_string_buffer(120)
        self._descriptor = self._call(_SETUP, entries, parameters)
        if self._descriptor < 0:
            raise NoRing(f"the kernel refuses it: {os.strerror(ctypes.get_errno())}")
        entries, completions, _, _, _, features, *_ = struct.unpack_from("<10I", parameters)
        if not features & _FEATURE_SKIP or not features & _FEATURE_SINGLE_MMAP:
            os.close(self._descriptor)
            raise NoRing("the kernel is older than 5.17")
        head, tail, mask, _, _, _, array = struct.unpack_from("<7I", parameters, 40)
        done_head, done_tail, done_mask, _, _, done = struct.unpack_from("<6I", parameters, 80)
        size = max(array + entries * 4, done + completions * _COMPLETION.size)
        self._rings = mmap.mmap(self._descriptor, size, offset=_OFFSET_RINGS)
        self._entries = mmap.mmap(self._descriptor, entries * _ENTRY_BYTES, offset=_OFFSET_ENTRIES)
        self._capacity = entries
        self._head = ctypes.c_uint32.from_buffer(self._rings, head)
        self._tail = ctypes.c_uint32.from_buffer(self._rings, tail)
        self._mask = ctypes.c_uint32.from_buffer(self._rings, mask).value
        self._done_head = ctypes.c_uint32.from_buffer(self._rings, done_head)
        self._done_tail = ctypes.c_uint32.from_buffer(self._rings, done_tail)
        self._done_mask = ctypes.c_uint32.from_buffer(self._rings, done_mask).value
        self._done = done
        # Entry n of the ring is always entry n of the array.
        struct.pack_into(f"<{entries}I", self._rings, array, *range(entries))

    def send(self, sends: "Sends", frames: bytes) -> dict[int, int]:
        """Send the frames to each descriptor.

        Returns the descriptors that did not take all, each with the bytes that it took or with a
        negative errno.
        """
        middle = _MIDDLE.pack(id(frames) + _BYTES_HEAD, len(frames), _FLAGS)
        faults: dict[int, int] = {}
        for part in sends.parts:
            self._submit(part, middle.join(part.pieces), faults)
        return faults

    def _submit(self, part: "_Part", block: bytes, faults: dict[int, int]) -> None:
        count = len(part.descriptors)
        start = self._tail.value & self._mask
        fits = min(count, self._capacity - start)
        first = start * _ENTRY_BYTES
        end = fits * _ENTRY_BYTES
        self._entries[first : first + end] = block[:end] if fits < count else block
        if fits < count:
            self._entries[: len(block) - end] = block[end:]
        self._tail.value += count
        sent = self._call(_ENTER, self._descriptor, count, 0, 0, None, 0)
        if sent != count:
            self._withdraw(part, max(sent, 0), faults)
        head = self._done_head.value
        tail = self._done_tail.value
        while head != tail:
            place = self._done + (head & self._done_mask) * _COMPLETION.size
            descriptor, result = _COMPLETION.unpack_from(self._rings, place)
            faults[descriptor] = result
            head = (head + 1) & 0xFFFFFFFF
        self._done_head.value = head

    def _withdraw(self, part: "_Part", sent: int, faults: dict[int, int]) -> None:
        """Remove the entries that were not sent: their frames may be freed before the next call."""
        self._tail.value = self._head.value
        for descriptor in part.descriptors[sent:]:
            faults[descriptor] = -errno.EAGAIN

    def close(self) -> None:
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one system call sends: the descriptors, and the entries without their middles."""

    descriptors: Sequence[int]
    pieces: Sequence[bytes]


class Sends:
    """The entries of a crowd. Only the address and the length of the frames are missing."""

    __slots__ = ("parts",)

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.parts = [
            _part(descriptors[first : first + ENTRIES])
            for first in range(0, len(descriptors), ENTRIES)
        ]


def _part(descriptors: Sequence[int]) -> _Part:
    heads = [_HEAD.pack(_OP_SEND, _SKIP_SUCCESS, 0, each, 0) for each in descriptors]
    tails = [_TAIL.pack(each) for each in descriptors]
    between = map(bytes.__add__, tails, heads[1:])
    return _Part(descriptors, (heads[0], *between, tails[-1]))


class RingListener(Listener, Protocol):
    """A listener whose socket the ring may write to."""

    @property
    def descriptor(self) -> int:
        """Return the socket's descriptor, or -1 if frames have to go through `send`."""

    def sent(self, frames: bytes, taken: int) -> None:
        """Handle a send that is not whole. `taken` is in bytes, or a negative errno."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A crowd: the entries of the listeners that the ring may send to, and all others."""

    sends: Sends
    direct: dict[int, Any]
    others: Sequence[Listener]


class RingDelivery:
    """A rooms.Delivery that writes to a crowd by a ring."""

    def __init__(self, ring: Ring, least: int = LEAST_CROWD) -> None:
        """`least` is the size of the smallest crowd that goes through the ring."""
        self._ring = ring
        self._least = least

    def deliver(self, crowd: Crowd[Any], frames: bytes) -> Sequence[Listener]:
        if len(crowd) < self._least:
            return send_each(tuple(crowd), frames)
        prepared: _Prepared = crowd.prepared or _prepare(crowd)
        for descriptor, taken in self._ring.send(prepared.sends, frames).items():
            prepared.direct[descriptor].sent(frames, taken)
        return send_each(prepared.others, frames) if prepared.others else ()


def _prepare(crowd: Crowd[Any]) -> _Prepared:
    direct: dict[int, Any] = {}
    others = []
    for listener in crowd:
        descriptor = listener.descriptor  # type: ignore[attr-defined]
        if descriptor < 0:
            others.append(listener)
        else:
            direct[descriptor] = listener
    crowd.prepared = prepared = _Prepared(Sends(tuple(direct)), direct, others)
    return prepared


def best_delivery() -> Delivery:
    """Return a delivery by the ring if this machine has one, else one socket by socket."""
    try:
        ring = Ring()
    except (NoRing, OSError, ValueError) as error:
        logger.info("rooms are sent to socket by socket, without io_uring: %s", error)
        return OneByOne()
    logger.info("rooms are sent to by io_uring, a room in one call")
    return RingDelivery(ring)
