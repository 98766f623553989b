"""The journal in one SQLite file: WAL, synchronous=FULL, written by one worker thread.

With FULL a commit survives a power cut; with NORMAL the last commits are lost.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from trainhub.adapters.file_identity import OpenFile, identity, is_copy
from trainhub.adapters.journal_formats import bring_up_to_date
from trainhub.adapters.journal_rows import (
    RECORD,
    Row,
    answer_row,
    as_text,
    one_line,
    read_record,
    read_snapshot,
    record_row,
    retired_row,
    seal,
    snapshot_row,
    unbelievable,
    unseal,
)
from trainhub.adapters.wal import inspect
from trainhub.adapters.worker import Worker
from trainhub.core.journal import (
    Commit,
    JournalFailed,
    ReaderPlace,
    Record,
    StoredAnswer,
    Vocabulary,
)
from trainhub.core.lineage import Beginning, Lineage, next_epoch, read_lineage
from trainhub.core.stream import Stream

logger = logging.getLogger("trainhub.journal")

T = TypeVar("T")

# Positions that are trimmed in one transaction: commits wait for it.
TRIM = 2_000
# Bytes of events that a start reads at once: this bounds its memory.
CHUNK = 8 << 20
# Bytes of one read when the whole file is read into the system's memory.
READ_AHEAD = 1 << 20
# Bytes to which SQLite cuts a write-ahead log that a long reader let grow.
LOG_LEFT = 64 << 20
_RECORDS = f"SELECT {RECORD} FROM records"
_EVENT = RECORD.split(", ").index("event")
# MATERIALIZED makes SQLite read two columns of `snapshots` once, and join by an index of them. A
# look-up in the table would read whole rows, and each row has all of a run's state.
_UNFOLDED = f"""
WITH taken (of, up_to) AS MATERIALIZED (SELECT run, seq FROM snapshots)
{_RECORDS} LEFT JOIN taken ON of = run
WHERE position > ? AND run NOT IN (SELECT run FROM retired)
AND (position > ? OR seq = 1 OR seq > coalesce(up_to, 0))
ORDER BY position LIMIT ?
"""


class SqliteJournal:
    """A journal.Journal in a file. `open` makes one; each call runs on the journal's thread."""

    def __init__(self, path: Path, vocabulary: Vocabulary) -> None:
        self._path = path
        self._vocabulary = vocabulary
        self._thread = Worker("journal")
        self._db: sqlite3.Connection
        self.trimmed = 0
        self._page = 0
        self._file: OpenFile
        self.lineage: Lineage
        # The file is a copy of the file on which the last hub started.
        self.copied = False
        self.head = 0
        self.size = 0

    @classmethod
    async def open(cls, path: Path, vocabulary: Vocabulary) -> "SqliteJournal":
        """Open the file, or make it. Raises JournalFailed if it is damaged or cannot be used."""
        journal = cls(path, vocabulary)
        try:
            await journal._on_thread(journal._open)
        except JournalFailed:
            journal._thread.stop()
            raise
        return journal

    @property
    def epoch(self) -> str:
        return self.lineage.epoch

    async def start(self, name: str) -> None:
        """Record that a hub starts. A copied file begins a new epoch, as it may be out of date."""
        lineage = self.lineage
        if self.copied:
            lineage = lineage.began(next_epoch([lineage.epoch]), self.head)
        await self._write_lineage(lineage.started(name, self.head))

    async def begin_epoch(self, epoch: str, after: str | None = None) -> None:
        """Begin a new history at the head; see Lineage.began."""
        await self._write_lineage(self.lineage.began(epoch, self.head, after))

    async def first_kept(self) -> dict[Stream, int]:
        """Return the seq of each run's first record after seq 1, if there is one."""
        return await self._on_thread(self._first_kept)

    async def verify(self) -> None:
        """Raise JournalFailed if the file on disk is not the file that was opened."""
        await self._on_thread(self._check_file)

    async def commit(self, batch: Commit) -> None:
        await self._on_thread(partial(self._commit, batch))
        if batch.records:
            self.head = batch.records[-1].position

    async def read(self, after: int, limit: int) -> list[Record]:
        return await self._on_thread(partial(self._read, after, limit))

    async def unfolded(self, after: int, limit: int, kept: int) -> list[Record]:
        return await self._on_thread(partial(self._unfolded, after, limit, kept))

    async def snapshot(self, stream: Stream) -> Any:
        return await self._on_thread(partial(self._snapshot, stream))

    async def retired(self) -> dict[Stream, float]:
        return await self._on_thread(self._retired)

    async def answers(self) -> list[StoredAnswer]:
        return await self._on_thread(self._answers)

    async def read_place(self, reader: str) -> ReaderPlace:
        return await self._on_thread(partial(self._read_place, reader))

    async def trim(self, up_to: int) -> None:
        while self.trimmed < up_to:
            await self._on_thread(partial(self._trim, min(up_to, self.trimmed + TRIM)))

    async def prune(self, answers_before: float, retired_before: float) -> None:
        await self._on_thread(partial(self._prune, answers_before, retired_before))

    async def close(self) -> None:
        await self._on_thread(self._db.close)
        self._thread.stop()

    async def _on_thread(self, call: Callable[[], T]) -> T:
        try:
            return await self._thread.run(call)
        except (sqlite3.Error, UnicodeError, OSError) as error:
            # UnicodeError: Python decodes SQLite's error text, which may quote a damaged page.
            raise JournalFailed(f"the journal {self._path} failed: {one_line(error)}") from error

    async def _write_lineage(self, lineage: Lineage) -> None:
        await self._on_thread(partial(self._put_lineage, lineage))
        self.lineage = lineage

    # --- opening ----------------------------------------------------------------------------

    def _open(self) -> None:
        torn = self._look_at_tail()
        self._read_ahead()
        # isolation_level None: the statements below begin and end their own transactions.
        self._db = sqlite3.connect(self._path, isolation_level=None)
        self._db.text_factory = as_text
        try:
            self._prepare()
        except (JournalFailed, sqlite3.Error, MemoryError):
            self._db.close()
            raise
        except Exception as error:
            self._db.close()
            raise unbelievable(self._path, "the structure", error) from error
        if torn:
            logger.warning(
                "the journal's last %d bytes were not a whole commit and are dropped: "
                "no client was answered for them",
                torn,
            )

    def _look_at_tail(self) -> int:
        """Return how many bytes SQLite will drop. Raises JournalFailed if commits are in them."""
        wal = inspect(self._path.with_name(self._path.name + "-wal"))
        if wal.damage is not None:
            raise unbelievable(self._path, "the write-ahead log", wal.damage)
        return wal.torn

    def _read_ahead(self) -> None:
        """Read the file once, so that the checks that follow find it in the system's memory.

        SQLite reads page by page, which takes ten times as long after a power cut. Errors are left
        to SQLite, which finds them too.
        """
        with suppress(OSError), self._path.open("rb", buffering=0) as file:
            while file.read(READ_AHEAD):
                pass

    def _prepare(self) -> None:
        # If WAL fails, SQLite goes on in another mode, in which a power cut loses commits. It says
        # so only in its answer.
        (mode,) = self._db.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise JournalFailed(
                f"the journal {self._path} cannot have a write-ahead log: its disk fails, or "
                "cannot do what SQLite needs; name a folder on another with --data-dir"
            )
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(f"PRAGMA journal_size_limit={LOG_LEFT}")
        for (line,) in self._db.execute("PRAGMA quick_check(1)"):
            if line != "ok":
                raise unbelievable(self._path, "the structure", line)
        bring_up_to_date(self._db, self._path)
        rows = self._db.execute("SELECT name, value, checksum FROM meta")
        meta = dict(unseal(self._path, "meta", row) for row in rows)
        if "epoch" not in meta:
            meta["epoch"] = next_epoch()
            self._put("meta", seal("meta", "epoch", meta["epoch"]))
        self.lineage = Lineage((Beginning(meta["epoch"], 0),))
        if "lineage" in meta:
            self.lineage = read_lineage(meta["lineage"])
        if "file" in meta:
            self.copied = is_copy(meta["file"], identity(self._path))
        self.trimmed = int(meta.get("trimmed", 0))
        (self._page,) = self._db.execute("PRAGMA page_size").fetchone()
        self._check_positions()
        # This removes a torn tail, and a log that a crash left is not read again.
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._measure()
        self._file = OpenFile(self._path)

    def _check_positions(self) -> None:
        """Set the head. Raises JournalFailed if a record before it is missing."""
        count, last = self._db.execute(
            "SELECT count(*), max(position) FROM records WHERE position > ?", (self.trimmed,)
        ).fetchone()
        self.head = last or self.trimmed
        if self.head - self.trimmed != count:
            raise unbelievable(self._path, "the log", "records are missing from it")
        for (reader,) in self._db.execute("SELECT reader FROM places").fetchall():
            if self._read_place(reader).position > self.head:
                raise unbelievable(self._path, "the log", f"it ends before what was {reader}")

    def _measure(self) -> None:
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        self.size = (pages - free) * self._page

    # --- writing ----------------------------------------------------------------------------

    def _commit(self, batch: Commit) -> None:
        # Encoding comes first, so that the file is locked only while it is written.
        records = [record_row(self._vocabulary, record) for record in batch.records]
        answers = [answer_row(answer) for answer in batch.answers]
        snapshots = [snapshot_row(*each) for each in batch.snapshots.items()]
        with self._transaction():
            self._put(f"records ({RECORD})", *records, verb="INSERT")
            if batch.gone:  # delete before inserting: new answers may have the same keys
                self._db.executemany("DELETE FROM answers WHERE user = ? AND key = ?", batch.gone)
            self._put("answers", *answers)
            self._put("snapshots", *snapshots)
            for place in batch.places:
                self._write_place(place)
            for retired in batch.retired:
                self._put("retired", retired_row(retired))
                self._db.execute("DELETE FROM snapshots WHERE run = ?", (retired.stream,))
                if retired.first <= self.trimmed:
                    sql = "DELETE FROM records WHERE position = ?"
                    self._db.execute(sql, (retired.first,))
        self._measure()

    def _write_place(self, place: ReaderPlace) -> None:
        self._put("places", seal("places", place.reader, place.position))
        self._db.execute(
            "DELETE FROM ahead WHERE reader = ? AND position <= ?", (place.reader, place.position)
        )
        ahead = place.ahead.items()
        self._put("ahead", *(seal("ahead", place.reader, name, at) for name, at in ahead))

    def _put(self, table: str, *rows: Row, verb: str = "INSERT OR REPLACE") -> None:
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._db.executemany(f"{verb} INTO {table} VALUES ({marks})", rows)

    def _trim(self, up_to: int) -> None:
        with self._transaction():
            self._db.execute(
                "DELETE FROM records WHERE position > ? AND position <= ?"
                " AND (seq <> 1 OR run IN (SELECT run FROM retired))",
                (self.trimmed, up_to),
            )
            self._put("meta", seal("meta", "trimmed", str(up_to)))
        self.trimmed = up_to
        self._measure()

    def _put_lineage(self, lineage: Lineage) -> None:
        texts = {
            "epoch": lineage.epoch,
            "lineage": lineage.to_text(),
            "file": identity(self._path),
        }
        with self._transaction():
            self._put("meta", *(seal("meta", *each) for each in texts.items()))

    def _check_file(self) -> None:
        self._refuse(self._file.check())

    def _refuse(self, wrong: str | None) -> None:
        if wrong is not None:
            raise JournalFailed(
                f"the journal {self._path} is not the file that the hub opened: {wrong}; put the "
                "right data folder in place while no hub runs on it, and start again"
            )

    def _prune(self, answers_before: float, retired_before: float) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM answers WHERE at < ?", (answers_before,))
            self._db.execute("DELETE FROM retired WHERE at < ?", (retired_before,))
        self._measure()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._check_file()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
            # If the file was removed meanwhile, this commit is lost, so no client may be answered.
            self._refuse(self._file.written())
        except BaseException:
            # Without a rollback, reads would see what was not committed. There is no retry: after a
            # failed fsync the pages may be lost although the next fsync succeeds.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # --- reading ----------------------------------------------------------------------------

    def _read(self, after: int, limit: int) -> list[Record]:
        sql = f"{_RECORDS} WHERE position > ? ORDER BY position LIMIT ?"
        return [
            read_record(self._path, self._vocabulary, row)
            for row in self._db.execute(sql, (after, limit))
        ]

    def _unfolded(self, after: int, limit: int, kept: int) -> list[Record]:
        rows = self._db.execute(_UNFOLDED, (after, self.head - kept, limit))
        return list(self._some(rows))

    def _some(self, rows: sqlite3.Cursor) -> Iterator[Record]:
        """Yield the first records of `rows`: about CHUNK bytes of events, at least one record."""
        size = 0
        for row in rows:
            yield read_record(self._path, self._vocabulary, row)
            size += len(row[_EVENT])
            if size >= CHUNK:
                return

    def _snapshot(self, stream: Stream) -> Any:
        sql = "SELECT run, seq, version, state, checksum FROM snapshots WHERE run = ?"
        row = self._db.execute(sql, (stream,)).fetchone()
        return None if row is None else read_snapshot(self._path, self._vocabulary, row)[1]

    def _first_kept(self) -> dict[Stream, int]:
        rows = self._db.execute("SELECT run, min(seq) FROM records WHERE seq > 1 GROUP BY run")
        return {Stream(run): seq for run, seq in rows}

    def _retired(self) -> dict[Stream, float]:
        rows = self._db.execute("SELECT run, at, checksum FROM retired")
        return dict(unseal(self._path, "retired", row) for row in rows)

    def _answers(self) -> list[StoredAnswer]:
        rows = self._db.execute(
            "SELECT user, key, command, result, at, checksum FROM answers ORDER BY at"
        )
        return [StoredAnswer(*unseal(self._path, "answers", row)) for row in rows]

    def _read_place(self, reader: str) -> ReaderPlace:
        sql = "SELECT reader, position, checksum FROM places WHERE reader = ?"
        row = self._db.execute(sql, (reader,)).fetchone()
        position = 0 if row is None else int(unseal(self._path, "places", row)[1])
        sql = "SELECT reader, id, position, checksum FROM ahead WHERE reader = ?"
        rows = self._db.execute(sql, (reader,))
        ahead = {name: at for _, name, at in (unseal(self._path, "ahead", row) for row in rows)}
        return ReaderPlace(reader, position, ahead)
