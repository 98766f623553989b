"""The journal in one SQLite file: WAL, synchronous=FULL, written by one worker thread.

FULL is what makes a commit outlive a power cut: NORMAL loses the last ones.
"""

import asyncio
import secrets
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import TypeVar

import ujson

from trainhub.domain.codec import dump, load
from trainhub.domain.errors import HubError
from trainhub.domain.events import EVENTS, TYPES
from trainhub.domain.model import RunKey
from trainhub.journal import Answer, JournalFailed, Record

T = TypeVar("T")

FORMAT = "2"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    position INTEGER PRIMARY KEY,
    run      TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    type     TEXT NOT NULL,
    event    TEXT NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS answers (
    user    TEXT NOT NULL,
    key     TEXT NOT NULL,
    command TEXT NOT NULL,
    result  TEXT NOT NULL,
    at      REAL NOT NULL,
    PRIMARY KEY (user, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS readers (
    name     TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID;
"""


class SqliteJournal:
    """A journal.Journal. Use `open`; every call runs on the journal's own thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._db: sqlite3.Connection
        self.epoch = ""
        self.head = 0

    @classmethod
    async def open(cls, path: Path) -> "SqliteJournal":
        """Open the file, or make it. Raises JournalFailed if it cannot be used."""
        journal = cls(path)
        try:
            await journal._on_thread(journal._open)
        except JournalFailed:
            journal._thread.shutdown()
            raise
        return journal

    async def commit(self, records: Sequence[Record], answers: Sequence[Answer] = ()) -> None:
        await self._on_thread(partial(self._commit, records, answers))
        if records:
            self.head = records[-1].position

    async def read(self, after: int, limit: int) -> list[Record]:
        return await self._on_thread(partial(self._read, after, limit))

    async def answers(self) -> list[Answer]:
        return await self._on_thread(self._answers)

    async def forget_answers(self, before: float) -> None:
        await self._on_thread(partial(self._forget_answers, before))

    async def position(self, reader: str) -> int:
        return await self._on_thread(partial(self._position, reader))

    async def save_position(self, reader: str, position: int) -> None:
        await self._on_thread(partial(self._save_position, reader, position))

    async def close(self) -> None:
        await self._on_thread(self._db.close)
        self._thread.shutdown()

    async def _on_thread(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except sqlite3.Error as error:
            raise JournalFailed(f"the journal {self._path} failed: {error}") from error

    def _open(self) -> None:
        # The statements below begin and end their transactions themselves.
        self._db = sqlite3.connect(self._path, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        meta = dict(self._db.execute("SELECT name, value FROM meta"))
        if meta.setdefault("format", FORMAT) != FORMAT:
            raise JournalFailed(
                f"the journal {self._path} has format {meta['format']}, this hub reads {FORMAT}: "
                "use the version of trainhub that wrote it"
            )
        meta.setdefault("epoch", secrets.token_hex(8))
        self._db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", meta.items())
        self.epoch = meta["epoch"]
        (self.head,) = self._db.execute("SELECT coalesce(max(position), 0) FROM records").fetchone()

    def _commit(self, records: Sequence[Record], answers: Sequence[Answer]) -> None:
        rows = [_row(record) for record in records]
        given = [astuple(answer) for answer in answers]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", given)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            # So that nothing reads what was never committed. It is not tried again: after a failed
            # fsync the pages may be gone though the next one succeeds.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _read(self, after: int, limit: int) -> list[Record]:
        rows = self._db.execute(
            "SELECT position, run, seq, type, event, checksum FROM records"
            " WHERE position > ? ORDER BY position LIMIT ?",
            (after, limit),
        )
        return [read_record(self._path, *row) for row in rows]

    def _forget_answers(self, before: float) -> None:
        self._db.execute("DELETE FROM answers WHERE at < ?", (before,))

    def _answers(self) -> list[Answer]:
        rows = self._db.execute("SELECT user, key, command, result, at FROM answers ORDER BY at")
        return [Answer(*row) for row in rows]

    def _position(self, reader: str) -> int:
        row = self._db.execute("SELECT position FROM readers WHERE name = ?", (reader,)).fetchone()
        return int(row[0]) if row else 0

    def _save_position(self, reader: str, position: int) -> None:
        self._db.execute(
            "INSERT INTO readers VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            (reader, position),
        )


def _to_text(data: object) -> str:
    text: str = ujson.dumps(data, ensure_ascii=False, escape_forward_slashes=False)
    return text


def read_record(
    path: Path, position: int, run: str, seq: int, kind: str, text: str, checksum: int
) -> Record:
    """A row of the journal `path` as a record; JournalFailed if it cannot be believed."""
    try:
        if checksum != _checksum(position, run, seq, kind, text):
            raise ValueError("its checksum is wrong")
        event = load(EVENTS[kind], ujson.loads(text))
    except (KeyError, TypeError, ValueError, HubError) as error:
        raise JournalFailed(
            f"record {position} of the journal {path} cannot be believed ({error}): "
            "restore the data folder from a copy"
        ) from error
    return Record(position, RunKey(run), seq, event)


def _row(record: Record) -> tuple[int, str, int, str, str, int]:
    kind, text = TYPES[type(record.event)], _to_text(dump(record.event))
    fields = (record.position, record.run, record.seq, kind, text)
    return *fields, _checksum(*fields)


def _checksum(position: int, run: str, seq: int, kind: str, text: str) -> int:
    """Of all that a record says, so that no part of it can be silently another's."""
    return zlib.crc32(f"{position}\n{run}\n{seq}\n{kind}\n{text}".encode())
