"""Which file a path names: told from a copy after a restart, and from a replacement while open."""

import ctypes
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

_AT_FDCWD = -100
_STATX_MTIME = 0x40
_STATX_INODE = 0x100
_STATX_SIZE = 0x200
_STATX_BTIME = 0x800
_STATX_BYTES = 256
# Where Linux puts them: the mask of what is known, the inode, the size, the birth, the last write
# (seconds and nanoseconds each), and the device.
_STATX = struct.Struct("=I28xQQ32xqI20xqI12xQ")
_call: Any = None
with suppress(AttributeError, OSError):  # not Linux, or an older one
    _call = ctypes.PyDLL(None).statx


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
    found = _statx(os.fsencode(path), _STATX_BTIME)
    if found is None or not found[0] & _STATX_BTIME:
        return "0"
    _, _, _, seconds, nanoseconds, *_ = found
    return f"{seconds}.{nanoseconds:09d}"


def _statx(path: bytes, wanted: int) -> tuple[int, ...] | None:
    """Return what `_STATX` names; None if there is no such file, or no such call.

    PyDLL keeps the interpreter's lock: a thread that gives it away waits to get it back.
    """
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    if _call is None or _call(_AT_FDCWD, path, 0, wanted, buffer) != 0:
        return None
    return _STATX.unpack_from(buffer)


class OpenFile:
    """A database file and its write-ahead log, which only this process writes to.

    `check` notices that either name stands for another file, or that another program wrote to the
    database itself. `written`, after each write of one's own, notices the former.
    """

    def __init__(self, path: Path) -> None:
        # As bytes: they are looked at with every commit.
        wal = path.with_name(f"{path.name}-wal")
        self._names = (os.fsencode(path), os.fsencode(wal))
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
        """Return which files the names stand for, and the size and time of the database itself."""
        database, log = self._names
        # Not the time of the log. A file whose time was asked for gets a finer one with its next
        # write (Linux 6.13), which then changes its inode: a tenth of a command's CPU.
        found = _seen(database, _STATX_INODE | _STATX_SIZE | _STATX_MTIME)
        files = [found[:2], _seen(log, _STATX_INODE)[:2]]
        return files, found[2:]


def _seen(name: bytes, wanted: int) -> tuple[int, int, int, int]:
    """Return a file's device, inode, size in bytes and time of the last write in nanoseconds."""
    found = _statx(name, wanted)
    if found is None:
        status = os.stat(name)  # raises what is wrong
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    _, inode, size, _, _, seconds, nanoseconds, device = found
    return device, inode, size, seconds * 1_000_000_000 + nanoseconds
