"""`trainhub check`: what a data folder's journal holds, and whether it is sound.

The check only reads, and may run while a hub uses the journal.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from trainhub.adapters.file_identity import identity, is_copy
from trainhub.adapters.journal_formats import read_format
from trainhub.adapters.journal_rows import (
    FORMAT,
    RECORD,
    Row,
    as_text,
    one_line,
    read_record,
    read_snapshot,
    unseal,
)
from trainhub.adapters.wal import Wal, inspect
from trainhub.core.journal import JournalFailed, Record, StreamSnapshot, Vocabulary
from trainhub.core.lineage import Beginning, Lineage, read_lineage
from trainhub.core.stream import Stream

T = TypeVar("T")

# The bytes of SQLite's header for the file's write version and read version.
_VERSIONS = slice(18, 20)
# The values of both for a file that SQLite can write.
_WRITABLE = (1, 2)
# Faults that are listed at most: a damaged file may have very many.
MOST_NAMED = 20

# Raises ValueError if a snapshot does not fit a stream's first event.
Fits = Callable[[Stream, Any, Any], object]


@dataclass
class Finding:
    """The result of a check: `lines` say what is there, `faults` what is wrong."""

    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    # MongoDB is compared with these three. None means that the journal has no lineage.
    lineage: Lineage | None = None
    head: int = 0
    flushed: int = 0

    def fault(self, text: str) -> None:
        if len(self.faults) < MOST_NAMED:
            self.faults.append(text)


def check_journal(path: Path, vocabulary: Vocabulary, fits: Fits) -> Finding:
    """Read all of a journal. Raises JournalFailed if there is no such file."""
    if not path.is_file():
        raise JournalFailed(f"there is no journal {path}: name a hub's data folder")
    finding = Finding()
    wal = _write_ahead_log(path)
    if wal.damage is not None:
        finding.fault(f"the write-ahead log: {wal.damage}")
    if wal.torn:
        finding.lines.append(
            f"the last {wal.torn} bytes are not a whole commit: it is being written, or a crash "
            "cut it off, and the next start drops it"
        )
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            db.text_factory = as_text
            db.execute("BEGIN")  # one state of all tables, also if a hub commits meanwhile
            _Check(db, path, finding, vocabulary, fits).all()
    except (sqlite3.Error, UnicodeError) as error:
        # UnicodeError: Python decodes SQLite's error text, which may quote a damaged page.
        finding.fault(f"SQLite cannot read it: {one_line(error)}")
    except Exception as error:
        finding.fault(f"its structure is damaged: {one_line(repr(error))}")
    with path.open("rb") as file:
        if any(version not in _WRITABLE for version in file.read(_VERSIONS.stop)[_VERSIONS]):
            finding.fault("its header is damaged: SQLite would not write to the file")
    return finding


def _write_ahead_log(path: Path) -> Wal:
    """Check the write-ahead log, up to three times: a running hub may be writing to it."""
    for _ in range(3):
        wal = inspect(path.with_name(path.name + "-wal"))
        if wal.damage is None:
            break
    return wal


class _Check:
    """A check of all tables of a journal."""

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        finding: Finding,
        vocabulary: Vocabulary,
        fits: Fits,
    ) -> None:
        self._db = db
        self._vocabulary = vocabulary
        self._resume = fits
        self._path = path
        self._finding = finding
        self._say = finding.lines.append

    def all(self) -> None:
        for (line,) in self._db.execute(f"PRAGMA integrity_check({MOST_NAMED})"):
            if line != "ok":
                self._finding.fault(f"SQLite finds: {line}")
        found = read_format(self._db)
        if found != FORMAT:
            self._finding.fault(f"it has format {found}, this trainhub reads {FORMAT}")
            return
        meta: dict[str, str] = dict(self._sealed("meta", "name, value"))
        self._say(f"format {FORMAT}, epoch {meta.get('epoch')}")
        self._identity(meta)
        head = self._finding.head = self._log(int(meta.get("trimmed", 0)))
        answers = sum(1 for _ in self._sealed("answers", "user, key, command, result, at"))
        self._say(f"{answers} answers kept for idempotency keys")
        ahead = [row[0] for row in self._sealed("ahead", "reader, id, position")]
        for reader, position in self._sealed("places", "reader, position"):
            beyond = f", and {ahead.count(reader)} beyond" if reader in ahead else ""
            self._say(f"{reader} up to {position}{beyond}, {head - position} behind")
            if reader == "flushed":
                self._finding.flushed = position
            if position > head:
                self._finding.fault(f"the log ends at {head}, before what was {reader}")

    def _identity(self, meta: dict[str, str]) -> None:
        """Read the lineage, and report whether the file is a copy."""
        if "lineage" in meta:
            self._finding.lineage = read_lineage(meta["lineage"])
        elif "epoch" in meta:
            self._finding.lineage = Lineage((Beginning(meta["epoch"], 0),))
        if "file" in meta and is_copy(meta["file"], identity(self._path)):
            self._say("a copy of the file on which a hub last ran: the next start begins an epoch")

    def _log(self, trimmed: int) -> int:
        """Check the records and snapshots, and return the head."""
        rows = self._rows("snapshots", "run, seq, version, state")
        snapshots: dict[Stream, StreamSnapshot] = dict(self._read(self._snapshot, rows))
        retired = {row[0] for row in self._sealed("retired", "run, at")}
        seqs: dict[Stream, int] = {}
        count, behind, head = 0, 0, trimmed
        rows = self._db.execute(f"SELECT {RECORD} FROM records ORDER BY position")
        for record in self._read(self._record, rows):
            behind += record.position > trimmed
            head = max(head, record.position)
            if not record.in_stream:
                continue
            count += 1
            if record.stream not in retired:
                self._fits(record, seqs.get(record.stream, 0), snapshots.get(record.stream))
            seqs[record.stream] = record.seq
        if behind != head - trimmed and not self._finding.faults:
            self._finding.fault(f"{behind} records follow {trimmed} up to {head}: some are missing")
        for run in snapshots.keys() - seqs.keys():
            self._finding.fault(f"{run} has a snapshot and no record")
        size = self._path.stat().st_size
        self._say(f"{count} records of {len(seqs.keys() - retired)} runs, {size} bytes")
        self._say(
            f"trimmed up to {trimmed}; {len(snapshots)} snapshots, {len(retired)} retired runs"
        )
        return head

    def _fits(self, record: Record, before: int, snapshot: StreamSnapshot | None) -> None:
        """Check that a record follows the one before, or that a snapshot covers the gap."""
        trimmed = before == 1 and snapshot is not None and record.seq <= snapshot.seq + 1
        if record.seq != before + 1 and not trimmed:
            at = f"record {record.position}"
            self._finding.fault(f"{at}: {record.stream} has seq {record.seq} after {before}")
        if before == 0 and snapshot is not None:
            try:
                self._resume(record.stream, record.event, snapshot)
            except ValueError as error:
                self._finding.fault(f"the snapshot of {record.stream}: {error}")

    def _record(self, path: Path, row: Row) -> Record:
        return read_record(path, self._vocabulary, row)

    def _snapshot(self, path: Path, row: Row) -> tuple[Stream, StreamSnapshot]:
        return read_snapshot(path, self._vocabulary, row)

    def _sealed(self, table: str, columns: str) -> Iterator[Row]:
        return self._read(lambda path, row: unseal(path, table, row), self._rows(table, columns))

    def _rows(self, table: str, columns: str) -> sqlite3.Cursor:
        return self._db.execute(f"SELECT {columns}, checksum FROM {table}")

    def _read(self, read: Callable[[Path, Row], T], rows: sqlite3.Cursor) -> Iterator[T]:
        """Yield the sound rows, and report each damaged row as a fault."""
        for row in rows:
            try:
                yield read(self._path, row)
            except JournalFailed as error:
                self._finding.fault(str(error))
