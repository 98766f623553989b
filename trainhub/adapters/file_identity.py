"""Which file a path names: told from a copy after a restart, and from a replacement while open."""

import ctypes
import os
import struct
from contextlib import suppress
from pathlib import Path

_AT_FDCWD = -100
_STATX_BTIME = 0x800
_STATX_BYTES = 256
_MASK, _BIRTH = struct.Struct("=I"), struct.Struct("=qI")
_BIRTH_OFFSET = 80


def identity(path: Path) -> str:
    """Return what a copy of the file does not have: its inode and when that was made.

    The time is "0" where the file system does not keep it. Neither depends on the device, whose
    number another boot may change.
    """
    return f"{path.stat().st_ino}:{_birth(path)}"


def is_copy(recorded: str, found: str) -> bool:
    """Return whether two identities are of different files, as far as both are known."""
    (inode, born), (its_inode, its_born) = recorded.split(":"), found.split(":")
    return inode != its_inode or ("0" not in (born, its_born) and born != its_born)


def _birth(path: Path) -> str:
    """Linux keeps it, and Python 3.11 does not show it."""
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    with suppress(AttributeError, OSError):
        statx = ctypes.CDLL(None).statx
        if statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, buffer) == 0:
            (mask,) = _MASK.unpack_from(buffer)
            if mask & _STATX_BTIME:
                seconds, nanoseconds = _BIRTH.unpack_from(buffer, _BIRTH_OFFSET)
                return f"{seconds}.{nanoseconds:09d}"
    return "0"


class OpenFile:
    """A database file and its write-ahead log, which only this process writes to.

    `check` notices that either name stands for another file, or that another program wrote to the
    database itself. `written`, after each write of one's own, notices the former.
    """

    def __init__(self, path: Path) -> None:
        # As texts: it is looked at with every commit.
        self._names = (os.fspath(path), os.fspath(path.with_name(f"{path.name}-wal")))
        self._files, self._content = self._look()

    def written(self) -> str | None:
        """Take the files as they are, if they are the hub's own still; return as `check` does."""
        return self._compare(content_counts=False)

    def check(self) -> str | None:
        """Return what is wrong, None if the files are the hub's own still."""
        return self._compare(content_counts=True)

    def _compare(self, *, content_counts: bool) -> str | None:
        try:
            files, content = self._look()
        except FileNotFoundError:
            return "it was removed under the hub"
        if files != self._files:
            return "another file was put in its place under the hub"
        if content_counts and content != self._content:
            return "another program wrote to it under the hub"
        self._content = content
        return None

    def _look(self) -> tuple[list[tuple[int, int]], tuple[int, int]]:
        """Which files the names stand for, and the size and time of the database itself."""
        found = [os.stat(name) for name in self._names]
        files = [(each.st_dev, each.st_ino) for each in found]
        return files, (found[0].st_size, found[0].st_mtime_ns)
