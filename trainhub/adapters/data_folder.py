"""The data folder: made, checked for writing, and held by one hub at a time."""

import fcntl
import os
from pathlib import Path

from trainhub.adapters.undelivered import read_undelivered


class BadDataFolder(Exception):
    """The folder cannot be used; the message is one line that says what to do."""


class DataFolder:
    """The folder, which this process holds from `hold` to `release` or to its own end."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def make(self) -> None:
        """Make the folder, open to its owner only. Raises BadDataFolder if it cannot be written."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._bad(error) from error
        if not self.path.is_dir() or not os.access(self.path, os.W_OK | os.X_OK):
            raise BadDataFolder(
                f"the data folder {self.path} cannot be written: "
                "change its owner or mode, or name another with --data-dir"
            )

    def hold(self) -> None:
        """Lock the folder. Raises BadDataFolder if another hub holds it or it cannot be written."""
        self.make()
        try:
            lock = os.open(self.path / "hub.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._bad(error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(lock, 20, 0).decode().strip() or "unknown"
            os.close(lock)
            raise BadDataFolder(
                f"another hub (process {owner}) runs on the data folder {self.path}: "
                "stop it, or name another folder with --data-dir"
            ) from None
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self._lock = lock

    def contents(self) -> list[str]:
        """Return lines on what the folder holds besides the journal."""
        mails, pushes = (len(list(self.path.glob(f"outbox/*.{end}"))) for end in ("eml", "json"))
        letters = sum(
            file.read_bytes().count(b"\n") for file in self.path.glob("dead_letters.jsonl*")
        )
        database = sum(f.stat().st_size for f in self.path.glob("mongodb/**/*") if f.is_file())
        jobs = read_undelivered(self.path)
        given_up = sum(each.given_up is not None for each in jobs)
        return [
            f"outbox: {mails} e-mails and {pushes} pushes wait to be taken away",
            f"notifications: {len(jobs) - given_up} are tried again, {given_up} were given up",
            f"{letters} dead letters",
            f"embedded database: {database >> 20} MB" if database else "no embedded database",
        ]

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _bad(self, error: OSError) -> BadDataFolder:
        return BadDataFolder(
            f"the data folder {self.path} cannot be used ({error.strerror}): "
            "change its owner or mode, or name another with --data-dir"
        )
