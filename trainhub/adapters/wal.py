"""A check of SQLite's write-ahead log before SQLite opens it and silently drops what is not whole.

SQLite ends the log at the first frame whose checksum is wrong. After a crash this frame may belong
to the last commit, which was not answered yet: the tail is torn, and dropping it is right. If later
commits follow the frame, it was once whole on disk and was damaged since: answered commands would
be lost.

The file has a header of 32 bytes, then frames of 24 bytes and a page each. Header and frames carry
the same two salts; frames with other salts are left from an earlier round. A frame that ends a
commit has the database's size in pages (https://www.sqlite.org/fileformat2.html#walformat).
"""

import os
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path
from sys import byteorder
from typing import BinaryIO

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC_LITTLE = 0x377F0682
_MAGIC_BIG = 0x377F0683
_UNIT = (1 << 32) - 1


@dataclass(frozen=True)
class Wal:
    """The state of a log.

    `commits` counts the whole commits, and `torn` the bytes after them that SQLite will drop.
    `damage` says why later commits would be lost, or is None.
    """

    commits: int = 0
    torn: int = 0
    damage: str | None = None


def inspect(path: Path) -> Wal:
    """Return what SQLite will find in a write-ahead log. `path` is the log's own file."""
    try:
        with path.open("rb") as file:
            return _inspect(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return Wal()


def _inspect(file: BinaryIO, length: int) -> Wal:
    if length <= _HEADER.size:
        return Wal(torn=length % _HEADER.size)  # no frame was begun
    header = file.read(_HEADER.size)
    magic, _, page, _, *salts, check1, check2 = _HEADER.unpack(header)
    big = magic == _MAGIC_BIG
    sums = _sum(header[:24], (0, 0), big)
    if magic not in (_MAGIC_LITTLE, _MAGIC_BIG) or sums != (check1, check2) or page < 512:
        # The header is on disk before the first frame is written, so no crash can have torn it.
        return Wal(damage="its header is damaged")
    return _frames(file, length, page, tuple(salts), sums, big)


def _frames(
    file: BinaryIO,
    length: int,
    page: int,
    salts: tuple[int, ...],
    sums: tuple[int, int],
    big: bool,
) -> Wal:
    """Check the frames one by one: after a long backup of a running hub the log may be large."""
    size = _FRAME.size + page
    starts = range(_HEADER.size, length - size + 1, size)
    commits, end = 0, _HEADER.size  # of the whole commits
    for start in starts:
        frame = file.read(size)
        if len(frame) < size:
            break  # a running hub has truncated the log meanwhile
        _, pages, *those, check1, check2 = _FRAME.unpack_from(frame)
        if tuple(those) != salts:
            break
        sums = _sum(frame[:8], sums, big)
        sums = _sum(frame[_FRAME.size :], sums, big)
        if sums != (check1, check2):
            break
        if pages:
            commits, end = commits + 1, start + size
    # Later frames of this round are the beginning of one more commit, or show damage.
    last = first_ended = None
    for start in range(end, starts.stop, size):
        file.seek(start)
        header = file.read(_FRAME.size)
        if len(header) == _FRAME.size and _salted(header, salts):
            last = start
            if first_ended is None and _FRAME.unpack(header)[1]:
                first_ended = start
    if last is not None and first_ended is not None and last > first_ended:
        return Wal(commits, damage=f"a frame at byte {end} or after it is damaged")
    cut = (length - _HEADER.size) % size  # a frame that was begun
    return Wal(commits, torn=(0 if last is None else last + size - end) + cut)


def _salted(header: bytes, salts: tuple[int, ...]) -> bool:
    """Return whether a frame is of this round. One salt suffices: the other may be damaged."""
    those = _FRAME.unpack(header)[2:4]
    return any(mine == its for mine, its in zip(those, salts, strict=True))


def _sum(data: bytes, sums: tuple[int, int], big: bool) -> tuple[int, int]:
    words = array("I", data)
    if big is (byteorder == "little"):
        words.byteswap()
    first, second = sums
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _UNIT
        second = (second + odd + first) & _UNIT
    return first, second
