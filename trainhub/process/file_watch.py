"""Detection of changed files."""

from collections.abc import Iterable
from pathlib import Path


class FileWatch:
    """Files to compare from call to call. A file may be missing, appear and disappear."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = list(paths)
        self._seen = self._look()

    def changed(self) -> bool:
        """Return True if any file was replaced or modified since the last call."""
        before, self._seen = self._seen, self._look()
        return self._seen != before

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_mark(path) for path in self._paths]


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
