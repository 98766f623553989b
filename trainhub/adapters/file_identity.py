"""The identity of a file: it differs from a copy's after a restart, and from a replacement's."""

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
# Linux's struct statx: the mask of known fields, the inode, the size, the birth and the last write
# (seconds and nanoseconds each), and the device.
_STATX = struct.Struct("=I28xQQ32xqI20xqI12xQ")
_call: Any = None
with suppress(AttributeError, OSError):  # the system is not Linux, or is older than statx
    _call = ctypes.PyDLL(None).statx


def identity(path: Path) -> str:
    """Return the file's inode and its time of birth, which a copy does not share.

    The time is "0" if the file system does not keep it. The device's number is left out, as the
    next boot may change it.
    """
    return f"{path.stat().st_ino}:{_birth(path)}"


def is_copy(recorded: str, found: str) -> bool:
    """Return whether two identities differ. A time of "0" differs from no other."""
    (inode, born), (its_inode, its_born) = recorded.split(":"), found.split(":")
    return inode != its_inode or ("0" not in (born, its_born) and born != its_born)


def _birth(path: Path) -> str:
    """Return a file's time of birth by statx: Python 3.11 does not show it."""
    found = _statx(os.fsencode(path), _STATX_BTIME)
    if found is None or not found[0] & _STATX_BTIME:
        return "0"
    _, _, _, seconds, nanoseconds, *_ = found
    return f"{seconds}.{nanoseconds:09d}"


def _statx(path: bytes, wanted: int) -> tuple[int, ...] | None:
    """Return the fields of `_STATX`. None means that the file or the system call is missing.

    PyDLL keeps the interpreter's lock: a thread that releases it waits to get it back.
    """
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    if _call is None or _call(_AT_FDCWD, path, 0, wanted, buffer) != 0:
        return None
    return _STATX.unpack_from(buffer)


class OpenFile:
    """A database file and its write-ahead log, which only this process may write to.

    `check` finds that either name leads to another file, or that another program wrote to the
    database file. `written`, for use after each of the hub's own writes, finds only the former.
    """

    def __init__(self, path: Path) -> None:
        # As bytes, so that no commit has to encode them.
        wal = path.with_name(f"{path.name}-wal")
        self._names = (os.fsencode(path), os.fsencode(wal))
        self._files, self._content = self._look()

    def written(self) -> str | None:
        """Accept the hub's own write. Return what is wrong with the names, or None."""
        return self._compare(content_counts=False)

    def check(self) -> str | None:
        """Return what is wrong. None means that the files are still the hub's own."""
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
        """Return the device and inode of both files, and the database's size and last write."""
        database, log = self._names
        # The log's time is not read. On Linux 6.13 the first write after a reading stores a finer
        # time in the inode, which costs a tenth of a command's CPU.
        found = _seen(database, _STATX_INODE | _STATX_SIZE | _STATX_MTIME)
        files = [found[:2], _seen(log, _STATX_INODE)[:2]]
        return files, found[2:]


def _seen(name: bytes, wanted: int) -> tuple[int, int, int, int]:
    """Return a file's device, inode, size in bytes and time of the last write in nanoseconds."""
    found = _statx(name, wanted)
    if found is None:
        status = os.stat(name)  # raises FileNotFoundError if the file is missing
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    _, inode, size, _, _, seconds, nanoseconds, device = found
    return device, inode, size, seconds * 1_000_000_000 + nanoseconds
