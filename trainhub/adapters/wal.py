"""Looks into SQLite's write-ahead log before SQLite does, which drops what is not whole silently.

SQLite ends the log at the first frame whose checksum is wrong. After a crash that is as it should
be, if the frame is of the last commit, which no client was told of: a torn tail. If later commits
follow it, those were on disk, so the frame was damaged since, and what SQLite drops was promised.

The file: a header of 32 bytes, then frames of 24 bytes and a page each. Header and frames carry the
same two salts; frames with others are left from an earlier round. A frame that ends a commit says
how many pages the database then has (https://www.sqlite.org/fileformat2.html#walformat).
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
    """`commits` are whole; the `torn` bytes after them will be dropped; `damage` loses commits."""

    commits: int = 0
    torn: int = 0
    damage: str | None = None


def inspect(path: Path) -> Wal:
    """What SQLite will make of a write-ahead log; `path` is the log's own file."""
    try:
        with path.open("rb") as file:
            return _inspect(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return Wal()


def _inspect(file: BinaryIO, length: int) -> Wal:
    if length <= _HEADER.size:
        return Wal(torn=length % _HEADER.size)  # no frame was ever begun
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
    """Read frame by frame: a log may be large after a long backup of a running hub."""
    size = _FRAME.size + page
    starts = range(_HEADER.size, length - size + 1, size)
    commits, end = 0, _HEADER.size  # of what is whole
    for start in starts:
        frame = file.read(size)
        if len(frame) < size:
            break  # a hub has cut the log meanwhile
        _, pages, *those, check1, check2 = _FRAME.unpack_from(frame)
        if tuple(those) != salts:
            break
        sums = _sum(frame[:8], sums, big)
        sums = _sum(frame[_FRAME.size :], sums, big)
        if sums != (check1, check2):
            break
        if pages:
            commits, end = commits + 1, start + size
    # What is of this round behind that: the beginning of one more commit, or damage.
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
    """Whether a frame is of this round; one salt is enough, as damage may have hit the other."""
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
