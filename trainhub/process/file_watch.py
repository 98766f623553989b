"""Whether files have changed since they were last looked at."""

from collections.abc import Iterable
from pathlib import Path


class FileWatch:
    """Looks at files when asked. A missing file is as good a state as any."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = list(paths)
        self._seen = self._look()

    def changed(self) -> bool:
        """Whether any is another, or was written to, since the last call."""
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
